package rpc_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/dayof/dayof/internal/chassis/config"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/chassis/rpc"
	"github.com/dayof/dayof/internal/chassis/rpc/testpb"
)

// tries remembers the keys that calls came with and fails the first ones.
type tries struct {
	mu   sync.Mutex
	keys []string
	fail int // how many
	with *problem.Problem
}

func (f *tries) next(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.keys = append(f.keys, rpc.IdempotencyKey(ctx))
	if len(f.keys) <= f.fail {
		return f.with
	}
	return nil
}

func (f *tries) notebook() *notebook {
	return &notebook{
		read: func(ctx context.Context, _ *testpb.ReadRequest) (*testpb.ReadResponse, error) {
			return &testpb.ReadResponse{}, f.next(ctx)
		},
		write: func(ctx context.Context, _ *testpb.WriteRequest) (*testpb.WriteResponse, error) {
			return &testpb.WriteResponse{}, f.next(ctx)
		},
	}
}

func TestRetries(t *testing.T) {
	t.Parallel()
	unavailable := problem.New(connect.CodeUnavailable, "AWAY", "away")
	later := func(d time.Duration) *problem.Problem {
		p := *unavailable
		p.RetryAfter = d
		return &p
	}
	cases := map[string]struct {
		fail  int
		with  *problem.Problem
		tries int
		ok    bool
	}{
		"a short outage is bridged":             {2, unavailable, 3, true},
		"a long one is not":                     {9, unavailable, 3, false},
		"the time the peer asks for is kept":    {1, later(time.Millisecond), 2, true},
		"there is no waiting past the deadline": {1, later(time.Hour), 1, false},
		"a lost race is the caller's to handle": {1, problem.New(connect.CodeAborted, "RACE", "again"), 1, false},
		"a limit is":                            {1, problem.New(connect.CodeResourceExhausted, "FULL", "full"), 1, false},
		"an unknown outcome is":                 {1, problem.New(connect.CodeDeadlineExceeded, "LATE", "late"), 1, false},
		"a bug is":                              {1, problem.New(connect.CodeInternal, "BUG", "bug"), 1, false},
		"success needs no repeat":               {0, nil, 1, true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for method, call := range map[string]func(testpb.NotebookServiceClient) error{
				"Write": func(c testpb.NotebookServiceClient) error {
					_, err := c.Write(rpc.WithIdempotencyKey(t.Context(), secretKey), &testpb.WriteRequest{Text: "x"})
					return err
				},
				"Read": func(c testpb.NotebookServiceClient) error {
					_, err := c.Read(t.Context(), &testpb.ReadRequest{Text: "x"})
					return err
				},
				"Read by GET": func(c testpb.NotebookServiceClient) error {
					_, err := c.Read(t.Context(), &testpb.ReadRequest{Text: "x"})
					return err
				},
			} {
				var opts []connect.ClientOption
				if method == "Read by GET" {
					opts = append(opts, connect.WithHTTPGet())
				}
				f := &tries{fail: tc.fail, with: tc.with}
				s := newServer(t, f.notebook(), nil)
				err := call(newClient(t, s, nil, opts...))
				if (err == nil) != tc.ok || len(f.keys) != tc.tries {
					t.Errorf("%s: %d tries, %v; want %d", method, len(f.keys), err, tc.tries)
				}
				if err != nil && problem.Reason(err) != tc.with.Reason {
					t.Errorf("%s: reason %q", method, problem.Reason(err))
				}
				for _, key := range f.keys {
					if want := map[bool]string{true: secretKey}[method == "Write"]; key != want {
						t.Errorf("%s: keys %q", method, f.keys)
					}
				}
			}
		})
	}
}

// A mutating call without a key is not repeated: nobody could distinguish the repeat from a second request.
func TestNoRetryWithoutKey(t *testing.T) {
	t.Parallel()
	var calls int
	peer := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls++
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	client := dialPeer(t, peer)
	if _, err := client.Write(t.Context(), &testpb.WriteRequest{Text: "x"}); problem.Code(err) != connect.CodeUnavailable {
		t.Errorf("got %v", err)
	}
	if calls != 1 {
		t.Errorf("%d tries", calls)
	}
}

// dialPeer starts a peer that is none of ours, with HTTP/2, and dials it.
func dialPeer(t testing.TB, peer *httptest.Server) testpb.NotebookServiceClient {
	t.Helper()
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	peer.Config.Protocols = &protocols
	peer.Start()
	t.Cleanup(peer.Close)
	return newClient(t, &server{url: peer.URL}, nil)
}

