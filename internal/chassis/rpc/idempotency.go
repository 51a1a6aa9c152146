package rpc

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"

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

// checkIdempotencyKey refuses a call that may change something and cannot be repeated safely. All callers without a token
// share one space of keys, and a replay is answered with what the first call got: so their keys must be secrets.
func checkIdempotencyKey(level connect.IdempotencyLevel, caller Caller, header http.Header) *problem.Problem {
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
	case caller.Name == anonymous && !isUnguessable(keys[0]):
		return problem.New(connect.CodeInvalidArgument, problem.ReasonIdempotencyKeyInvalid,
			"without a bearer token the header Idempotency-Key must be random: 22 or more letters and digits, such as a UUID, because whoever knows it gets the answer of the first call")
	default:
		return nil
	}
}

const (
	// keySecretMin is how many characters a key of 128 random bits has at least, in an alphabet of 64. A UUID has 32
	// hexadecimal digits.
	keySecretMin = 22
	// keyDistinctMin is how many different characters such a key has at least: 22 random hexadecimal digits have fewer than 8
	// of the 16 once in some hundred thousand times, and longer ones practically never.
	keyDistinctMin = 8
)

// isUnguessable reports whether a key can have 128 random bits. Hyphens are separators.
func isUnguessable(key string) bool {
	key = strings.ReplaceAll(key, "-", "")
	distinct := map[rune]bool{}
	for _, r := range key {
		distinct[r] = true
	}
	return len(key) >= keySecretMin && len(distinct) >= keyDistinctMin
}

// keyHash is a key as it is logged: a replay of the key itself may be answered with a buyer's token.
func keyHash(key string) string {
	sum := sha256.Sum256([]byte(key))
	return "sha256:" + hex.EncodeToString(sum[:8])
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
