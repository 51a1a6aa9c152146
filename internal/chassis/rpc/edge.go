package rpc

import (
	"encoding/json"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/dayof/dayof/internal/chassis/problem"
)

const (
	// bodyMax is where reading a request body stops for good. It is above readMax so that a message that is only a
	// little too large is read to its end, and its connection lives on.
	bodyMax = bodyFactor * readMax
	// bodyFactor is how much of a body is read beside the size limit of its message.
	bodyFactor = 2
	// overloadRetryAfter is how long a shed caller waits.
	overloadRetryAfter = time.Second
)

// edge stands around the handlers of one service. It bounds what a request may cost before an interceptor runs, and
// gives the refusals that connect makes by itself, for broken bytes mostly, the form of our problems.
type edge struct {
	observer
	next       http.Handler
	service    string
	procedures map[string]bool // known ones; others must not become metric labels
	bounds     *bounds
	errors     *connect.ErrorWriter
}

// ServeHTTP implements http.Handler. A place is taken by the interceptor, once the message has arrived: see call.enter.
func (e *edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{procedure: e.label(r.URL.Path), start: e.clock.Now(), readMax: readMax, places: e.bounds.places, inFlight: e.metrics.inFlight}
	defer c.leave()
	c.peer, c.network = e.bounds.peerOf(r)
	c.streams, c.control, c.draining = e.bounds.streams, http.NewResponseController(w), e.bounds.draining
	out := &answer{ResponseWriter: w, call: c, before: w.Header().Clone()}
	// The limit goes into a copy of the request: net/http reads the body of its own to see whether the connection
	// still holds unread bytes, and would take them for the next request.
	c.body = &heldBody{ReadCloser: http.MaxBytesReader(w, r.Body, bodyMax), budget: e.bounds.bytes, peer: c.peer, limit: bodyMax}
	defer c.body.giveBack()
	bounded := r.WithContext(withCall(r.Context(), c))
	bounded.Body = c.body
	e.next.ServeHTTP(out, bounded)
	if c.answered {
		return
	}
	p := out.problem(c.readMax)
	switch {
	case c.body.exhausted:
		p = overloaded()
	case p == nil && out.status < http.StatusBadRequest:
		out.release() // the end of a stream
		return
	case p == nil:
		out.forget()
		e.ended(r.Context(), c, notAnRPC(out.status, r), slog.LevelDebug)
		writeNotAnRPC(w, r, e.errors, out.status)
		return
	}
	out.forget()
	e.refuse(w, r, c, p)
}

// overloaded is what a shed caller gets.
func overloaded() *problem.Problem {
	p := problem.New(connect.CodeResourceExhausted, problem.ReasonOverloaded, "too many calls in flight, retry later")
	p.RetryAfter = overloadRetryAfter
	return p
}

// refuse answers in the protocol of the request.
func (e *edge) refuse(w http.ResponseWriter, r *http.Request, c *call, p *problem.Problem) {
	e.ended(r.Context(), c, p, slog.LevelDebug)
	if err := e.errors.Write(w, r, p.ConnectError()); err != nil {
		e.logger.LogAttrs(r.Context(), slog.LevelDebug, "caller is gone", slog.String("error", err.Error()))
	}
}

// label returns the procedure of a path, or one word for all paths that are none.
func (e *edge) label(path string) string {
	if e.procedures[path] {
		return path
	}
	return "/" + e.service + "/unknown"
}

// answer holds back what connect writes until the gate or the interceptor has decided the answer. What comes without
// that decision is connect's own refusal, and is small.
type answer struct {
	http.ResponseWriter
	call   *call
	before http.Header
	status int
	body   []byte
}

// Unwrap lets http.ResponseController through.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	if a.call.answered {
		a.ResponseWriter.WriteHeader(status)
		return
	}
	a.status = status
}

// Write implements http.ResponseWriter.
func (a *answer) Write(b []byte) (int, error) {
	if a.call.answered {
		return a.ResponseWriter.Write(b)
	}
	a.body = append(a.body, b...)
	return len(b), nil
}

