package problem_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"buf.build/go/protovalidate"
	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/dayof/dayof/internal/chassis/problem"
)

// reason is a value of an enum as protoc-gen-go makes them.
type reason string

func (r reason) String() string { return string(r) }

func TestReasonOf(t *testing.T) {
	t.Parallel()
	const notFound = reason("REASON_ENTRY_NOT_FOUND")
	if got := problem.ReasonOf(notFound); got != "ENTRY_NOT_FOUND" {
		t.Errorf("got %q", got)
	}
	p := problem.New(connect.CodeNotFound, problem.ReasonOf(notFound), "no entry has this reference")
	answered := problem.NewDownstream("call", connect.CodeNotFound, p).WithReason("ENTRY_NOT_FOUND")
	for name, err := range map[string]error{"a problem": fmt.Errorf("get entry: %w", p), "an answer": answered} {
		if !problem.Is(err, notFound) || problem.Is(err, reason("REASON_RUN_NOT_FOUND")) {
			t.Errorf("%s is not recognised by its reason: %v", name, err)
		}
	}
	if problem.Is(nil, notFound) {
		t.Error("no error has a reason")
	}
}

func TestProblem(t *testing.T) {
	t.Parallel()
	cause := errors.New("cause")
	p := problem.New(connect.CodeFailedPrecondition, "ORDER_ALREADY_PAID", "the order is paid")
	because := fmt.Errorf("complete: %w", p.Because(cause))
	if got := because.Error(); got != "complete: failed_precondition ORDER_ALREADY_PAID: the order is paid: cause" {
		t.Errorf("log text %q", got)
	}
	if !errors.Is(because, cause) || errors.Is(p, cause) {
		t.Error("Because changes its receiver or loses its cause")
	}
	if problem.Code(because) != connect.CodeFailedPrecondition || problem.Reason(because) != "ORDER_ALREADY_PAID" {
		t.Errorf("read back %v %q", problem.Code(because), problem.Reason(because))
	}
	f := problem.InvalidField("lines[0].quantity", "must be at least 1")
	if f.Code != connect.CodeInvalidArgument || f.Reason != problem.ReasonInvalidField || len(f.Fields) != 1 {
		t.Errorf("got %+v", f)
	}
}

func TestOnTheWire(t *testing.T) {
	t.Parallel()
	p := problem.New(connect.CodeAborted, "RACE", "again")
	p.Fields = []problem.Field{{Path: "a", Description: "b"}, {Path: "c", Description: "d"}}
	p.RetryAfter = 1500 * time.Millisecond
	wire := fmt.Errorf("call: %w", p.Because(errors.New("secret")).ConnectError())
	if strings.Contains(wire.Error(), "secret") {
		t.Errorf("the cause is sent: %v", wire)
	}
	if problem.Code(wire) != connect.CodeAborted || problem.Reason(wire) != "RACE" || problem.RetryAfter(wire) != p.RetryAfter ||
		fmt.Sprint(problem.Fields(wire)) != fmt.Sprint(p.Fields) {
		t.Errorf("read back %v %q %v %v", problem.Code(wire), problem.Reason(wire), problem.RetryAfter(wire), problem.Fields(wire))
	}
	bare := problem.New(connect.CodeNotFound, "", "").ConnectError()
	if problem.Reason(bare) != "" || problem.Fields(bare) != nil || problem.RetryAfter(bare) != 0 || len(bare.Details()) != 0 {
		t.Errorf("a bare problem has details: %v", bare.Details())
	}
}

func TestReadingOtherErrors(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err  error
		want connect.Code
	}{
		"nil":      {nil, 0},
		"plain":    {errors.New("x"), connect.CodeUnknown},
		"canceled": {fmt.Errorf("x: %w", context.Canceled), connect.CodeCanceled},
		"deadline": {fmt.Errorf("x: %w", context.DeadlineExceeded), connect.CodeDeadlineExceeded},
		"connect error of a context": {
			connect.NewError(connect.CodeUnavailable, context.Canceled), connect.CodeUnavailable,
		},
	} {
		if got := problem.Code(tc.err); got != tc.want {
			t.Errorf("%s: code %v, want %v", name, got, tc.want)
		}
		if problem.Reason(tc.err) != "" || problem.Fields(tc.err) != nil || problem.RetryAfter(tc.err) != 0 {
			t.Errorf("%s has details", name)
		}
	}
}

