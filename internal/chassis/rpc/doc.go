// Package rpc is how our services listen and how they call each other: Serve and Dial, and the interceptors on both
// sides. It knows nothing of ticketing.
//
// A call passes, from the outside in:
//
//	edge         limit of calls in flight, size and time limits of the body, refusals that connect makes itself
//	gate         who calls, may they, is there an idempotency key; before a byte of the message is decoded
//	interceptor  deadline, one log line, metrics, panics, the error boundary (package problem)
//	validation   the limits of the schema
//	handler
//
// RPCs are unary, or answer one request with a stream; the schema's lint says so, and other streams are refused here.
package rpc
