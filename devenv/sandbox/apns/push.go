package apns

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

const (
	payloadMax    = 4096 // bytes
	collapseIDMax = 64   // bytes
	logMax        = 500_000
	fetchedMax    = 1 << 20
)

var (
	deviceToken = regexp.MustCompile(`^[0-9a-fA-F]{64,200}$`)
	pushTypes   = []string{
		"alert", "background", "complication", "controls", "fileprovider", "liveactivity", "location", "mdm", "pushtotalk", "voip", "widgets",
	}
)

// reasons are Apple's words for a refusal and their status.
// Source: Apple, "Handling notification responses from APNs".
var reasons = map[string]int{
	"BadCollapseId": 400, "BadDeviceToken": 400, "BadExpirationDate": 400, "BadMessageId": 400, "BadPriority": 400, "BadTopic": 400,
	"DeviceTokenNotForTopic": 400, "DuplicateHeaders": 400, "IdleTimeout": 400, "InvalidPushType": 400, "MissingDeviceToken": 400,
	"MissingTopic": 400, "PayloadEmpty": 400, "TopicDisallowed": 400,
	"BadCertificate": 403, "BadCertificateEnvironment": 403, "ExpiredProviderToken": 403, "Forbidden": 403,
	"InvalidProviderToken": 403, "MissingProviderToken": 403,
	"BadPath": 404, "MethodNotAllowed": 405, "ExpiredToken": 410, "Unregistered": 410, "PayloadTooLarge": 413,
	"TooManyProviderTokenUpdates": 429, "TooManyRequests": 429,
	"InternalServerError": 500, "ServiceUnavailable": 503, "Shutdown": 503,
}

// Push is one push as the log shows it.
type Push struct {
	DeviceToken string          `json:"device_token"`
	Topic       string          `json:"topic"`
	Payload     json.RawMessage `json:"payload"` // as a JSON string if it was no JSON
	PushType    string          `json:"push_type"`
	Priority    string          `json:"priority"`   // as sent; "" if absent
	Expiration  string          `json:"expiration"` // as sent; "" if absent
	CollapseID  string          `json:"collapse_id"`
	APNsID      string          `json:"apns_id"`
	Auth        string          `json:"auth"` // certificate, token or ""
	Time        time.Time       `json:"time"`
	Status      int             `json:"status"`
	Reason      string          `json:"reason,omitempty"`
	OnPush      *Fetched        `json:"on_push,omitempty"` // what the scripted device fetched
}

