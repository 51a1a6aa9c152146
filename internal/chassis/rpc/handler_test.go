package rpc_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/config"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/chassis/rpc"
	"github.com/dayof/dayof/internal/chassis/rpc/testpb"
)

func TestWhoMayCall(t *testing.T) {
	t.Parallel()
	const nobody, deviceToken = rpc.Role(0), "device-token-of-this-test"
	cases := map[string]struct {
		least  rpc.Role // nobody: the procedure is not in the policy
		token  string
		name   string
		code   connect.Code // 0: may call
		caller string
	}{
		"a public procedure takes anybody":              {rpc.RolePublic, "", "", 0, "buyer"},
		"a public procedure passes tokens on":           {rpc.RolePublic, "order-token", "", 0, "buyer:613fbd2867776c11"},
		"tokens have scopes of their own":               {rpc.RolePublic, "order-token-2", "", 0, "buyer:dca4e87eeddf902e"},
		"the operator may call public procedures":       {rpc.RolePublic, operatorToken, "", 0, "operator"},
		"an operator's procedure wants a token":         {rpc.RoleOperator, "", "", connect.CodeUnauthenticated, ""},
		"an operator's procedure wants the right token": {rpc.RoleOperator, "operator-token-of-this-tesT", "", connect.CodeUnauthenticated, ""},
		"the operator token opens":                      {rpc.RoleOperator, operatorToken, "", 0, "operator"},
		"the next operator token opens too":             {rpc.RoleOperator, "the-next-token", "", 0, "operator"},
		"a service is named":                            {rpc.RoleOperator, operatorToken, "checkoutsvc", 0, "service:checkoutsvc"},
		"a name without the token means nothing":        {rpc.RolePublic, "", "checkoutsvc", 0, "buyer"},
		"a name that is none is ignored":                {rpc.RoleOperator, operatorToken, "x y", 0, "operator"},
		"a device's token opens what devices may call":  {rpc.RoleDevice, deviceToken, "", 0, "device:1"},
		"and nothing of the operator's":                 {rpc.RoleOperator, deviceToken, "", connect.CodeUnauthenticated, ""},
		"a device's procedure wants a token":            {rpc.RoleDevice, "", "", connect.CodeUnauthenticated, ""},
		"a device's procedure wants the right token":    {rpc.RoleDevice, "device-token-of-nobody", "", connect.CodeUnauthenticated, ""},
		"the operator may do what devices may":          {rpc.RoleDevice, operatorToken, "", 0, "operator"},
		"a device is anybody to a public procedure":     {rpc.RolePublic, deviceToken, "", 0, "buyer:4953c1081b0eda9d"},
		"what is not listed is closed":                  {nobody, operatorToken, "", connect.CodePermissionDenied, ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got rpc.Caller
			var token string
			s := newServer(t, &notebook{read: func(ctx context.Context, _ *testpb.ReadRequest) (*testpb.ReadResponse, error) {
				got, token = rpc.CallerFrom(ctx), rpc.BearerToken(ctx)
				return &testpb.ReadResponse{}, nil
			}}, func(h *rpc.HandlerConfig, _ *rpc.Config) {
				h.Policy = rpc.Policy{}
				if tc.least != nobody {
					h.Policy[testpb.NotebookServiceReadProcedure] = tc.least
				}
				h.Identify = func(_ context.Context, token string) (rpc.Caller, bool, error) {
					if tc.least != rpc.RoleDevice || token == operatorToken {
						t.Errorf("asked whose token %q is", token)
					}
					return rpc.Caller{Name: "device:1", Role: rpc.RoleDevice}, token == deviceToken, nil
				}
				h.OperatorTokens = append(h.OperatorTokens, config.NewSecret("the-next-token"), config.NewSecret(""))
			})
			client := newClient(t, s, func(c *rpc.DialConfig) { c.Token, c.Name = config.NewSecret(tc.token), tc.name })
			_, err := client.Read(t.Context(), &testpb.ReadRequest{})
			if problem.Code(err) != tc.code {
				t.Fatalf("got %v, want %v", err, tc.code)
			}
			if tc.code == 0 && (got.Name != tc.caller || token != tc.token) {
				t.Errorf("caller %+v with %q, want %s", got, token, tc.caller)
			}
			if log := s.log.String(); tc.token != "" && strings.Contains(log, tc.token) {
				t.Errorf("the log holds a token: %s", log)
			}
		})
	}
}