// Whatever goes wrong on the way, the caller gets a Downstream that says whether a retry makes sense.
func TestDownstream(t *testing.T) {
	t.Parallel()
	answers := map[string]struct {
		handle    http.HandlerFunc
		code      connect.Code
		retryable bool
	}{
		"a proxy's page": {func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "<html>bad gateway</html>", http.StatusBadGateway)
		}, connect.CodeUnavailable, true},
		"a crashed proxy": {func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "<html>oops</html>", http.StatusInternalServerError)
		}, connect.CodeUnavailable, true},
		"no such procedure": {func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }, connect.CodeUnimplemented, false},
		"a garbled answer": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/proto")
			_, _ = io.WriteString(w, "\xff\xff\xff")
		}, connect.CodeUnavailable, true},
		"half an answer": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/proto")
			_, _ = io.WriteString(w, "\x0a")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}, connect.CodeUnavailable, true},
		"another kind of answer": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, "<html>hello</html>")
		}, connect.CodeUnavailable, true},
		"a cut connection": {func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }, connect.CodeUnavailable, true},
	}
	for name, tc := range answers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := dialPeer(t, httptest.NewUnstartedServer(tc.handle))
			_, err := client.Read(t.Context(), &testpb.ReadRequest{})
			if d := wantDownstream(t, err); d.Code() != tc.code || d.Retryable() != tc.retryable {
				t.Errorf("got %v, retryable %v; want %v", d, d.Retryable(), tc.code)
			}
		})
	}
}

// A token goes to the service it was made for and nowhere else.
func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	elsewhere := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	dialPeer(t, elsewhere)
	client := dialPeer(t, httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
	})))
	_, err := client.Read(t.Context(), &testpb.ReadRequest{})
	if d := wantDownstream(t, err); d.Code() != connect.CodeUnavailable || asked.Load() != 0 {
		t.Errorf("got %v, and the other place was asked %d times", d, asked.Load())
	}
}

func TestNobodyListens(t *testing.T) {
	t.Parallel()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = newClient(t, &server{url: "http://" + address}, nil).Read(t.Context(), &testpb.ReadRequest{})
	d := wantDownstream(t, err)
	if d.Code() != connect.CodeUnavailable || !d.Retryable() {
		t.Errorf("got %v", d)
	}
}

// The end of the call's own time is an unknown outcome, and the context it was made in is still alive to act on it.
func TestCallTimesOut(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	s := newServer(t, &notebook{write: func(ctx context.Context, _ *testpb.WriteRequest) (*testpb.WriteResponse, error) {
		<-release
		return &testpb.WriteResponse{}, nil
	}}, nil)
	client := newClient(t, s, func(c *rpc.DialConfig) { c.Timeout = 30 * time.Millisecond })
	ctx := rpc.WithIdempotencyKey(t.Context(), secretKey)
	_, err := client.Write(ctx, &testpb.WriteRequest{Text: "x"})
	close(release)
	d := wantDownstream(t, err)
	if d.Code() != connect.CodeDeadlineExceeded || !d.Retryable() || ctx.Err() != nil {
		t.Errorf("got %v, context %v", d, ctx.Err())
	}
}

// A problem of another service does not become ours by accident, but all it said can be read.
func TestProblemOfAPeer(t *testing.T) {
	t.Parallel()
	inner := newServer(t, &notebook{write: func(context.Context, *testpb.WriteRequest) (*testpb.WriteResponse, error) {
		p := problem.New(connect.CodeNotFound, "NOTE_NOT_FOUND", "no such note")
		p.Fields = []problem.Field{{Path: "text", Description: "names no note"}}
		p.RetryAfter = 1500 * time.Millisecond
		return nil, p
	}}, nil)
	innerClient := newClient(t, inner, nil)
	var innerErr error
	outer := newServer(t, &notebook{read: func(ctx context.Context, _ *testpb.ReadRequest) (*testpb.ReadResponse, error) {
		_, innerErr = innerClient.Write(rpc.WithIdempotencyKey(ctx, secretKey), &testpb.WriteRequest{Text: "x"})
		return nil, fmt.Errorf("look up: %w", innerErr)
	}}, nil)
	_, err := newClient(t, outer, nil).Read(t.Context(), &testpb.ReadRequest{})
	wantProblem(t, err, connect.CodeInternal, problem.ReasonInternal)
	wantProblem(t, innerErr, connect.CodeNotFound, "NOTE_NOT_FOUND")
	d := wantDownstream(t, innerErr)
	if d.Retryable() || d.RetryAfter() != 1500*time.Millisecond || len(problem.Fields(d)) != 1 || d.Message() != "no such note" {
		t.Errorf("got %+v", d)
	}
}

func TestTokenOfOneCall(t *testing.T) {
	t.Parallel()
	var token string
	s := newServer(t, &notebook{read: func(ctx context.Context, _ *testpb.ReadRequest) (*testpb.ReadResponse, error) {
		token = rpc.BearerToken(ctx)
		return &testpb.ReadResponse{}, nil
	}}, nil)
	client := newClient(t, s, nil)
	if _, err := client.Read(rpc.WithBearerToken(t.Context(), "order-token"), &testpb.ReadRequest{}); err != nil || token != "order-token" {
		t.Errorf("token %q, %v", token, err)
	}
	if _, err := client.Read(t.Context(), &testpb.ReadRequest{}); err != nil || token != operatorToken {
		t.Errorf("token %q, %v", token, err)
	}
}

func TestDialWantsAnAbsoluteURL(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "localhost:80", "ftp://x", "http://", "://"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Dial takes %q", bad)
				}
			}()
			rpc.Dial(rpc.DialConfig{BaseURL: bad, Token: config.Secret{}})
		}()
	}
}