// Flush implements http.Flusher, which connect asks for.
func (a *answer) Flush() {
	if flusher, ok := a.ResponseWriter.(http.Flusher); ok && a.call.answered {
		flusher.Flush()
	}
}

// release sends what was held back.
func (a *answer) release() {
	if a.status != 0 {
		a.ResponseWriter.WriteHeader(a.status)
	}
	if len(a.body) > 0 {
		_, _ = a.ResponseWriter.Write(a.body) // the caller may be gone
	}
}

// forget restores the headers as they were, but for those that say what would be right.
func (a *answer) forget() {
	h := a.Header()
	right := map[string][]string{}
	for _, name := range []string{"Allow", "Accept-Post"} {
		if values := h[name]; len(values) > 0 {
			right[name] = values
		}
	}
	clear(h)
	maps.Copy(h, a.before)
	maps.Copy(h, right)
}

// problem reads the refusal that was held back; nil if it is not an RPC's. readMax is the size limit that was in force.
func (a *answer) problem(readMax int) *problem.Problem {
	h := a.Header()
	status, message := h.Get("Grpc-Status"), h.Get("Grpc-Message")
	if status == "" {
		// connect sets trailers under net/http's prefix, which Get would not find in canonical form.
		status, message = first(h[http.TrailerPrefix+"Grpc-Status"]), first(h[http.TrailerPrefix+"Grpc-Message"])
	}
	if status != "" {
		number, err := strconv.ParseUint(status, 10, 32)
		if err != nil {
			return problem.Internal(err)
		}
		if text, err := url.PathUnescape(message); err == nil {
			message = text
		}
		return refusal(connect.Code(number), message, readMax)
	}
	var wire struct {
		Code    connect.Code `json:"code"`
		Message string       `json:"message"`
	}
	if a.status >= 400 && json.Unmarshal(a.body, &wire) == nil {
		return refusal(wire.Code, wire.Message, readMax)
	}
	return nil
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

// decoderNoise is what connect and protobuf put before the sentence that helps.
var decoderNoise = regexp.MustCompile(`^.*(unmarshal message: |unmarshal into [^:]*: |proto:[\s\x{a0}]*|protocol error: )`)

// namedField finds the field that protojson complains of.
var namedField = regexp.MustCompile(`(?:unknown field|duplicate field|value for \w+ field) "?(\w+)"?`)

// refusalTextMax is how much is read of what connect says. It repeats what the caller sent, and more is not answered anyway.
const refusalTextMax = 2 << 10

// refusal says in our words what connect refused. All of it is the caller's doing: our own errors never come this way.
func refusal(code connect.Code, message string, readMax int) *problem.Problem {
	if len(message) > refusalTextMax {
		message = strings.ToValidUTF8(message[:refusalTextMax], "")
	}
	message = decoderNoise.ReplaceAllString(message, "")
	p := &problem.Problem{
		Code: connect.CodeInvalidArgument, Reason: problem.ReasonMalformedRequest,
		Detail: "the request cannot be read: " + message,
	}
	switch code {
	case connect.CodeResourceExhausted:
		// Not resource_exhausted: no retry helps against a size that never fits.
		p.Reason = problem.ReasonRequestTooLarge
		p.Detail = "the request is larger than " + strconv.Itoa(readMax) + " bytes"
	case connect.CodeDeadlineExceeded:
		p.Code, p.Reason, p.Detail = code, problem.ReasonRequestTooSlow, "the request did not arrive in time"
	case connect.CodeCanceled, connect.CodeUnimplemented:
		p.Code = code // the protocol asks for unimplemented where there is no message, or two, or an unknown encoding
	default:
		if field := namedField.FindStringSubmatch(message); field != nil {
			p.Fields = []problem.Field{{Path: field[1], Description: message}}
		}
	}
	return p
}

// procedures lists the full names of the methods of a service, for those that the binary knows.
func procedures(service string) map[string]bool {
	names := make(map[string]bool)
	for _, method := range methodsOf(service) {
		names["/"+service+"/"+method] = true
	}
	return names
}