func TestIdempotencyKeyHeader(t *testing.T) {
	t.Parallel()
	var received string
	s := newServer(t, &notebook{write: func(ctx context.Context, _ *testpb.WriteRequest) (*testpb.WriteResponse, error) {
		received = rpc.IdempotencyKey(ctx)
		return &testpb.WriteResponse{}, nil
	}}, nil)
	client := newClient(t, s, nil)
	for key, reason := range map[string]string{
		"":                       problem.ReasonIdempotencyKeyRequired,
		"with space":             problem.ReasonIdempotencyKeyInvalid,
		"größe":                  problem.ReasonIdempotencyKeyInvalid,
		strings.Repeat("x", 256): problem.ReasonIdempotencyKeyInvalid,
		strings.Repeat("x", 255): "",
		"order/4711/record-sale": "",
		"!~":                     "",
	} {
		received = "(not called)"
		_, err := client.Write(rpc.WithIdempotencyKey(t.Context(), key), &testpb.WriteRequest{Text: "x"})
		if problem.Reason(err) != reason || (err == nil) != (reason == "") {
			t.Errorf("key %q: %v, want reason %q", key, err, reason)
		}
		if want := map[bool]string{true: key, false: "(not called)"}[reason == ""]; received != want {
			t.Errorf("key %q: the handler got %q", key, received)
		}
	}
	ctx, info := connect.NewClientContext(t.Context())
	info.RequestHeader()["Idempotency-Key"] = []string{"a", "b"}
	_, err := client.Write(ctx, &testpb.WriteRequest{Text: "x"})
	wantProblem(t, err, connect.CodeInvalidArgument, problem.ReasonIdempotencyKeyInvalid)
	if _, err := client.Read(t.Context(), &testpb.ReadRequest{}); err != nil {
		t.Errorf("a call without side effects needs a key: %v", err)
	}
}

// The key of an incoming call belongs to that call: an outgoing one made for it has a key of its own or none.
func TestKeysAreNotPassedOn(t *testing.T) {
	t.Parallel()
	inner := newServer(t, &notebook{}, nil)
	innerClient := newClient(t, inner, nil)
	var innerErr error
	outer := newServer(t, &notebook{write: func(ctx context.Context, req *testpb.WriteRequest) (*testpb.WriteResponse, error) {
		_, innerErr = innerClient.Write(ctx, req)
		return &testpb.WriteResponse{}, nil
	}}, nil)
	if _, err := newClient(t, outer, nil).Write(rpc.WithIdempotencyKey(t.Context(), "outer"), &testpb.WriteRequest{Text: "x"}); err != nil {
		t.Fatal(err)
	}
	wantProblem(t, innerErr, connect.CodeInvalidArgument, problem.ReasonIdempotencyKeyRequired)
}

func TestReplayedIsSaid(t *testing.T) {
	t.Parallel()
	s := newServer(t, &notebook{write: func(ctx context.Context, _ *testpb.WriteRequest) (*testpb.WriteResponse, error) {
		rpc.SetReplayed(ctx)
		return &testpb.WriteResponse{}, nil
	}}, nil)
	for name, opts := range map[string][]connect.ClientOption{"connect": nil, "grpc": {connect.WithGRPC()}, "grpcweb": {connect.WithGRPCWeb()}} {
		ctx, info := connect.NewClientContext(rpc.WithIdempotencyKey(t.Context(), secretKey))
		if _, err := newClient(t, s, nil, opts...).Write(ctx, &testpb.WriteRequest{Text: "x"}); err != nil {
			t.Fatal(err)
		}
		if got := info.ResponseHeader().Get("Idempotency-Replayed"); got != "true" {
			t.Errorf("%s: header is %q", name, got)
		}
	}
	for _, line := range s.log.rpcs(t) {
		if line["replayed"] != true || line["idempotency_key"] == secretKey || line["idempotency_key"] == nil || line["level"] != "INFO" {
			t.Errorf("log %v", line)
		}
	}
}

