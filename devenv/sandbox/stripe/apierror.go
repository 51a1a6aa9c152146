package stripe

import (
	"fmt"
	"net/http"
)

// Error types of the v1 API.
const (
	typeInvalidRequest = "invalid_request_error"
	typeIdempotency    = "idempotency_error"
	typeCard           = "card_error"
	typeAPI            = "api_error"
)

// apiError is an answer other than 200, in Stripe's shape.
type apiError struct {
	status int
	// rejected marks a request that never began to execute (authentication, validation, a conflict): Stripe stores no
	// idempotent result for it, so the same key may be used again.
	rejected bool

	Charge        string         `json:"charge,omitempty"`
	Code          string         `json:"code,omitempty"`
	DeclineCode   string         `json:"decline_code,omitempty"`
	DocURL        string         `json:"doc_url,omitempty"`
	Message       string         `json:"message"`
	Param         string         `json:"param,omitempty"`
	PaymentIntent *PaymentIntent `json:"payment_intent,omitempty"`
	PaymentMethod *PaymentMethod `json:"payment_method,omitempty"`
	RequestLogURL string         `json:"request_log_url,omitempty"`
	Type          string         `json:"type"`
}

// errorBody is the envelope of every refusal.
type errorBody struct {
	Error *apiError `json:"error"`
}

// invalid is a refusal of a parameter before anything was executed.
func invalid(param, code, format string, args ...any) *apiError {
	return &apiError{
		status: http.StatusBadRequest, rejected: true, Type: typeInvalidRequest,
		Code: code, Param: param, Message: fmt.Sprintf(format, args...),
	}
}

// refused is a refusal by the state of an object: executed, hence stored under the idempotency key.
func refused(param, code, format string, args ...any) *apiError {
	e := invalid(param, code, format, args...)
	e.rejected = false
	return e
}

// missing says that no such object exists in the account of the request.
func missing(kind, id, param string) *apiError {
	e := invalid(param, "resource_missing", "No such %s: '%s'", kind, id)
	e.status = http.StatusNotFound
	return e
}

// unsupported refuses what the real API has and this stand-in has not. It is no code of Stripe's: a caller must never
// learn to live with behaviour that was made up here.
func unsupported(param string) *apiError {
	return invalid(param, "sandbox_unsupported", "The sandbox does not implement the parameter %s.", param)
}

func unauthorized(format string, args ...any) *apiError {
	return &apiError{
		status: http.StatusUnauthorized, rejected: true, Type: typeInvalidRequest, Message: fmt.Sprintf(format, args...),
	}
}

// finish fills what every error carries: links to its documentation and to the log of the request.
func (e *apiError) finish(requestID string) *apiError {
	done := *e
	if done.Code != "" {
		done.DocURL = docURL(done.Code)
	}
	done.RequestLogURL = "https://dashboard.stripe.com/test/logs/" + requestID
	return &done
}

func docURL(code string) string {
	kebab := []byte(code)
	for i, c := range kebab {
		if c == '_' {
			kebab[i] = '-'
		}
	}
	return "https://stripe.com/docs/error-codes/" + string(kebab)
}
