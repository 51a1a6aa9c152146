package webhooksvc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/config"
)

// The endpoints: each has its own URL and secrets at Stripe, so the secret determines which events may arrive.
const (
	endpointAccount = "account" // the platform's own events
	endpointConnect = "connect" // events of connected accounts
)

const (
	// bodySizeMax is far above what Stripe sends, which is 2 to 30 kB.
	bodySizeMax = 512 << 10
	// bodySizeGuess is what is reserved before the first byte has arrived: an announced length costs its sender nothing.
	bodySizeGuess = 64 << 10
	// storeTimeout is how long a delivery waits for the database. Stripe gives up on an answer after 5 to 30 s.
	storeTimeout = 4 * time.Second
)

// endpoint takes deliveries from Stripe. It answers (source: docs.stripe.com/webhooks, and our own limits):
//
//	200  stored, now or before; also types that nobody handles
//	400  the signature is missing, wrong or out of time, or the body is no event; the answer never says which
//	405  another method than POST
//	408  the body did not arrive in time
//	413  the body is larger than 512 KiB
//	415  the body is encoded: the signature is over other bytes than these
//	503  the database is away; the one answer by which we want to be asked again
//
// Nothing but storing happens before the answer: see tryEvent for the rest.
type endpoint struct {
	service *Service
	name    string
	secrets []config.Secret
}

// answer is how a delivery is answered.
type answer struct {
	status int
	body   string
	result string // label of the counter
}

func (a *answer) Error() string { return a.result }

var (
	answerStored      = &answer{http.StatusOK, `{"received":true}`, "stored"}
	answerDuplicate   = &answer{http.StatusOK, `{"received":true}`, "duplicate"}
	answerSignature   = &answer{http.StatusBadRequest, `{"error":"not a signed event"}`, "bad_signature"}
	answerNotAnEvent  = &answer{http.StatusBadRequest, `{"error":"not a signed event"}`, "not_an_event"}
	answerBrokenBody  = &answer{http.StatusBadRequest, `{"error":"not a signed event"}`, "broken_body"}
	answerMethod      = &answer{http.StatusMethodNotAllowed, `{"error":"post events here"}`, "bad_method"}
	answerSlow        = &answer{http.StatusRequestTimeout, `{"error":"the body did not arrive in time"}`, "slow_body"}
	answerTooLarge    = &answer{http.StatusRequestEntityTooLarge, `{"error":"the body is larger than 524288 bytes"}`, "too_large"}
	answerEncoded     = &answer{http.StatusUnsupportedMediaType, `{"error":"send the body without an encoding"}`, "encoded_body"}
	answerUnavailable = &answer{http.StatusServiceUnavailable, `{"error":"events cannot be stored now, deliver again later"}`, "unavailable"}
)

// ServeHTTP implements http.Handler.
func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := clock.System{}.Now()
	a := e.take(w, r)
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	switch a.status {
	case http.StatusMethodNotAllowed:
		h.Set("Allow", http.MethodPost)
	case http.StatusServiceUnavailable:
		h.Set("Retry-After", "5")
	case http.StatusRequestTimeout, http.StatusRequestEntityTooLarge:
		h.Set("Connection", "close") // the rest of the body is not waited for
	}
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.body) // the sender may be gone
	e.service.metrics.delivered(e.name, a.result, clock.System{}.Now().Sub(start))
}

// take checks and stores one delivery.
func (e *endpoint) take(w http.ResponseWriter, r *http.Request) *answer {
	if r.Method != http.MethodPost {
		return answerMethod
	}
	if encoding := r.Header.Values("Content-Encoding"); len(encoding) > 0 && !strings.EqualFold(strings.Join(encoding, ","), "identity") {
		return answerEncoded
	}
	body, refusal := e.readBody(w, r)
	if refusal != nil {
		return refusal
	}
	now := e.service.Clock.Now()
	if err := verifySignature(e.secrets, r.Header.Values("Stripe-Signature"), body, now); err != nil {
		e.service.Logger.LogAttrs(r.Context(), slog.LevelDebug, "webhook refused", e.attrs(err)...)
		e.service.rejected.add(e.name, 1)
		return answerSignature
	}
	event, err := decodeEvent(body)
	if err != nil {
		// It is signed, so it came from Stripe: not noise, but something that we do not understand.
		e.service.Logger.LogAttrs(r.Context(), slog.LevelWarn, "signed webhook refused", e.attrs(err)...)
		return answerNotAnEvent
	}
	ctx, cancel := context.WithTimeout(r.Context(), storeTimeout)
	defer cancel()
	stored, err := e.service.store(ctx, delivery{endpoint: e.name, source: sourceDelivery, event: event, body: body, receiveTime: now})
	if err != nil {
		e.service.Logger.LogAttrs(r.Context(), slog.LevelError, "webhook not stored", e.attrs(err)...)
		return answerUnavailable
	}
	if !stored.isNew {
		return answerDuplicate
	}
	return answerStored
}

// readBody reads the raw body within the limits of size and time. A sender that drips is cut off, however often it
// sends a byte.
func (e *endpoint) readBody(w http.ResponseWriter, r *http.Request) ([]byte, *answer) {
	if r.ContentLength > bodySizeMax {
		return nil, answerTooLarge
	}
	control := http.NewResponseController(w)
	if err := control.SetReadDeadline(clock.System{}.Now().Add(e.service.Config.BodyTimeout)); err != nil {
		e.service.Logger.LogAttrs(r.Context(), slog.LevelError, "webhook bodies have no time limit", e.attrs(err)...)
	}
	var body bytes.Buffer
	body.Grow(min(int(max(r.ContentLength, 0)), bodySizeGuess) + bytes.MinRead)
	_, err := body.ReadFrom(http.MaxBytesReader(w, r.Body, bodySizeMax))
	if err == nil {
		// Left alone, the deadline would end the request's context later.
		_ = control.SetReadDeadline(time.Time{})
		return body.Bytes(), nil
	}
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return nil, answerTooLarge
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, answerSlow
	}
	e.service.Logger.LogAttrs(r.Context(), slog.LevelDebug, "webhook body broke off", e.attrs(err)...)
	return nil, answerBrokenBody
}

// attrs are what a log line says of a refused delivery. Nothing of its contents is among them.
func (e *endpoint) attrs(err error) []slog.Attr {
	return []slog.Attr{slog.String("endpoint", e.name), slog.String("error", err.Error())}
}
