package ledgersvc

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/formancehq/formance-sdk-go/v3/pkg/models/sdkerrors"
	"github.com/formancehq/formance-sdk-go/v3/pkg/models/shared"
)

// awayError is a call whose outcome is not known: no answer, a cut one, or one that speaks of the server's trouble.
type awayError struct {
	call       string
	notSent    bool // the ledger did not get this attempt
	hopeless   bool // a repeat within this call does not help: credentials, a missing ledger, an open breaker
	retryAfter time.Duration
	status     int // of the answer; 0: none
	err        error
}

// denied says that the server wants other credentials.
func (e *awayError) denied() bool {
	return e.status == http.StatusUnauthorized || e.status == http.StatusForbidden
}

// inTrouble says that there was no answer, or one that says nothing about what is asked for.
func (e *awayError) inTrouble() bool {
	return e.status == 0 || e.status == http.StatusTooManyRequests || e.status >= http.StatusInternalServerError
}

// answered says that the server answered with a failure that another request may not get.
func (e *awayError) answered() bool {
	return !e.hopeless && e.status != 0 && e.status != http.StatusTooManyRequests && e.status != http.StatusServiceUnavailable
}

// Error is for logs.
func (e *awayError) Error() string { return e.call + ": " + e.err.Error() }

// Unwrap returns the cause.
func (e *awayError) Unwrap() error { return e.err }

func isAway(err error) bool {
	_, ok := errors.AsType[*awayError](err)
	return ok
}

// takenError is an answer that the reference is in use; it may be by an attempt of our own.
type takenError struct{ err error }

// Error is for logs.
func (e *takenError) Error() string { return "reference in use: " + e.err.Error() }

// Unwrap returns the cause.
func (e *takenError) Unwrap() error { return e.err }

// refusedError is a decision of the ledger against a request; this attempt posted nothing.
type refusedError struct {
	call string
	code shared.V2ErrorsEnum // empty if it is not in the SDK's list
	err  error
}

// Error is for logs.
func (e *refusedError) Error() string { return fmt.Sprintf("%s is refused: %v", e.call, e.err) }

// Unwrap returns the cause.
func (e *refusedError) Unwrap() error { return e.err }

// mayBeKey says that the answer may mean a key which was used for another body as well as a malformed request.
func (e *refusedError) mayBeKey() bool { return e.code == shared.V2ErrorsEnumValidation }

// classify says what the answer to a call means. The SDK's errors do not carry the status of an answer and lose codes
// that they do not know, so the status is taken from the transport. A status of 0 is no answer at all.
func classify(call string, answer *responseStatus, err error) error {
	if err == nil {
		return nil
	}
	var code shared.V2ErrorsEnum
	if body, ok := errors.AsType[*sdkerrors.V2ErrorResponse](err); ok {
		code = body.ErrorCode
	}
	away := &awayError{call: call, retryAfter: answer.retryAfter, status: answer.status, err: fmt.Errorf("status %d: %w", answer.status, err)}
	switch {
	case answer.status == http.StatusConflict:
		return &takenError{err: err}
	case answer.status == http.StatusBadRequest && code == shared.V2ErrorsEnumOutdatedSchema:
		away.hopeless = true
		return away
	case answer.status == http.StatusBadRequest, answer.status == http.StatusNotFound && code == shared.V2ErrorsEnumNotFound:
		return &refusedError{call: call, code: code, err: err}
	case answer.status == http.StatusUnauthorized, answer.status == http.StatusForbidden,
		answer.status == http.StatusNotFound, answer.status == http.StatusMethodNotAllowed:
		away.hopeless = true
		return away
	default:
		return away
	}
}
