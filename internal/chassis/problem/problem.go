// Package problem is the one error type that callers of our RPCs may see, its form on the wire, and the boundary that
// keeps every other error text inside the house.
//
// On the wire a problem is a Connect error with the details google.rpc.ErrorInfo (reason, domain "dayof"),
// google.rpc.BadRequest (field paths) and google.rpc.RetryInfo. Reasons are stable UPPER_SNAKE words to switch on.
package problem

import (
	"errors"
	"strings"
	"time"

	"connectrpc.com/connect"
)

// Domain is the domain of every google.rpc.ErrorInfo we send.
const Domain = "dayof"

// Reasons that the chassis itself gives; services add their own.
const (
	ReasonInvalidField           = "INVALID_FIELD"             // a field breaks a rule of the schema; see the field paths
	ReasonMalformedRequest       = "MALFORMED_REQUEST"         // the bytes are not a request message of this RPC
	ReasonRequestTooLarge        = "REQUEST_TOO_LARGE"         // the request is over the size limit
	ReasonUnknownMethod          = "UNKNOWN_METHOD"            // there is no such RPC
	ReasonMethodNotAllowed       = "METHOD_NOT_ALLOWED"        // the path takes another HTTP method
	ReasonUnsupportedMediaType   = "UNSUPPORTED_MEDIA_TYPE"    // the Content-Type is none that RPCs speak
	ReasonRequestTooSlow         = "REQUEST_TOO_SLOW"          // the request did not arrive in time
	ReasonOverloaded             = "OVERLOADED"                // too many calls in flight; retry after the given time
	ReasonUnauthenticated        = "UNAUTHENTICATED"           // no valid bearer token
	ReasonPermissionDenied       = "PERMISSION_DENIED"         // the caller may not call this RPC
	ReasonInvalidText            = "INVALID_TEXT"              // a text contains the character NUL
	ReasonIdempotencyKeyRequired = "IDEMPOTENCY_KEY_REQUIRED"  // a mutating RPC without the header Idempotency-Key
	ReasonIdempotencyKeyInvalid  = "IDEMPOTENCY_KEY_INVALID"   // the header is not 1 to 255 visible ASCII characters
	ReasonIdempotencyKeyReused   = "IDEMPOTENCY_KEY_REUSED"    // the key was used for a different request
	ReasonIdempotencyKeyInFlight = "IDEMPOTENCY_KEY_IN_FLIGHT" // a call with this key is still running; retry
	ReasonConcurrentChange       = "CONCURRENT_CHANGE"         // lost a race; retry the whole call
	ReasonUnavailable            = "DEPENDENCY_UNAVAILABLE"    // something this service needs is away; retry
	ReasonInternal               = "INTERNAL"                  // our fault; the log knows more
)

// Problem is an error that its caller is meant to get: a code, a stable reason and a sentence that says what to do.
type Problem struct {
	Code       connect.Code
	Reason     string        // UPPER_SNAKE, stable
	Detail     string        // a sentence for people: what is wrong and what to do; sent to the caller
	Fields     []Field       // which fields of the request are wrong
	RetryAfter time.Duration // when a retry may help; 0: not said
	Err        error         // the cause, for our logs only; never sent
}

// Field is one field of a request that is wrong.
type Field struct {
	Path        string // proto field names, as in "lines[2].quantity"
	Description string // what it should be
}

// New returns a problem. The detail is sent to the caller.
func New(code connect.Code, reason, detail string) *Problem {
	return &Problem{Code: code, Reason: reason, Detail: detail}
}

// InvalidField returns the invalid_argument problem about one field of the request.
func InvalidField(path, description string) *Problem {
	return &Problem{
		Code:   connect.CodeInvalidArgument,
		Reason: ReasonInvalidField,
		Detail: path + ": " + description,
		Fields: []Field{{Path: path, Description: description}},
	}
}

// InvalidFields returns the invalid_argument problem about fields of the request, nil if there are none. All of them are
// reported at once, up to 16, so that a caller mends them at once.
func InvalidFields(fields ...Field) error {
	if len(fields) == 0 {
		return nil
	}
	named := fields[:min(len(fields), fieldsMax)]
	return &Problem{
		Code: connect.CodeInvalidArgument, Reason: ReasonInvalidField, Detail: sentenceOf(named, len(fields)-len(named)), Fields: named,
	}
}

