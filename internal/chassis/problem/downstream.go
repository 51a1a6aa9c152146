package problem

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"
)

// Downstream is the error of a call to somebody else: another of our services, Stripe, the ledger, Apple.
//
// It does not unwrap to a *connect.Error, so another party's not_found cannot become ours by accident. Translate the
// outcomes you understand right at the call; the rest becomes unavailable or internal at our own boundary.
type Downstream struct {
	call       string // what was called
	code       connect.Code
	reason     string
	message    string
	fields     []Field
	retryAfter time.Duration
	cause      error // holds no *connect.Error
}

// NewDownstream returns the error of a call to an outside party that does not speak Connect. call names it, as in
// "stripe.PaymentIntents.New"; code says what kind of failure it was; cause is for logs.
func NewDownstream(call string, code connect.Code, cause error) *Downstream {
	d := &Downstream{call: call, code: code, cause: withoutConnect(cause)}
	if cause != nil {
		d.message = cause.Error()
	}
	return d
}

// WithReason returns a copy of d with the other party's own word for what went wrong.
func (d *Downstream) WithReason(reason string) *Downstream {
	c := *d
	c.reason = reason
	return &c
}

// WithRetryAfter returns a copy of d that says when a retry may help.
func (d *Downstream) WithRetryAfter(after time.Duration) *Downstream {
	c := *d
	c.retryAfter = after
	return &c
}

// FromCall turns the error of a Connect client into a Downstream; nil stays nil. What the peer did not send itself
// (a refused connection, a cut or garbled reply, a proxy's page) is unavailable: the outcome of the call is unknown.
func FromCall(procedure string, err error) error {
	if err == nil {
		return nil
	}
	if d, ok := errors.AsType[*Downstream](err); ok {
		return d
	}
	connectErr, ok := errors.AsType[*connect.Error](err)
	if !ok {
		code, isContext := contextCode(err)
		if !isContext {
			code = connect.CodeUnavailable
		}
		return NewDownstream(procedure, code, err)
	}
	details := readDetails(connectErr)
	d := &Downstream{
		call:       procedure,
		code:       connectErr.Code(),
		reason:     details.reason,
		message:    connectErr.Message(),
		fields:     details.fields,
		retryAfter: details.retryAfter,
		cause:      withoutConnect(connectErr.Unwrap()),
	}
	if !connect.IsWireError(connectErr) && !synthesized(d.code) {
		d.code = connect.CodeUnavailable
	}
	return d
}

// synthesized says which codes mean what they say when the client made them up itself. The others stand for a broken
// connection or a reply that is none: connect-go gives unknown, internal or even invalid_argument for these.
func synthesized(code connect.Code) bool {
	switch code {
	case connect.CodeCanceled, connect.CodeDeadlineExceeded, connect.CodeResourceExhausted,
		connect.CodeUnauthenticated, connect.CodePermissionDenied, connect.CodeUnimplemented:
		return true
	default:
		return false
	}
}

// Code is the code of the call. A failure to reach the peer or to read its answer is unavailable.
func (d *Downstream) Code() connect.Code { return d.code }

// Reason is the reason that the peer gave; "" if none.
func (d *Downstream) Reason() string { return d.reason }

// Message is the text that came with the error. It is for logs: never send it on.
func (d *Downstream) Message() string { return d.message }

// RetryAfter is when the peer said a retry may help; 0 if it did not.
func (d *Downstream) RetryAfter() time.Duration { return d.retryAfter }

// Retryable reports whether the same call with the same key may succeed later. True says nothing about whether the
// effect already happened. A limit (resource_exhausted) is retryable only if the peer said when.
func (d *Downstream) Retryable() bool {
	switch d.code {
	case connect.CodeUnavailable, connect.CodeAborted, connect.CodeDeadlineExceeded, connect.CodeCanceled:
		return true
	case connect.CodeResourceExhausted:
		return d.retryAfter > 0
	default:
		return false
	}
}

// Error is for logs.
func (d *Downstream) Error() string {
	if d.reason != "" {
		return fmt.Sprintf("call %s: %s %s: %s", d.call, d.code, d.reason, d.message)
	}
	return fmt.Sprintf("call %s: %s: %s", d.call, d.code, d.message)
}

// Unwrap returns the cause below the protocol, a dial error for instance; never a *connect.Error.
func (d *Downstream) Unwrap() error { return d.cause }

// withoutConnect keeps an error out of our chain that would be mistaken for an error of our own.
func withoutConnect(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*connect.Error](err); ok {
		return errors.New(err.Error())
	}
	return err
}

// contextCode is the code of a context error in err's chain.
func contextCode(err error) (connect.Code, bool) {
	switch {
	case errors.Is(err, context.Canceled):
		return connect.CodeCanceled, true
	case errors.Is(err, context.DeadlineExceeded):
		return connect.CodeDeadlineExceeded, true
	default:
		return 0, false
	}
}
