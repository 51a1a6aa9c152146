package passsvc

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Apple's web service: five endpoints that devices call by themselves. Statuses and limits are from
// Apple's "PassKit Web Service Reference". A refusal has no body: nobody reads it.

const (
	registerBodyMax = 16 << 10
	logBodyMax      = 256 << 10
	passMediaType   = "application/vnd.apple.pkpass"
	// deviceIDMax and pushTokenMax are generous: Apple's are 32 and 64 hexadecimal digits.
	deviceIDMax  = 128
	pushTokenMax = 200
	// retryAfterSeconds is the Retry-After of an answer when a pass cannot be served for now.
	retryAfterSeconds = "60"
)

// walletService is Apple's web service: what devices call.
type walletService struct{ *Service }

// routes returns Apple's endpoints. ServeMux unescapes each segment once, after splitting, answers 405 to other
// methods, and serves HEAD where GET is.
func (s walletService) routes() map[string]http.Handler {
	return map[string]http.Handler{
		"POST /v1/devices/{device}/registrations/{type}/{serial}":   http.HandlerFunc(s.serveRegister),
		"DELETE /v1/devices/{device}/registrations/{type}/{serial}": http.HandlerFunc(s.serveUnregister),
		"GET /v1/devices/{device}/registrations/{type}":             http.HandlerFunc(s.serveList),
		"GET /v1/passes/{type}/{serial}":                            http.HandlerFunc(s.servePass),
		"POST /v1/log":                                              http.HandlerFunc(s.serveLog),
	}
}

// deviceToken returns the version of the key that made the token of the request, if it is that of the pass. It asks no
// database: whoever has no token learns nothing, not even whether the pass exists.
func (s walletService) deviceToken(r *http.Request) (version int, ok bool) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	// Wallets on Android say AndroidPass.
	if !strings.EqualFold(scheme, "ApplePass") && !strings.EqualFold(scheme, "AndroidPass") {
		return 0, false
	}
	return s.keys.checkDevice(strings.TrimSpace(token), r.PathValue("type"), r.PathValue("serial"))
}

func unauthorized(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", "ApplePass")
	w.WriteHeader(http.StatusUnauthorized)
}

// servePass serves the latest version of a pass. It writes nothing anywhere.
func (s walletService) servePass(w http.ResponseWriter, r *http.Request) {
	version, ok := s.deviceToken(r)
	if !ok {
		s.metrics.fetched(http.StatusUnauthorized)
		unauthorized(w)
		return
	}
	pass, err := s.cache.get(r.Context(), r.PathValue("type"), r.PathValue("serial"))
	if errors.Is(err, errNoPass) || errors.Is(err, errUnknownPassType) || err == nil && pass.state.KeyVersion != version {
		s.metrics.fetched(http.StatusUnauthorized)
		unauthorized(w)
		return
	}
	if err != nil {
		s.metrics.fetched(http.StatusServiceUnavailable)
		s.unavailable(w, r, err)
		return
	}
	w.Header().Set("Cache-Control", "private, no-cache")
	w.Header().Set("Vary", "Authorization")
	s.metrics.fetched(s.writePass(w, r, pass))
}

// writePass answers with the archive or 304, and returns which.
func (s *Service) writePass(w http.ResponseWriter, r *http.Request, pass servedPass) (status int) {
	h := w.Header()
	maps.Copy(h, pass.header)
	if modified := lastModified(pass.state.ModifyTime, s.Clock.Now()); !modified.Equal(pass.state.ModifyTime) {
		h.Set("Last-Modified", modified.Format(http.TimeFormat))
	}
	if notModified(r.Header, pass.etag, pass.state.ModifyTime) {
		w.WriteHeader(http.StatusNotModified)
		return http.StatusNotModified
	}
	maps.Copy(h, pass.bodyHeader)
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		_, _ = pass.archive.WriteTo(w) // the device may be gone
	}
	return http.StatusOK
}

// unavailable says that the pass cannot be served for now: the database is away, or its certificate has expired.
func (s *Service) unavailable(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() == nil {
		s.Logger.LogAttrs(r.Context(), slog.LevelError, "wallet request failed",
			slog.String("method", r.Method), slog.String("pattern", r.Pattern), slog.Any("error", err))
	}
	w.Header().Set("Retry-After", retryAfterSeconds)
	w.WriteHeader(http.StatusServiceUnavailable)
}

