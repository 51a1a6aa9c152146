package rpc

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"strings"

	"connectrpc.com/connect"

	"github.com/dayof/dayof/internal/chassis/config"
	"github.com/dayof/dayof/internal/chassis/problem"
)

// Role is what a caller may do. A higher role may do all that a lower one may.
type Role int

// The roles.
const (
	// RolePublic is anybody. The handler checks the token of the call itself, if it needs one.
	RolePublic Role = 1
	// RoleDevice holds a token that the service itself has given to a device of staff, such as a scanner. What it may be used for the
	// handler checks by the caller's Credential.
	RoleDevice Role = 2
	// RoleOperator holds the operator token: staff, and our own services.
	RoleOperator Role = 3
)

// Policy says for each procedure ("/dayof.checkout.v1.CheckoutService/GetOrder") the least role that may call it. A
// procedure that is absent is refused to everybody, so a new RPC is closed until somebody decides.
type Policy map[string]Role

// Caller is who calls.
type Caller struct {
	// Name is the scope of the caller's idempotency keys and what the log says: "buyer", "buyer:" and a hash of the
	// token it brought, "operator", or "service:checkoutsvc".
	Name string
	Role Role
	// OrganizerID limits the caller to one organiser; empty: not limited.
	OrganizerID string
	// Credential is what the service's own Identify knows of a token; nil for all others.
	Credential any
}

// Identify says who holds a token that is not the operator's; false: nobody. It is asked only for procedures that such a token may call, before
// the message is read, so a wrong token must cost little.
type Identify func(ctx context.Context, token string) (Caller, bool, error)

// anonymous is the name of all callers that bring no token.
const anonymous = "buyer"

type callerKey struct{}

// WithCaller returns a context of a call made by c. A handler that has checked a token itself uses it to narrow the
// scope of idempotency keys.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// CallerFrom returns who makes the call of ctx; the zero Caller outside of a call.
func CallerFrom(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}

// BearerToken returns the bearer token that the incoming call carries; "" if none. The token is not checked.
func BearerToken(ctx context.Context) string {
	info, ok := connect.CallInfoForHandlerContext(ctx)
	if !ok {
		return ""
	}
	return bearer(info.RequestHeader())
}

func bearer(h http.Header) string {
	scheme, token, ok := strings.Cut(h.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// serviceHeader names the calling service. It is believed only beside a valid operator token.
const serviceHeader = "Dayof-Service"

// authenticator knows the operator tokens by their hash, so that comparing takes the same time for every token.
type authenticator struct {
	policy    Policy
	operators [][sha256.Size]byte
	known     Identify // may be nil
}

func newAuthenticator(policy Policy, tokens []config.Secret, known Identify) authenticator {
	a := authenticator{policy: policy, known: known}
	for _, t := range tokens {
		a.operators = append(a.operators, sha256.Sum256([]byte(t.Reveal())))
	}
	return a
}

// check returns who calls procedure, or why it is refused.
func (a authenticator) check(ctx context.Context, procedure string, header http.Header) (Caller, *problem.Problem) {
	caller := a.identify(header)
	least, listed := a.policy[procedure]
	if token := bearer(header); listed && least == RoleDevice && caller.Role < least && token != "" && a.known != nil {
		switch known, ok, err := a.known(ctx, token); {
		case err != nil:
			p, _ := problem.AtBoundary(err)
			return caller, p
		case ok:
			caller = known
		}
	}
	switch {
	case !listed:
		return caller, problem.New(connect.CodePermissionDenied, problem.ReasonPermissionDenied,
			"nobody may call this procedure here")
	case caller.Role >= least:
		return caller, nil
	default:
		return caller, problem.New(connect.CodeUnauthenticated, problem.ReasonUnauthenticated,
			"send a valid token in the header Authorization: Bearer")
	}
}

func (a authenticator) identify(header http.Header) Caller {
	token := bearer(header)
	if token == "" { // also where a token that is not configured would equal it
		return Caller{Name: anonymous, Role: RolePublic}
	}
	sum := sha256.Sum256([]byte(token))
	known := 0
	for i := range a.operators {
		known |= subtle.ConstantTimeCompare(sum[:], a.operators[i][:])
	}
	if known == 0 {
		// Two buyers never share a scope, also if both choose the key "1".
		return Caller{Name: "buyer:" + hex.EncodeToString(sum[:8]), Role: RolePublic}
	}
	if service := header.Get(serviceHeader); isServiceName(service) {
		return Caller{Name: "service:" + service, Role: RoleOperator}
	}
	return Caller{Name: "operator", Role: RoleOperator}
}

func isServiceName(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}