// Fetched is the answer that a scripted device got at the instant of the push.
type Fetched struct {
	Status  int               `json:"status,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
	Body    []byte            `json:"body,omitempty"` // base64 in JSON
	Error   string            `json:"error,omitempty"`
}

func readFetched(res *http.Response) *Fetched {
	body, err := io.ReadAll(io.LimitReader(res.Body, fetchedMax))
	out := &Fetched{Status: res.StatusCode, Headers: make(map[string]string, len(res.Header)), Body: body}
	if err != nil {
		out.Error = err.Error()
	}
	for name := range res.Header {
		out.Headers[name] = res.Header.Get(name)
	}
	return out
}

// refusal is an answer other than 200.
type refusal struct {
	reason      string
	timestampMS int64 // of 410: when Apple last found the token invalid
	retryAfterS int
}

// push serves POST /3/device/{token}.
func (s *Server) push(w http.ResponseWriter, r *http.Request) {
	token, found := strings.CutPrefix(r.URL.Path, "/3/device/")
	p := Push{
		DeviceToken: token, Topic: r.Header.Get("apns-topic"), PushType: r.Header.Get("apns-push-type"),
		Priority: r.Header.Get("apns-priority"), Expiration: r.Header.Get("apns-expiration"),
		CollapseID: r.Header.Get("apns-collapse-id"), APNsID: strings.ToLower(r.Header.Get("apns-id")),
		Time: s.cfg.Clock.Now(), Status: http.StatusOK,
	}
	if p.APNsID == "" {
		p.APNsID = uuid.NewString()
	}
	payload, err := io.ReadAll(io.LimitReader(r.Body, payloadMax+1))
	if err != nil {
		panic(http.ErrAbortHandler) // the sender is gone
	}
	p.Payload = payload
	if !json.Valid(payload) {
		p.Payload, _ = json.Marshal(string(payload)) //nolint:errchkjson // a string can be encoded
	}
	var no *refusal
	switch {
	case !found || strings.Contains(token, "/"):
		no = &refusal{reason: "BadPath"}
	case r.Method != http.MethodPost:
		no = &refusal{reason: "MethodNotAllowed"}
	default:
		no = s.check(r, &p, payload)
	}
	if no == nil {
		no = s.deliver(r, &p)
	}
	if no != nil {
		p.Status, p.Reason = reasons[no.reason], no.reason
	}
	s.record(p)
	answer(w, p, no)
}

// check checks a push as Apple does: who sends it first, then what is in it.
func (s *Server) check(r *http.Request, p *Push, payload []byte) *refusal {
	for _, name := range []string{"apns-id", "apns-topic", "apns-push-type", "apns-priority", "apns-expiration", "apns-collapse-id", "authorization"} {
		if len(r.Header.Values(name)) > 1 {
			return &refusal{reason: "DuplicateHeaders"}
		}
	}
	if no := s.authenticate(r, p); no != nil {
		return no
	}
	switch {
	case p.DeviceToken == "":
		return &refusal{reason: "MissingDeviceToken"}
	case !deviceToken.MatchString(p.DeviceToken):
		return &refusal{reason: "BadDeviceToken"}
	case uuid.Validate(p.APNsID) != nil:
		return &refusal{reason: "BadMessageId"}
	case p.PushType != "" && !slices.Contains(pushTypes, p.PushType):
		return &refusal{reason: "InvalidPushType"}
	case !slices.Contains([]string{"", "1", "5", "10"}, p.Priority), p.PushType == "background" && p.Priority == "10":
		return &refusal{reason: "BadPriority"}
	case p.Expiration != "" && !isTime(p.Expiration):
		return &refusal{reason: "BadExpirationDate"}
	case len(p.CollapseID) > collapseIDMax:
		return &refusal{reason: "BadCollapseId"}
	case len(payload) == 0:
		return &refusal{reason: "PayloadEmpty"}
	case len(payload) > payloadMax:
		return &refusal{reason: "PayloadTooLarge"}
	}
	return nil
}

func isTime(text string) bool {
	n, err := strconv.ParseInt(text, 10, 64)
	return err == nil && n >= 0
}

// deliver follows the script of the device: the refusal it has, or the fetch a device makes.
func (s *Server) deliver(r *http.Request, p *Push) *refusal {
	script := s.scriptFor(p.DeviceToken)
	if script == nil {
		return nil
	}
	if script.Reason != "" {
		no := &refusal{reason: script.Reason, timestampMS: script.TimestampMS, retryAfterS: script.RetryAfterSeconds}
		if no.timestampMS == 0 {
			no.timestampMS = p.Time.UnixMilli()
		}
		return no
	}
	if script.OnPushURL != "" {
		p.OnPush = s.fetch(r.Context(), script.OnPushURL, script.OnPushHeaders)
	}
	return nil
}

func (s *Server) record(p Push) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.log) >= logMax {
		s.log = append([]Push{}, s.log[logMax/2:]...)
	}
	s.log = append(s.log, p)
}

// Pushes returns a copy of the log, newest last.
func (s *Server) Pushes() []Push {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Push{}, s.log...)
}

func answer(w http.ResponseWriter, p Push, no *refusal) {
	w.Header().Set("apns-id", p.APNsID)
	if no == nil {
		w.Header().Set("apns-unique-id", uuid.NewString())
		w.WriteHeader(http.StatusOK)
		return
	}
	if no.retryAfterS > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(no.retryAfterS))
	}
	body := map[string]any{"reason": no.reason}
	if p.Status == http.StatusGone {
		body["timestamp"] = no.timestampMS
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(body) // the sender may be gone
}

// Script is what happens to the pushes for one device token.
type Script struct {
	// Reason refuses them with Apple's word and its status; empty accepts them.
	Reason string `json:"reason,omitempty"`
	// TimestampMS is the timestamp of a 410, in milliseconds since 1970; the present when it is 0.
	TimestampMS int64 `json:"timestamp_ms,omitempty"`
	// RetryAfterSeconds adds a Retry-After header.
	RetryAfterSeconds int `json:"retry_after_s,omitempty"`
	// Count ends the script after so many pushes; 0 never.
	Count int `json:"count,omitempty"`
	// OnPushURL is fetched when a push is accepted, with OnPushHeaders; the log shows the answer.
	OnPushURL     string            `json:"on_push_url,omitempty"`
	OnPushHeaders map[string]string `json:"on_push_headers,omitempty"`

	used int
}

// SetScript replaces the script of a device token; "*" is every device without one of its own.
func (s *Server) SetScript(token string, script Script) error {
	if _, known := reasons[script.Reason]; script.Reason != "" && !known {
		return errors.New("reason " + strconv.Quote(script.Reason) + " is none of Apple's")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script[strings.ToLower(token)] = &script
	return nil
}

func (s *Server) scriptFor(token string) *Script {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range []string{strings.ToLower(token), "*"} {
		script := s.script[key]
		if script == nil {
			continue
		}
		script.used++
		if script.Count > 0 && script.used >= script.Count {
			delete(s.script, key)
		}
		found := *script
		return &found
	}
	return nil
}