// What a handler returns, what its caller gets, and how it is logged. The texts of other errors stay inside.
func TestErrorBoundary(t *testing.T) {
	t.Parallel()
	const insides = "db-host-7"
	wire := connect.NewWireError(connect.CodeNotFound, errors.New(insides))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	cases := map[string]struct {
		err    error
		code   connect.Code
		reason string
		text   string
		level  string
	}{
		"problem": {
			problem.New(connect.CodeFailedPrecondition, "ORDER_ALREADY_PAID", "the order is paid, start another"),
			connect.CodeFailedPrecondition, "ORDER_ALREADY_PAID", "the order is paid, start another", "DEBUG",
		},
		"problem in the chain": {
			fmt.Errorf("pay %s: %w", insides, problem.New(connect.CodeNotFound, "ORDER_NOT_FOUND", "no such order").Because(errors.New(insides))),
			connect.CodeNotFound, "ORDER_NOT_FOUND", "no such order", "DEBUG",
		},
		"field": {problem.InvalidField("lines[0].quantity", "is sold out"), connect.CodeInvalidArgument, problem.ReasonInvalidField, "lines[0].quantity: is sold out", "DEBUG"},
		"connect error made here": {
			connect.NewError(connect.CodePermissionDenied, errors.New("not yours")),
			connect.CodePermissionDenied, "", "not yours", "DEBUG",
		},
		"connect error of somebody else": {fmt.Errorf("ask: %w", wire), connect.CodeInternal, problem.ReasonInternal, "internal error", "ERROR"},
		"downstream, retryable": {
			fmt.Errorf("ask: %w", problem.FromCall("/x/Y", connect.NewWireError(connect.CodeUnavailable, errors.New(insides)))),
			connect.CodeUnavailable, problem.ReasonUnavailable, "a dependency is unavailable, retry", "WARN",
		},
		"downstream, otherwise": {problem.FromCall("/x/Y", wire), connect.CodeInternal, problem.ReasonInternal, "internal error", "ERROR"},
		"downstream in a problem": {
			problem.New(connect.CodeFailedPrecondition, "PAYMENT_REFUSED", "use another card").Because(problem.FromCall("/x/Y", wire)),
			connect.CodeFailedPrecondition, "PAYMENT_REFUSED", "use another card", "DEBUG",
		},
		"serialization":      {&pgconn.PgError{Code: "40001", Message: insides}, connect.CodeAborted, problem.ReasonConcurrentChange, "conflicting concurrent change, retry", "INFO"},
		"deadlock":           {fmt.Errorf("insert: %w", &pgconn.PgError{Code: "40P01", Message: insides}), connect.CodeAborted, problem.ReasonConcurrentChange, "conflicting concurrent change, retry", "INFO"},
		"lock timeout":       {&pgconn.PgError{Code: "55P03", Message: insides}, connect.CodeAborted, problem.ReasonConcurrentChange, "conflicting concurrent change, retry", "INFO"},
		"NUL in a text":      {&pgconn.PgError{Code: "22021", Message: insides}, connect.CodeInvalidArgument, problem.ReasonInvalidText, "a text contains the character NUL", "DEBUG"},
		"database shut down": {&pgconn.PgError{Code: "57P01", Message: insides}, connect.CodeUnavailable, problem.ReasonUnavailable, "the database is unavailable, retry with the same key", "WARN"},
		"connection failure": {&pgconn.PgError{Code: "08006", Message: insides}, connect.CodeUnavailable, problem.ReasonUnavailable, "the database is unavailable, retry with the same key", "WARN"},
		"no connections":     {&pgconn.PgError{Code: "53300", Message: insides}, connect.CodeUnavailable, problem.ReasonUnavailable, "the database is unavailable, retry with the same key", "WARN"},
		"constraint":         {&pgconn.PgError{Code: "23505", Message: insides}, connect.CodeInternal, problem.ReasonInternal, "internal error", "ERROR"},
		"canceled":           {fmt.Errorf("insert: %w", ended.Err()), connect.CodeCanceled, "", "the call ended before its answer was known, retry with the same key", "INFO"},
		"deadline":           {fmt.Errorf("%s: %w", insides, context.DeadlineExceeded), connect.CodeDeadlineExceeded, "", "the call ended before its answer was known, retry with the same key", "INFO"},
		"anything else":      {fmt.Errorf("read order: %w", errors.New(insides)), connect.CodeInternal, problem.ReasonInternal, "internal error", "ERROR"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, &notebook{write: func(context.Context, *testpb.WriteRequest) (*testpb.WriteResponse, error) {
				return nil, tc.err
			}}, nil)
			got := post(t, s, http.Header{"Content-Type": {"application/json"}}, strings.NewReader(`{"text":"x"}`))
			if got.code != tc.code || got.reason != tc.reason || got.text != tc.text {
				t.Errorf("the caller gets %+v", got)
			}
			lines := s.log.rpcs(t)
			if len(lines) != 1 || lines[0]["level"] != tc.level || lines[0]["code"] != tc.code.String() {
				t.Errorf("log %v, want one line at %s", lines, tc.level)
			}
			if tc.level == "ERROR" && !strings.Contains(fmt.Sprint(lines), insides) {
				t.Errorf("the log does not say why: %v", lines)
			}
		})
	}
}