// Under moves the fields that a problem names below a field of the request, the message that they are of. Any other error stays as it is.
func Under(path string, err error) error {
	p, ok := errors.AsType[*Problem](err)
	if !ok || p.Reason != ReasonInvalidField {
		return err
	}
	var fields []Field
	for _, f := range p.Fields {
		fields = append(fields, Field{Path: path + "." + f.Path, Description: f.Description})
	}
	return InvalidFields(fields...)
}

// All returns what several checks of one request found: nil if nothing, the wrong fields of all of them as one problem, or the
// first error that is about something else.
func All(found ...error) error {
	var fields []Field
	for _, err := range found {
		if err == nil {
			continue
		}
		p, ok := errors.AsType[*Problem](err)
		if !ok || p.Reason != ReasonInvalidField {
			return err
		}
		fields = append(fields, p.Fields...)
	}
	return InvalidFields(fields...)
}

// Because returns a copy of p with the cause err, which is logged and never sent.
func (p *Problem) Because(err error) *Problem {
	q := *p
	q.Err = err
	return &q
}

// Error is for logs; the caller gets the detail only.
func (p *Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.Code.String())
	if p.Reason != "" {
		b.WriteString(" " + p.Reason)
	}
	if p.Detail != "" {
		b.WriteString(": " + p.Detail)
	}
	if p.Err != nil {
		b.WriteString(": " + p.Err.Error())
	}
	return b.String()
}

// Unwrap returns the cause.
func (p *Problem) Unwrap() error { return p.Err }

// Reason returns the reason of the Problem, Downstream or received Connect error in err's chain; "" if there is none.
func Reason(err error) string {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p.Reason
	}
	if d, ok := errors.AsType[*Downstream](err); ok {
		return d.Reason()
	}
	if c, ok := errors.AsType[*connect.Error](err); ok {
		return readDetails(c).reason
	}
	return ""
}

// Fields returns the field paths of the Problem, Downstream or received Connect error in err's chain.
func Fields(err error) []Field {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p.Fields
	}
	if d, ok := errors.AsType[*Downstream](err); ok {
		return d.fields
	}
	if c, ok := errors.AsType[*connect.Error](err); ok {
		return readDetails(c).fields
	}
	return nil
}

// RetryAfter returns the RetryInfo of the Problem, Downstream or received Connect error in err's chain; 0 if not said.
func RetryAfter(err error) time.Duration {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p.RetryAfter
	}
	if d, ok := errors.AsType[*Downstream](err); ok {
		return d.RetryAfter()
	}
	if c, ok := errors.AsType[*connect.Error](err); ok {
		return readDetails(c).retryAfter
	}
	return 0
}

// Code returns the code of the Problem, Downstream or Connect error in err's chain, that of a context error, and
// connect.CodeUnknown for every other error. It is 0 for nil.
func Code(err error) connect.Code {
	if err == nil {
		return 0
	}
	if p, ok := errors.AsType[*Problem](err); ok {
		return p.Code
	}
	if d, ok := errors.AsType[*Downstream](err); ok {
		return d.Code()
	}
	if code, ok := contextCode(err); ok {
		if _, isConnect := errors.AsType[*connect.Error](err); !isConnect {
			return code
		}
	}
	return connect.CodeOf(err)
}

// Final reports whether the same call gets code again however often it is repeated, until somebody changes something: a
// job that meets such a code ends. A peer that does not know us or the call yet (unauthenticated, unimplemented) is a deployment
// on its way, and internal is a bug that may be fixed before the attempts are exhausted; so these are not final.
func Final(code connect.Code) bool {
	switch code {
	case connect.CodeInvalidArgument, connect.CodeAlreadyExists, connect.CodePermissionDenied,
		connect.CodeNotFound, connect.CodeFailedPrecondition, connect.CodeOutOfRange:
		return true
	default:
		return false
	}
}
