package stripe

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/dayof/dayof/devenv/sandbox/fault"
)

// bodyMax bounds the form of one request; the longest legal one (50 metadata pairs) stays below 40 kB.
const bodyMax = 1 << 20

// request is one call of the API or of the control API while it is served.
type request struct {
	http    *http.Request
	id      string // req_...
	account string // Stripe-Account; "" is the platform
	key     string // Idempotency-Key
	form    url.Values
	params  *params
	// publishable marks a call of a browser with a pk_test_ key: it may only act on an intent whose client_secret it has.
	publishable bool
	// changes and events were made by this request; they are journaled with its answer and sent after it is durable.
	changes []*entry
	events  []*Event
}

// handler serves one call: an object (or list) to print with status 200, or a refusal.
type handler func(r *request) (any, *apiError)

// api wraps a handler in everything that all v1 calls share: request id, authentication, account, parameters,
// idempotency, expansion, errors, the journal and the request log.
func (s *Server) api(handle handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, hr *http.Request) {
		allowBrowsers(w.Header())
		if hr.Method == http.MethodOptions {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		r := &request{http: hr, id: s.newRequestID(), key: hr.Header.Get("Idempotency-Key")}
		line := requestLine{
			Time: s.clock.Now(), RequestID: r.id, Method: hr.Method, Path: hr.URL.Path,
			IdempotencyKey: r.key, Account: hr.Header.Get("Stripe-Account"),
		}
		answer := s.answerWithin(w.Header(), r, func(r *request) (any, *apiError) {
			unlock, e := s.lockPayment(r)
			if e != nil {
				return nil, e
			}
			defer unlock()
			// What began is finished even when the caller hangs up, as at Stripe.
			s.wait(context.WithoutCancel(hr.Context()))
			return handle(r)
		})
		line.Params, line.Status, line.Replayed = r.form, answer.status, answer.replayed
		line.ErrorCode, line.TookMS = answer.errorCode, s.clock.Now().Sub(line.Time).Milliseconds()
		s.log.add(line)
		s.writeAnswer(w, r, answer)
	})
}

// answer is what goes over the wire, and what an idempotency key keeps.
type answer struct {
	status    int
	body      []byte
	errorCode string
	requestID string // of the request that was executed
	replayed  bool
}

// answerWithin is answer, unless the account makes too many calls.
func (s *Server) answerWithin(header http.Header, r *request, handle handler) answer {
	if e := s.limit(header, r.http); e != nil {
		return s.failed(r, e)
	}
	return s.answer(r, handle)
}

// answer runs one request to its end: the effect, the stored idempotent result, the journal, the webhooks.
func (s *Server) answer(r *request, handle handler) answer {
	if e := s.open(r); e != nil {
		return s.failed(r, e)
	}
	if r.key == "" || r.http.Method != http.MethodPost {
		a, _ := s.execute(r, handle)
		s.settle(r, nil)
		return a
	}
	if len(r.key) > idempotencyKeyMax {
		return s.failed(r, invalid("", "", "Idempotency keys may be at most %d characters long.", idempotencyKeyMax))
	}
	slot, stored, e := s.idem.begin(r, s.clock.Now())
	switch {
	case e != nil:
		return s.failed(r, e)
	case stored != nil:
		stored.replayed = true
		return *stored
	}
	done := false
	defer func() {
		if !done { // a panic: the key stays free
			s.idem.abandon(slot)
		}
	}()
	a, keep := s.executeOrFail(r, handle)
	done = true
	if !keep {
		s.idem.abandon(slot)
		s.settle(r, nil)
		return a
	}
	s.settle(r, slot.record(a))
	s.idem.finish(slot, a)
	return a
}

// executeOrFail is execute, unless a fault makes Stripe fail by itself: then the failure is kept under the key, whether the request
// was carried out or not.
func (s *Server) executeOrFail(r *request, handle handler) (a answer, keep bool) {
	if s.faults == nil {
		return s.execute(r, handle)
	}
	hit := s.faults.DrawStored(fault.Stripe, r.http.Method+" "+r.http.URL.Path)
	if hit == nil {
		return s.execute(r, handle)
	}
	if hit.Mode == fault.StoredErrorDone {
		s.execute(r, handle)
	}
	return s.failed(r, &apiError{status: cmp.Or(hit.Status, http.StatusInternalServerError), Type: typeAPI, Message: "An unknown error occurred"}), true
}

// execute calls the handler; keep says whether an idempotency key stores the result.
func (s *Server) execute(r *request, handle handler) (a answer, keep bool) {
	result, e := handle(r)
	if e == nil {
		result, e = s.expand(r, result)
	}
	if e == nil && r.params.err != nil {
		e = r.params.err
	}
	if e != nil {
		return s.failed(r, e), !e.rejected
	}
	body, err := encode(result)
	if err != nil {
		s.logger.LogAttrs(r.http.Context(), slog.LevelError, "sandbox stripe cannot encode an answer", slog.Any("error", err))
		return s.failed(r, &apiError{status: http.StatusInternalServerError, Type: typeAPI, Message: err.Error()}), true
	}
	return answer{status: http.StatusOK, body: body, requestID: r.id}, true
}

// settle makes what a request did durable and then sends its events.
func (s *Server) settle(r *request, key *idempotencyRecord) {
	if s.journal != nil && (len(r.changes) > 0 || key != nil) {
		s.mu.Lock()
		records := snapshot(r.changes)
		s.mu.Unlock()
		if err := s.journal.append(journalLine{Changes: records, Key: key}); err != nil {
			s.logger.LogAttrs(context.Background(), slog.LevelError, "sandbox stripe cannot write its journal", slog.Any("error", err))
		}
	}
	s.deliverer.enqueue(r.events)
}

