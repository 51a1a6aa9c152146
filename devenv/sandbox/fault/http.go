package fault

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
)

// bodyMax bounds how much of a request is kept for a party that answers late.
const bodyMax = 16 << 20

// Wrap puts the faults of a party in front of its handler.
//
// Cutting a connection is done by http.ErrAbortHandler: over HTTP/1.1 the connection is closed, over HTTP/2 the stream is
// reset. Note that Go's own client silently repeats a call whose reused connection was closed, when its method is safe or
// it carries an Idempotency-Key.
func (f *Faults) Wrap(party string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hit := f.Draw(party, r.Method+" "+r.URL.Path, atTheSocket...)
		if hit == nil {
			h.ServeHTTP(w, r)
			return
		}
		// The body is read first: only then does the server notice a caller that gives up, and a late party still has it.
		body, err := io.ReadAll(io.LimitReader(r.Body, bodyMax))
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		strike(hit, party, w, r, func(w http.ResponseWriter) {
			late := r.WithContext(context.WithoutCancel(r.Context()))
			late.Body = io.NopCloser(bytes.NewReader(body))
			h.ServeHTTP(w, late)
		})
	})
}

// strike does to one call what the mode says; done runs the party's handler.
func strike(hit *Hit, party string, w http.ResponseWriter, r *http.Request, done func(http.ResponseWriter)) {
	if hit.Mode == Slow {
		hit.Wait(context.WithoutCancel(r.Context()))
		done(w)
		return
	}
	hit.Wait(r.Context())
	switch hit.Mode {
	case Refuse:
		panic(http.ErrAbortHandler)
	case Hang:
		hit.Hold(r.Context())
		panic(http.ErrAbortHandler)
	case ServerError:
		status := hit.Status
		if status == 0 {
			status = http.StatusServiceUnavailable
		}
		writeError(w, party, status, "")
	case Refusal:
		writeError(w, party, cmp.Or(hit.Status, http.StatusBadRequest), hit.Code)
	case TooMany:
		after := hit.RetryAfterSeconds
		if after == 0 {
			after = retryAfterDefault
		}
		w.Header().Set("Retry-After", strconv.Itoa(after))
		writeError(w, party, http.StatusTooManyRequests, "rate_limit")
	case LostReply:
		done(newRecorder())
		panic(http.ErrAbortHandler)
	case HalfBody:
		rec := newRecorder()
		done(rec)
		rec.sendHalf(w)
		panic(http.ErrAbortHandler)
	case Slow, StoredError, StoredErrorDone: // not here
	}
}

// writeError answers in the shape that the party's own refusals have; only Stripe's have a code.
func writeError(w http.ResponseWriter, party string, status int, code string) {
	var body any
	switch party {
	case Stripe:
		kind := "api_error"
		if status < http.StatusInternalServerError {
			kind = "invalid_request_error"
		}
		refusal := map[string]string{"type": kind, "message": "The sandbox was told to fail this request."}
		if code != "" {
			refusal["code"] = code
		}
		body = map[string]any{"error": refusal}
	case APNs:
		reason := map[int]string{429: "TooManyRequests", 500: "InternalServerError", 503: "ServiceUnavailable"}[status]
		if reason == "" {
			reason = "InternalServerError"
		}
		body = map[string]string{"reason": reason}
	case Ledger:
		body = map[string]string{"errorCode": "INTERNAL", "errorMessage": "The sandbox was told to fail this request."}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the caller may be gone
}

// recorder keeps an answer instead of sending it.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func newRecorder() *recorder { return &recorder{header: make(http.Header), status: http.StatusOK} }

func (rec *recorder) Header() http.Header { return rec.header }

func (rec *recorder) WriteHeader(status int) { rec.status = status }

func (rec *recorder) Write(p []byte) (int, error) { return rec.body.Write(p) }

// sendHalf sends the headers, which promise the whole body, and half of it.
func (rec *recorder) sendHalf(w http.ResponseWriter) {
	if rec.body.Len() == 0 {
		return
	}
	maps.Copy(w.Header(), rec.header)
	w.Header().Set("Content-Length", strconv.Itoa(rec.body.Len()))
	w.WriteHeader(rec.status)
	_, _ = w.Write(rec.body.Bytes()[:rec.body.Len()/2]) // what follows is the cut
	_ = http.NewResponseController(w).Flush()
}

// Handler is the control API:
//
//	GET    /faults          {party: {mode, rate, latency_ms, count, match, hits...}}
//	PUT    /faults/{party}  {mode, rate?=1, latency_ms?, count?, match?, status?, code?, retry_after_s?}
//	DELETE /faults/{party}  ends one
//	DELETE /faults          ends all
//
// All answer with the list. A fault that makes no sense is 400 with {"error": "..."}.
func (f *Faults) Handler() http.Handler {
	mux := http.NewServeMux()
	list := func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(f.List()) // the caller may be gone
	}
	mux.HandleFunc("GET /faults", func(w http.ResponseWriter, _ *http.Request) { list(w) })
	mux.HandleFunc("PUT /faults/{party}", func(w http.ResponseWriter, r *http.Request) {
		fault := Fault{Rate: 1}
		dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16))
		dec.DisallowUnknownFields()
		err := dec.Decode(&fault)
		if err == nil {
			err = f.Set(r.PathValue("party"), fault)
		}
		if err != nil {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadRequest)
			_ = json.NewEncoder(w).Encode(map[string]string{"error": fmt.Sprintf("no fault was set: %v", err)})
			return
		}
		list(w)
	})
	mux.HandleFunc("DELETE /faults/{party}", func(w http.ResponseWriter, r *http.Request) {
		f.Clear(r.PathValue("party"))
		list(w)
	})
	mux.HandleFunc("DELETE /faults", func(w http.ResponseWriter, _ *http.Request) {
		f.ClearAll()
		list(w)
	})
	return mux
}
