package stripeapi

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	stripe "github.com/stripe/stripe-go/v76"
)

// refusal is an answer of Stripe's that may be logged and stored. Stripe's own error writes itself as all that came with
// it, among it the payment intent and its payment method: names, addresses and client secrets of buyers.
type refusal struct{ answer *stripe.Error }

// Error names class and code, the parameter that is wrong, and the request as Stripe's dashboard finds it.
func (e *refusal) Error() string {
	parts := []string{fmt.Sprintf("stripe answers %d %s", e.answer.HTTPStatusCode, e.answer.Type)}
	for _, part := range []struct{ name, value string }{
		{"code", string(e.answer.Code)}, {"decline code", string(e.answer.DeclineCode)}, {"parameter", e.answer.Param}, {"request", e.answer.RequestID},
	} {
		if part.value != "" {
			parts = append(parts, part.name+" "+part.value)
		}
	}
	return strings.Join(parts, ", ")
}

// Unwrap returns the answer itself, for Code and Status.
func (e *refusal) Unwrap() error { return e.answer }

// withoutContent keeps what Stripe sent along with a refusal out of the error's text.
func withoutContent(err error) error {
	if answer, ok := errors.AsType[*stripe.Error](err); ok {
		return &refusal{answer: answer}
	}
	return err
}

// Away says that the outcome of a call is unknown or that the same call may
// succeed later: no answer, 5xx, too many requests, or a conflict with another
// request, which is one with the same idempotency key that has not ended, or one
// that holds the object's lock. Nil is not away.
//
// Source: Stripe API reference, "Errors" and "Idempotent requests".
func Away(err error) bool {
	switch code := Code(err); {
	case IsFailure(err), Status(err) == http.StatusConflict:
		return true
	default:
		return code == stripe.ErrorCodeLockTimeout || code == stripe.ErrorCodeIdempotencyKeyInUse
	}
}

// IsFailure says that an error speaks against Stripe and not against one request,
// for a circuit breaker: no answer, 5xx, or too many requests. A conflict does not,
// and neither does the lock of one object, which comes with 429.
func IsFailure(err error) bool {
	status := Status(err)
	return Code(err) != stripe.ErrorCodeLockTimeout && err != nil && (status == 0 || status >= http.StatusInternalServerError || status == http.StatusTooManyRequests)
}

// Stored says that Stripe answers with a failure of its own that it keeps under the idempotency key: every repeat with this key is
// answered so, whatever the first request did.
//
// Source: Stripe API reference, "Idempotent requests".
func Stored(err error) bool {
	refused, ok := errors.AsType[*stripe.Error](err)
	return ok && refused.HTTPStatusCode >= http.StatusInternalServerError && refused.LastResponse != nil &&
		refused.LastResponse.Header.Get("Idempotent-Replayed") == "true"
}

// unanswered says that Stripe did not answer at all.
func unanswered(err error) bool { return err != nil && Status(err) == 0 }

// NotFound says that Stripe knows no such object.
func NotFound(err error) bool { return Status(err) == http.StatusNotFound }

// Code is the error code of Stripe's answer, such as charge_already_refunded; ""
// if there is none.
func Code(err error) stripe.ErrorCode {
	if refused, ok := errors.AsType[*stripe.Error](err); ok {
		return refused.Code
	}
	return ""
}

// Status is the HTTP status of Stripe's refusal; 0 if there was no answer.
func Status(err error) int {
	if refused, ok := errors.AsType[*stripe.Error](err); ok {
		return refused.HTTPStatusCode
	}
	return 0
}
