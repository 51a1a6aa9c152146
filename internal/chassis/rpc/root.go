package rpc

import (
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/dayof/dayof/internal/chassis/problem"
)

// root is all that a server serves. Every request has the same time for its body, whatever its path, and what no handler
// takes is answered by a sentence.
type root struct {
	mux         *http.ServeMux
	bodyTimeout time.Duration
	errors      *connect.ErrorWriter
}

// ServeHTTP implements http.Handler.
func (h root) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	limitBodyTime(w, r, h.bodyTimeout)
	handler, pattern := h.mux.Handler(r)
	if pattern != "" {
		h.mux.ServeHTTP(w, r)
		return
	}
	out := &answer{ResponseWriter: w, call: &call{}, before: w.Header().Clone()}
	handler.ServeHTTP(out, r)
	out.forget()
	writeNotAnRPC(w, r, h.errors, out.status)
}

// notAnRPC says what is wrong with a request that HTTP refuses by a status.
func notAnRPC(status int, r *http.Request) *problem.Problem {
	switch status {
	case http.StatusMethodNotAllowed:
		return problem.New(connect.CodeUnimplemented, problem.ReasonMethodNotAllowed,
			fmt.Sprintf("this path does not take the HTTP method %q, see the header Allow", r.Method))
	case http.StatusUnsupportedMediaType:
		return problem.New(connect.CodeInvalidArgument, problem.ReasonUnsupportedMediaType,
			"send the header Content-Type: application/json, or one of those in the header Accept-Post")
	case http.StatusNotFound:
		return problem.New(connect.CodeUnimplemented, problem.ReasonUnknownMethod, "there is nothing at "+strconv.Quote(r.URL.Path))
	default:
		return problem.New(connect.CodeInvalidArgument, problem.ReasonMalformedRequest,
			fmt.Sprintf("the request is refused with HTTP status %d", status))
	}
}

// writeNotAnRPC writes that problem, under the status that HTTP has for it where the protocol leaves it free.
func writeNotAnRPC(w http.ResponseWriter, r *http.Request, errors *connect.ErrorWriter, status int) {
	_ = errors.Write(withStatus{ResponseWriter: w, status: status}, r, notAnRPC(status, r).ConnectError()) // the caller may be gone
}

// withStatus replaces the status of a refusal.
type withStatus struct {
	http.ResponseWriter
	status int
}

// Unwrap lets http.ResponseController through.
func (w withStatus) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader implements http.ResponseWriter. gRPC has its refusals under status 200.
func (w withStatus) WriteHeader(status int) {
	if status >= http.StatusBadRequest && w.status >= http.StatusBadRequest {
		status = w.status
	}
	w.ResponseWriter.WriteHeader(status)
}

// routeBodyMax is how much of a body is read before a plain HTTP handler runs: above what handlers of ours take.
const routeBodyMax = readMax

// route bounds a plain HTTP handler as edge does an RPC: the same places, the same room for bodies, and a panic is an error
// of ours that is logged. The body is in memory when the handler runs.
func route(b *bounds, logger *slog.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		source := r.Body
		if source == nil { // as in a test that has no server
			source = http.NoBody
		}
		peer, _ := b.peerOf(r)
		body := &heldBody{ReadCloser: source, budget: b.bytes, peer: peer, limit: bodyMax}
		defer body.giveBack()
		ahead, err := readAhead(body, routeBodyMax+1)
		if body.exhausted {
			shed(w, r, logger)
			return
		}
		if err != nil { // it did not arrive, or not in time
			logger.LogAttrs(r.Context(), slog.LevelDebug, "request body did not arrive", slog.String("pattern", r.Pattern),
				slog.String("error", err.Error()))
			http.Error(w, "the request did not arrive in time", http.StatusRequestTimeout)
			return
		}
		if !b.places.take() {
			shed(w, r, logger)
			return
		}
		defer b.places.giveBack()
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if v != http.ErrAbortHandler { //nolint:errorlint // net/http compares it so
				logger.LogAttrs(r.Context(), slog.LevelError, "http handler panicked", slog.String("path", r.URL.Path),
					slog.Any("error", v), slog.String("stack", string(debug.Stack())))
			}
			// What was written of the answer cannot be taken back: net/http cuts the connection.
			panic(http.ErrAbortHandler)
		}()
		// In a copy, as the server reads on in the body that it made.
		arrived := r.WithContext(r.Context())
		arrived.Body = ahead
		next.ServeHTTP(w, arrived)
	})
}

// shed answers a request for which there is no place.
func shed(w http.ResponseWriter, r *http.Request, logger *slog.Logger) {
	logger.LogAttrs(r.Context(), slog.LevelDebug, "request shed", slog.String("pattern", strings.TrimSpace(r.Pattern)))
	w.Header().Set("Retry-After", strconv.Itoa(int(overloadRetryAfter/time.Second)))
	http.Error(w, "too many requests in flight, retry later", http.StatusServiceUnavailable)
}