func TestLogLine(t *testing.T) {
	t.Parallel()
	s := newServer(t, &notebook{}, nil)
	client := newClient(t, s, func(c *rpc.DialConfig) { c.Name = "checkoutsvc" })
	if _, err := client.Write(rpc.WithIdempotencyKey(t.Context(), "order/1/x"), &testpb.WriteRequest{Text: "hello"}); err != nil {
		t.Fatal(err)
	}
	lines := s.log.rpcs(t)
	if len(lines) != 1 {
		t.Fatalf("%d lines", len(lines))
	}
	line := lines[0]
	if _, ok := line["took"].(float64); !ok {
		t.Errorf("no time taken: %v", line)
	}
	delete(line, "took")
	delete(line, "time")
	want := map[string]any{
		"level": "INFO", "msg": "rpc", "procedure": testpb.NotebookServiceWriteProcedure, "code": "ok",
		"caller": "service:checkoutsvc", "idempotency_key": "sha256:e69341b7b3645793", "replayed": false,
	}
	if fmt.Sprint(line) != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", line, want)
	}
}

func TestPanic(t *testing.T) {
	t.Parallel()
	s := newServer(t, &notebook{
		read: func(context.Context, *testpb.ReadRequest) (*testpb.ReadResponse, error) {
			panic("the seat map is empty")
		},
		write: func(context.Context, *testpb.WriteRequest) (*testpb.WriteResponse, error) {
			panic(http.ErrAbortHandler)
		},
	}, nil)
	client := newClient(t, s, nil)
	_, err := client.Read(t.Context(), &testpb.ReadRequest{})
	wantProblem(t, err, connect.CodeInternal, problem.ReasonInternal)
	if strings.Contains(err.Error(), "seat map") {
		t.Errorf("the caller gets the panic: %v", err)
	}
	lines := s.log.rpcs(t)
	if len(lines) != 1 || lines[0]["level"] != "ERROR" || !strings.Contains(fmt.Sprint(lines[0]["error"]), "seat map") ||
		!strings.Contains(fmt.Sprint(lines[0]["stack"]), "handler_test.go") {
		t.Errorf("log %v", lines)
	}
	_, err = client.Write(rpc.WithIdempotencyKey(t.Context(), secretKey), &testpb.WriteRequest{Text: "x"})
	if wantDownstream(t, err).Code() != connect.CodeUnavailable {
		t.Errorf("an aborted answer is %v, want unavailable", err)
	}
}

func TestPanicOfARoute(t *testing.T) {
	t.Parallel()
	s := newServer(t, &notebook{}, func(_ *rpc.HandlerConfig, c *rpc.Config) {
		c.Routes = map[string]http.Handler{
			"GET /broken":  http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("the seat map is empty") }),
			"GET /aborted": http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }),
		}
	})
	for _, path := range []string{"/broken", "/aborted"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if res, err := newHTTP1(t).Do(req); err == nil {
			_ = res.Body.Close()
			t.Errorf("%s is answered with %d", path, res.StatusCode)
		}
	}
	log := s.log.String()
	if strings.Count(log, "http handler panicked") != 1 || !strings.Contains(log, "seat map") || !strings.Contains(log, "handler_test.go") {
		t.Errorf("log %s", log)
	}
}

// deadlines is an interceptor that remembers the deadline of the context it was given.
type deadlines struct{ last time.Time }

func (d *deadlines) interceptor() connect.Interceptor {
	return connect.UnaryInterceptorFunc(func(next connect.UnaryFunc) connect.UnaryFunc {
		return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
			d.last, _ = ctx.Deadline()
			return next(ctx, req)
		}
	})
}

// Each hop keeps 20 ms back: the callee to send its answer, the caller to act on the end of a call.
func TestDeadlinesShrink(t *testing.T) {
	t.Parallel()
	var handlers time.Time
	var received, sent deadlines
	s := newServer(t, &notebook{read: func(ctx context.Context, _ *testpb.ReadRequest) (*testpb.ReadResponse, error) {
		handlers, _ = ctx.Deadline()
		return &testpb.ReadResponse{}, nil
	}}, nil, connect.WithInterceptors(received.interceptor()))
	for name, opts := range map[string][]connect.ClientOption{"connect": nil, "grpc": {connect.WithGRPC()}} {
		client := newClient(t, s, nil, append(opts, connect.WithInterceptors(sent.interceptor()))...)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if _, err := client.Read(ctx, &testpb.ReadRequest{}); err != nil {
			t.Fatal(err)
		}
		callers, _ := ctx.Deadline()
		if kept := callers.Sub(sent.last); kept != 20*time.Millisecond {
			t.Errorf("%s: the caller keeps %v back", name, kept)
		}
		if kept := received.last.Sub(handlers); kept != 20*time.Millisecond {
			t.Errorf("%s: the callee keeps %v back", name, kept)
		}
	}
}