func TestDownstream(t *testing.T) {
	t.Parallel()
	if err := problem.FromCall("/x/Y", nil); err != nil {
		t.Errorf("nil became %v", err)
	}
	refused := &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	for name, tc := range map[string]struct {
		err       error
		code      connect.Code
		retryable bool
	}{
		"sent by the peer: not_found":   {connect.NewWireError(connect.CodeNotFound, errors.New("x")), connect.CodeNotFound, false},
		"sent by the peer: internal":    {connect.NewWireError(connect.CodeInternal, errors.New("x")), connect.CodeInternal, false},
		"sent by the peer: unavailable": {connect.NewWireError(connect.CodeUnavailable, errors.New("x")), connect.CodeUnavailable, true},
		"sent by the peer: aborted":     {connect.NewWireError(connect.CodeAborted, errors.New("x")), connect.CodeAborted, true},
		"sent by the peer: exhausted":   {connect.NewWireError(connect.CodeResourceExhausted, errors.New("x")), connect.CodeResourceExhausted, false},
		"made up here: unknown":         {connect.NewError(connect.CodeUnknown, io.ErrUnexpectedEOF), connect.CodeUnavailable, true},
		"made up here: bad answer":      {connect.NewError(connect.CodeInvalidArgument, errors.New("unmarshal")), connect.CodeUnavailable, true},
		"made up here: dial":            {connect.NewError(connect.CodeUnavailable, refused), connect.CodeUnavailable, true},
		"made up here: deadline":        {connect.NewError(connect.CodeDeadlineExceeded, context.DeadlineExceeded), connect.CodeDeadlineExceeded, true},
		"no Connect error":              {refused, connect.CodeUnavailable, true},
		"context":                       {context.Canceled, connect.CodeCanceled, true},
	} {
		err := fmt.Errorf("ask: %w", problem.FromCall("/x/Y", tc.err))
		d, ok := errors.AsType[*problem.Downstream](err)
		if !ok || d.Code() != tc.code || d.Retryable() != tc.retryable || problem.Code(err) != tc.code {
			t.Errorf("%s: %v, retryable %v", name, d, d.Retryable())
		}
		if _, leaks := errors.AsType[*connect.Error](err); leaks {
			t.Errorf("%s unwraps to a Connect error", name)
		}
		if !strings.Contains(err.Error(), "/x/Y") {
			t.Errorf("%s: the log does not say what was called: %v", name, err)
		}
		if again, ok := errors.AsType[*problem.Downstream](problem.FromCall("/x/Z", err)); !ok || again != d {
			t.Errorf("%s: wrapped twice: %v", name, again)
		}
	}
	if err := problem.FromCall("/x/Y", connect.NewError(connect.CodeUnavailable, refused)); !errors.Is(err, refused) {
		t.Error("the dial error is lost")
	}
	inner := connect.NewWireError(connect.CodeNotFound, errors.New("x"))
	nested := problem.FromCall("/x/Y", connect.NewError(connect.CodeInternal, inner))
	if _, leaks := errors.AsType[*connect.Error](nested); leaks {
		t.Error("a nested Connect error leaks")
	}
}

func TestDownstreamOfAnotherParty(t *testing.T) {
	t.Parallel()
	plain := problem.NewDownstream("stripe.Refund", connect.CodeResourceExhausted, errors.New("429"))
	d := plain.WithReason("rate_limit").WithRetryAfter(time.Second)
	if plain.Retryable() || !d.Retryable() || d.RetryAfter() != time.Second || problem.Reason(d) != "rate_limit" || problem.RetryAfter(d) != time.Second {
		t.Errorf("got %+v", d)
	}
	if got := d.Error(); got != "call stripe.Refund: resource_exhausted rate_limit: 429" {
		t.Errorf("log text %q", got)
	}
	if problem.NewDownstream("x", connect.CodeInternal, nil).Message() != "" {
		t.Error("a message out of nothing")
	}
}

// The rows of the boundary that a server's test cannot bring about; rpc's TestErrorBoundary has the others.
func TestAtBoundary(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err   error
		code  connect.Code
		level slog.Level
	}{
		"no connection":          {fmt.Errorf("acquire: %w", &pgconn.ConnectError{}), connect.CodeUnavailable, slog.LevelWarn},
		"a lost connection":      {fmt.Errorf("read: %w", &net.OpError{Op: "read", Err: errors.New("reset")}), connect.CodeUnavailable, slog.LevelWarn},
		"half an answer":         {io.ErrUnexpectedEOF, connect.CodeUnavailable, slog.LevelWarn},
		"a broken rule of ours":  {connect.NewError(connect.CodeInvalidArgument, &protovalidate.CompilationError{}), connect.CodeInternal, slog.LevelError},
		"a rule that cannot run": {connect.NewError(connect.CodeInvalidArgument, &protovalidate.RuntimeError{}), connect.CodeInternal, slog.LevelError},
		"a problem that is ours": {problem.New(connect.CodeInternal, "X", "x"), connect.CodeInternal, slog.LevelError},
	} {
		p, level := problem.AtBoundary(tc.err)
		if p.Code != tc.code || level != tc.level {
			t.Errorf("%s: %v at %v", name, p, level)
		}
	}
	after := 7 * time.Second
	p, _ := problem.AtBoundary(problem.NewDownstream("x", connect.CodeUnavailable, errors.New("x")).WithRetryAfter(after))
	if p.RetryAfter != after {
		t.Errorf("the time that the dependency asks for is lost: %v", p.RetryAfter)
	}
}

func TestFinal(t *testing.T) {
	t.Parallel()
	final := []connect.Code{
		connect.CodeInvalidArgument, connect.CodeAlreadyExists, connect.CodePermissionDenied, connect.CodeNotFound,
		connect.CodeFailedPrecondition, connect.CodeOutOfRange,
	}
	for code := connect.CodeCanceled; code <= connect.CodeUnauthenticated; code++ {
		if got := problem.Final(code); got != slices.Contains(final, code) {
			t.Errorf("%s: final is %t", code, got)
		}
	}
}