// serveRegister registers a device for a pass, or renews its push token: 201 or 200.
func (s walletService) serveRegister(w http.ResponseWriter, r *http.Request) {
	version, ok := s.deviceToken(r)
	if !ok {
		unauthorized(w)
		return
	}
	var body struct {
		PushToken string `json:"pushToken"`
	}
	if !readJSON(w, r, registerBodyMax, &body) {
		return
	}
	device := r.PathValue("device")
	if !isDeviceID(device) || !isPushToken(body.PushToken) {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	isNew, err := s.register(r.Context(), registering{
		device: device, passType: r.PathValue("type"), serial: r.PathValue("serial"), pushToken: body.PushToken, keyVersion: version,
	})
	switch {
	case errors.Is(err, errNoPass):
		unauthorized(w)
	case err != nil:
		s.unavailable(w, r, err)
	case isNew:
		w.WriteHeader(http.StatusCreated)
	default:
		w.WriteHeader(http.StatusOK)
	}
}

// serveUnregister forgets a device: 200, also when it was not registered.
func (s walletService) serveUnregister(w http.ResponseWriter, r *http.Request) {
	version, ok := s.deviceToken(r)
	if !ok {
		unauthorized(w)
		return
	}
	row, err := s.q.GetPass(r.Context(), s.Pool, r.PathValue("serial"))
	if errors.Is(err, pgx.ErrNoRows) || err == nil && (row.PassType != r.PathValue("type") || int(row.TokenKeyVersion) != version) {
		unauthorized(w)
		return
	}
	if device := r.PathValue("device"); err == nil && isDeviceID(device) {
		_, err = s.q.DeleteRegistration(r.Context(), s.Pool, device, row.PassType, row.Serial)
	}
	if err != nil {
		s.unavailable(w, r, err)
		return
	}
	w.WriteHeader(http.StatusOK)
}

// serveList reports to a device which of its passes changed since the tag that it was given last. Whoever knows the device's
// identifier may ask: that is Apple's design.
func (s walletService) serveList(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	device, passType := r.PathValue("device"), r.PathValue("type")
	if !isDeviceID(device) || !isVisible(passType) {
		w.WriteHeader(http.StatusNoContent) // nobody can have registered so
		return
	}
	rows, err := s.q.ListDeviceSerials(r.Context(), s.Pool, device, passType, updatedSince(r))
	if err != nil {
		s.unavailable(w, r, err)
		return
	}
	if len(rows) == 0 {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	answer := struct {
		SerialNumbers []string `json:"serialNumbers"`
		LastUpdated   string   `json:"lastUpdated"` // a number here makes iOS fetch nothing
	}{}
	var newest int64
	for _, row := range rows {
		answer.SerialNumbers = append(answer.SerialNumbers, row.Serial)
		newest = max(newest, row.Tag)
	}
	answer.LastUpdated = strconv.FormatInt(newest, 10)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // the device may be gone
}

// updatedSince reads the tag that a device echoes; -1 asks for everything, which a tag that we never gave does too.
func updatedSince(r *http.Request) int64 {
	text := r.URL.Query().Get("passesUpdatedSince")
	tag, err := strconv.ParseInt(text, 10, 64)
	if err != nil || tag < 0 {
		return -1
	}
	return tag
}

// serveLog keeps what devices complain about.
func (s walletService) serveLog(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Logs []string `json:"logs"`
	}
	if !readJSON(w, r, logBodyMax, &body) {
		return
	}
	if err := s.keepLog(r.Context(), body.Logs); err != nil {
		s.unavailable(w, r, err)
		return
	}
	w.WriteHeader(http.StatusOK)
}

// readJSON reads a body of at most size bytes; if it is larger or no JSON object, it answers and returns false.
func readJSON(w http.ResponseWriter, r *http.Request, size int64, into any) bool {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, size))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return false
	}
	if err != nil || json.Unmarshal(data, into) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return false
	}
	return true
}

// isDeviceID reports whether s can be a deviceLibraryIdentifier: short, and of visible ASCII.
func isDeviceID(s string) bool {
	return s != "" && len(s) <= deviceIDMax && isVisible(s)
}

func isVisible(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// isPushToken reports whether s is hexadecimal: it becomes a part of APNs' URL.
func isPushToken(s string) bool {
	return s != "" && len(s) <= pushTokenMax && strings.Trim(s, "0123456789abcdefABCDEF") == ""
}