func (s *Server) failed(r *request, e *apiError) answer {
	body, err := encode(errorBody{Error: e.finish(r.id)})
	if err != nil {
		body = []byte(`{"error":{"type":"api_error","message":"the error cannot be encoded"}}`)
	}
	code := e.Code
	if code == "" {
		code = e.Type
	}
	return answer{status: e.status, body: body, errorCode: code, requestID: r.id}
}

func (s *Server) writeAnswer(w http.ResponseWriter, r *request, a answer) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(a.body)))
	h.Set("Request-Id", r.id)
	h.Set("Stripe-Version", APIVersion)
	if v := r.http.Header.Get("Stripe-Version"); v != "" {
		h.Set("Stripe-Version", v)
	}
	if account := r.http.Header.Get("Stripe-Account"); account != "" {
		h.Set("Stripe-Account", account)
	}
	if r.key != "" {
		h.Set("Idempotency-Key", r.key)
		h.Set("Original-Request", a.requestID)
	}
	if a.replayed {
		h.Set("Idempotent-Replayed", "true")
	}
	if a.status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Basic realm="Stripe"`)
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body) // the caller may be gone; what was done stays done
}

// open authenticates a request, finds its account and reads its parameters.
func (s *Server) open(r *request) *apiError {
	if e := s.authenticate(r); e != nil {
		return e
	}
	if r.http.Method == http.MethodPost {
		body, err := io.ReadAll(io.LimitReader(r.http.Body, bodyMax+1))
		if err != nil {
			return invalid("", "", "Invalid request: the body could not be read.")
		}
		if len(body) > bodyMax {
			e := invalid("", "", "Request body too large.")
			e.status = http.StatusRequestEntityTooLarge
			return e
		}
		form, err := url.ParseQuery(string(body))
		if err != nil || bytes.HasPrefix(bytes.TrimSpace(body), []byte("{")) {
			return invalid("", "", "Invalid request (check that your POST content type is application/x-www-form-urlencoded).")
		}
		r.form = form
		for name, values := range r.http.URL.Query() {
			r.form[name] = append(r.form[name], values...)
		}
	} else {
		r.form = r.http.URL.Query()
	}
	r.params = newParams(r.form)
	return s.enterAccount(r)
}

func (s *Server) authenticate(r *request) *apiError {
	key, _, basic := r.http.BasicAuth()
	if !basic {
		key, _ = strings.CutPrefix(r.http.Header.Get("Authorization"), "Bearer ")
	}
	switch {
	case key == "":
		return unauthorized("You did not provide an API key. You need to provide your API key in the Authorization header, using Bearer auth " +
			"(e.g. 'Authorization: Bearer YOUR_SECRET_KEY'). See https://stripe.com/docs/api#authentication for details.")
	case strings.HasPrefix(key, "pk_test_") && len(key) > len("pk_test_"):
		r.publishable = true
		if !openToBrowsers(r.http) {
			e := invalid("", "secret_key_required", "This API call cannot be made with a publishable API key. Please use a secret API key.")
			e.status = http.StatusForbidden
			return e
		}
	case s.secretKey != "" && key != s.secretKey,
		!strings.HasPrefix(key, "sk_test_") && !strings.HasPrefix(key, "rk_test_"),
		len(key) <= len("sk_test_"):
		return unauthorized("Invalid API Key provided: %s", redactKey(key))
	}
	return nil
}

// openToBrowsers says whether a publishable key may make the call: reading and confirming an intent, by its client_secret.
func openToBrowsers(hr *http.Request) bool {
	rest, found := strings.CutPrefix(hr.URL.Path, "/v1/payment_intents/")
	id, action, nested := strings.Cut(rest, "/")
	return found && id != "" && ((!nested && hr.Method == http.MethodGet) || (action == "confirm" && hr.Method == http.MethodPost))
}

// redactKey keeps the prefix and the last four characters, as Stripe prints keys.
func redactKey(key string) string {
	if len(key) < 12 {
		return strings.Repeat("*", len(key))
	}
	return key[:8] + strings.Repeat("*", len(key)-12) + key[len(key)-4:]
}

// enterAccount takes the connected account from the header; only connected accounts may be named.
func (s *Server) enterAccount(r *request) *apiError {
	account := r.http.Header.Get("Stripe-Account")
	if account == "" || account == s.ownID {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.connected(account); !ok {
		return noAccess(account)
	}
	r.account = account
	return nil
}

// allowBrowsers sends the cross-origin headers that let Stripe.js call the API from any page.
func allowBrowsers(h http.Header) {
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Allow-Methods", "GET, HEAD, PUT, PATCH, POST, DELETE")
	h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Idempotency-Key, Stripe-Version, Stripe-Account")
	h.Set("Access-Control-Expose-Headers", "Request-Id, Idempotent-Replayed, Stripe-Version")
	h.Set("Access-Control-Max-Age", "300")
}

// readJSON decodes the body of a control call strictly; an empty body leaves v as it is.
func readJSON(hr *http.Request, v any) error {
	body, err := io.ReadAll(io.LimitReader(hr.Body, 8*bodyMax))
	if err != nil || len(bytes.TrimSpace(body)) == 0 {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	return dec.Decode(v)
}