// Nobody waits for ever, whatever the caller asked for.
func TestDefaultDeadlines(t *testing.T) {
	t.Parallel()
	var handlers time.Time
	var sent deadlines
	s := newServer(t, &notebook{read: func(ctx context.Context, _ *testpb.ReadRequest) (*testpb.ReadResponse, error) {
		handlers, _ = ctx.Deadline()
		return &testpb.ReadResponse{}, nil
	}}, nil)
	client := newClient(t, s, func(c *rpc.DialConfig) { c.Timeout = 0 }, connect.WithInterceptors(sent.interceptor()))
	if _, err := client.Read(t.Context(), &testpb.ReadRequest{}); err != nil {
		t.Fatal(err)
	}
	now := clock.System{}.Now()
	if sent.last.IsZero() || sent.last.After(now.Add(5*time.Second)) {
		t.Errorf("a call without a deadline is given %v, want 5s", sent.last.Sub(now))
	}
	for _, timeout := range []string{"", "3600000"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+testpb.NotebookServiceReadProcedure, strings.NewReader(`{}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Connect-Timeout-Ms", timeout)
		res, err := newHTTP1(t).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if now := (clock.System{}).Now(); handlers.IsZero() || handlers.After(now.Add(30*time.Second)) {
			t.Errorf("a caller that asks for %q gets %v, want 30s at most", timeout, handlers.Sub(now))
		}
	}
}

// A caller that hangs up ends the context of its handler, and the calls that were made for it; no log has an alarm.
func TestCallerHangsUp(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{})
	inner := newServer(t, &notebook{read: func(ctx context.Context, _ *testpb.ReadRequest) (*testpb.ReadResponse, error) {
		close(arrived)
		<-ctx.Done()
		return nil, fmt.Errorf("read order: %w", ctx.Err())
	}}, nil)
	innerClient := newClient(t, inner, nil)
	s := newServer(t, &notebook{read: func(ctx context.Context, req *testpb.ReadRequest) (*testpb.ReadResponse, error) {
		return innerClient.Read(ctx, req)
	}}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	client := newClient(t, s, nil)
	go func() {
		_, err := client.Read(ctx, &testpb.ReadRequest{})
		done <- err
	}()
	<-arrived
	cancel()
	err := <-done
	if problem.Code(err) != connect.CodeCanceled || !errors.Is(err, context.Canceled) {
		t.Errorf("the caller gets %v", err)
	}
	for name, book := range map[string]*logBook{"outer": s.log, "inner": inner.log} {
		eventually(t, "the call is logged", func() bool { return len(book.rpcs(t)) == 1 })
		if line := book.rpcs(t)[0]; line["code"] != "canceled" || line["level"] != "INFO" {
			t.Errorf("%s log %v", name, line)
		}
	}
}

// TestKeysOfCallersWithoutATokenAreSecrets refuses keys that somebody else could guess, from callers that share one space
// of keys.
func TestKeysOfCallersWithoutATokenAreSecrets(t *testing.T) {
	t.Parallel()
	s := newServer(t, &notebook{}, nil)
	for key, ok := range map[string]bool{
		"1":                                false,
		"order-1":                          false,
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa":   false,
		"--------------------------------": false,
		"f81d4fae7dec11d0a76500a0c91e6bf6": true,
		secretKey:                          true,
		"V1StGXR8_Z5jdHi6B-myTTw9q":        true,
		rand.Text():                        true,
	} {
		anonymous := newClient(t, s, func(c *rpc.DialConfig) { c.Token = config.Secret{} })
		_, err := anonymous.Write(rpc.WithIdempotencyKey(t.Context(), key), &testpb.WriteRequest{Text: "x"})
		if ok && err != nil {
			t.Errorf("%s: %v", key, err)
		}
		if !ok {
			wantProblem(t, err, connect.CodeInvalidArgument, problem.ReasonIdempotencyKeyInvalid)
		}
		if _, err := newClient(t, s, nil).Write(rpc.WithIdempotencyKey(t.Context(), key), &testpb.WriteRequest{Text: "x"}); err != nil {
			t.Errorf("with a token, %s: %v", key, err)
		}
	}
	if strings.Contains(s.log.String(), secretKey) {
		t.Error("the log shows a key")
	}
}
