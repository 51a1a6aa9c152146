package rpc

import (
	"context"
	"net/http"

	"connectrpc.com/connect"

	"github.com/dayof/dayof/internal/chassis/problem"
)

// The headers of idempotent calls.
const (
	idempotencyKeyHeader      = "Idempotency-Key"
	idempotencyReplayedHeader = "Idempotency-Replayed"
)

// idempotencyKeyMax is the longest key, in characters.
const idempotencyKeyMax = 255

type outgoingKey struct{}

// WithIdempotencyKey returns a context whose outgoing calls carry the key. Make the key and store it before the call:
// a repeat with the same key has one effect. The key of an incoming call is never passed on by itself.
func WithIdempotencyKey(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, outgoingKey{}, key)
}

// IdempotencyKey returns the key of the incoming call; "" if it has none.
func IdempotencyKey(ctx context.Context) string {
	info, ok := connect.CallInfoForHandlerContext(ctx)
	if !ok {
		return ""
	}
	return info.RequestHeader().Get(idempotencyKeyHeader)
}

// SetReplayed says in the answer, and in the log, that it is the stored answer of an earlier call.
func SetReplayed(ctx context.Context) {
	if info, ok := connect.CallInfoForHandlerContext(ctx); ok {
		info.ResponseHeader().Set(idempotencyReplayedHeader, "true")
	}
	if c := callFrom(ctx); c != nil {
		c.replayed = true
	}
}

// checkIdempotencyKey refuses a call that may change something and cannot be repeated safely.
func checkIdempotencyKey(level connect.IdempotencyLevel, header http.Header) *problem.Problem {
	if level == connect.IdempotencyNoSideEffects {
		return nil
	}
	keys := header.Values(idempotencyKeyHeader)
	switch {
	case len(keys) == 0 || keys[0] == "":
		return problem.New(connect.CodeInvalidArgument, problem.ReasonIdempotencyKeyRequired,
			"send a header Idempotency-Key that is new for each intention and the same for its retries")
	case len(keys) > 1 || !isIdempotencyKey(keys[0]):
		return problem.New(connect.CodeInvalidArgument, problem.ReasonIdempotencyKeyInvalid,
			"the header Idempotency-Key must be one value of 1 to 255 visible ASCII characters")
	default:
		return nil
	}
}

func isIdempotencyKey(key string) bool {
	if key == "" || len(key) > idempotencyKeyMax {
		return false
	}
	for i := range len(key) {
		if key[i] < '!' || key[i] > '~' {
			return false
		}
	}
	return true
}
