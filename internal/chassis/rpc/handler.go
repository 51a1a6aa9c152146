package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"connectrpc.com/connect"
	"connectrpc.com/validate"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/config"
	"github.com/dayof/dayof/internal/chassis/problem"
)

const (
	// readMax is the largest request message, in bytes, and readMaxPublic that of a call that needs no operator's token.
	readMax       = 1 << 20
	readMaxPublic = 16 << 10
	// compressMin is the smallest answer that is worth compressing, in bytes.
	compressMin = 1 << 10
	// answerReserve is what a callee keeps back of its caller's deadline, so that its answer still arrives.
	answerReserve = 20 * time.Millisecond
	// handlerTimeout is the deadline of a call that brings none, and the longest there is.
	handlerTimeout = 30 * time.Second
)

// HandlerConfig is what the handlers of a service need. Logger, Clock and Policy are required.
type HandlerConfig struct {
	Logger         *slog.Logger
	Clock          clock.Clock
	Policy         Policy
	OperatorTokens []config.Secret      // any of these is the operator's; several while a token is rotated
	Registry       *prometheus.Registry // rpc_requests_total and rpc_request_seconds; nil: not counted
	// Identify knows the tokens that the service has given out itself; nil: there are none.
	Identify Identify
	// OnWrongToken is called for each call that is refused with a token which is not the operator's; it must not block.
	// Nil: for nobody. Calls without a token, which every scanner makes, are not told.
	OnWrongToken func()
}

// NewHandlerOptions returns the options for every generated handler of a service. They identify the caller, enforce
// the policy, demand an idempotency key from each procedure that is not NO_SIDE_EFFECTS, validate the message, keep
// back 20 ms of the deadline, log one line per call, and turn every error and panic into a problem.
//
// Serve adds what only the HTTP server can see; tests that mount a handler by themselves use NewHandler.
func NewHandlerOptions(c HandlerConfig) []connect.HandlerOption {
	b := &boundary{
		observer: observer{logger: c.Logger, clock: c.Clock, metrics: newMetrics(c.Registry)},
		auth:     newAuthenticator(c.Policy, c.OperatorTokens, c.Identify), onWrongToken: c.OnWrongToken,
	}
	return []connect.HandlerOption{
		connect.WithRequestGate(b.gate),
		connect.WithInterceptors(b, sizes{}, validate.NewInterceptor()),
		connect.WithConditionalHandlerOptions(func(spec connect.Spec) []connect.HandlerOption {
			return []connect.HandlerOption{connect.WithReadMaxBytes(c.Policy.readMax(spec.Procedure))}
		}),
		connect.WithCompressMinBytes(compressMin),
		jsonCodecs(),
	}
}

// readMax is the size limit of the messages of a procedure, in bytes.
func (p Policy) readMax(procedure string) int {
	if p[procedure] == RolePublic {
		return readMaxPublic
	}
	return readMax
}

// boundary is the outermost interceptor: inside of it any error may travel, outside of it only problems do.
type boundary struct {
	observer
	auth         authenticator
	onWrongToken func() // may be nil
}

// gate runs before anything of the message is read.
func (b *boundary) gate(ctx context.Context, spec connect.Spec, _ connect.Peer, header http.Header) (context.Context, error) {
	c := callFrom(ctx)
	if c == nil {
		c = &call{start: b.clock.Now()}
		ctx = withCall(ctx, c)
	}
	c.procedure = spec.Procedure
	c.limitMessage(b.auth.policy.readMax(spec.Procedure))
	caller, refusal := b.auth.check(ctx, spec.Procedure, header)
	c.caller = caller.Name
	if refusal != nil && refusal.Code == connect.CodeUnauthenticated && bearer(header) != "" && b.onWrongToken != nil {
		b.onWrongToken()
	}
	if refusal == nil {
		refusal = checkIdempotencyKey(spec.IdempotencyLevel, caller, header)
	}
	if refusal != nil {
		c.answered = true
		b.ended(ctx, c, refusal, slog.LevelDebug)
		return nil, refusal.ConnectError()
	}
	if spec.IdempotencyLevel != connect.IdempotencyNoSideEffects {
		c.key = header.Get(idempotencyKeyHeader)
	}
	return WithCaller(ctx, caller), nil
}

// WrapUnary implements connect.Interceptor.
func (b *boundary) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		c := callFrom(ctx)
		if c == nil {
			panic("rpc: the interceptor runs without its gate")
		}
		c.answered = true
		if !c.enter() {
			p := overloaded()
			b.ended(ctx, c, p, slog.LevelDebug)
			return nil, p.ConnectError()
		}
		res, err := b.run(ctx, req, next)
		if err == nil {
			b.ended(ctx, c, nil, slog.LevelInfo)
			return res, nil
		}
		if ended := ctx.Err(); ended != nil && problem.Code(err) == connect.CodeCanceled {
			err = fmt.Errorf("%w: %s", ended, err.Error()) // the caller hung up, so a call made for it did too: nobody is unavailable
		}
		p, level := problem.AtBoundary(err)
		var extra []slog.Attr
		if panicked, ok := errors.AsType[*panicError](err); ok {
			extra = append(extra, slog.String("stack", string(panicked.stack)))
		}
		b.ended(ctx, c, p, level, extra...)
		return nil, p.ConnectError()
	}
}

// run calls the handler within its deadline and turns a panic into an error.
func (b *boundary) run(ctx context.Context, req connect.AnyRequest, next connect.UnaryFunc) (res connect.AnyResponse, err error) {
	ctx, cancel := withDeadline(ctx, handlerTimeout)
	defer cancel()
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		if r == http.ErrAbortHandler { //nolint:errorlint // net/http compares it so
			panic(r)
		}
		res, err = nil, &panicError{value: r, stack: debug.Stack()}
	}()
	return next(ctx, req)
}

// WrapStreamingClient implements connect.Interceptor.
func (b *boundary) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// withDeadline returns a context that ends before ctx does, so that there is time left to act on the end: 20 ms, or
// half of what is left when that is less. It ends after timeout at the latest.
func withDeadline(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	now := clock.System{}.Now()
	end := now.Add(timeout)
	if deadline, ok := ctx.Deadline(); ok {
		early := deadline.Add(-min(answerReserve, max(0, deadline.Sub(now)/2)))
		if early.Before(end) {
			end = early
		}
	}
	return context.WithDeadline(ctx, end)
}

// panicError is a panic of a handler.
type panicError struct {
	value any
	stack []byte
}

// Error is for logs.
func (p *panicError) Error() string { return fmt.Sprintf("panic: %v", p.value) }
