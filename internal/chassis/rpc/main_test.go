package rpc_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/config"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/chassis/rpc"
	"github.com/dayof/dayof/internal/chassis/rpc/testpb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	operatorToken = "operator-token-of-this-test"
	// patience ends a test that hangs; no test passes or fails by how long something takes.
	patience = 3 * time.Minute
)

// notebook implements the service of these tests. A nil function answers with the text of the request.
type notebook struct {
	read  func(ctx context.Context, req *testpb.ReadRequest) (*testpb.ReadResponse, error)
	write func(ctx context.Context, req *testpb.WriteRequest) (*testpb.WriteResponse, error)
	watch func(ctx context.Context, req *testpb.WatchRequest, send func(text string) error) error
}

func (n *notebook) Read(ctx context.Context, req *testpb.ReadRequest) (*testpb.ReadResponse, error) {
	if n.read != nil {
		return n.read(ctx, req)
	}
	return &testpb.ReadResponse{Text: req.GetText()}, nil
}

func (n *notebook) Write(ctx context.Context, req *testpb.WriteRequest) (*testpb.WriteResponse, error) {
	if n.write != nil {
		return n.write(ctx, req)
	}
	return &testpb.WriteResponse{Number: 1, Text: req.GetText()}, nil
}

func (n *notebook) Watch(ctx context.Context, req *testpb.WatchRequest, stream *connect.ServerStream[testpb.WatchResponse]) error {
	send := func(text string) error { return stream.Send(&testpb.WatchResponse{Text: text}) }
	if n.watch != nil {
		return n.watch(ctx, req, send)
	}
	return errors.Join(send(req.GetText()), send("end"))
}

// logBook keeps what a server logs, as lines of JSON.
type logBook struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// rpcs returns the lines about RPCs.
func (l *logBook) rpcs(t testing.TB) []map[string]any {
	t.Helper()
	var out []map[string]any
	for line := range strings.Lines(l.String()) {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("log line %q: %v", line, err)
		}
		if entry["msg"] == "rpc" {
			out = append(out, entry)
		}
	}
	return out
}

// server is a running rpc.Serve.
type server struct {
	url  string
	addr string
	log  *logBook
	stop func() error // ends Serve and returns what it returned; may be called again
}

// publicPolicy lets anybody call all of the notebook.
func publicPolicy() rpc.Policy {
	return rpc.Policy{
		testpb.NotebookServiceReadProcedure:  rpc.RolePublic,
		testpb.NotebookServiceWriteProcedure: rpc.RolePublic,
		testpb.NotebookServiceWatchProcedure: rpc.RolePublic,
	}
}

// newServer serves n on a free port; change may alter both configurations first. Interceptors in outer see what ours
// were given.
func newServer(t testing.TB, n *notebook, change func(*rpc.HandlerConfig, *rpc.Config), outer ...connect.HandlerOption) *server {
	t.Helper()
	book := &logBook{}
	logger := slog.New(slog.NewJSONHandler(book, &slog.HandlerOptions{Level: slog.LevelDebug}))
	registry := prometheus.NewRegistry()
	h := rpc.HandlerConfig{
		Logger: logger, Clock: clock.System{}, Policy: publicPolicy(), Registry: registry,
		OperatorTokens: []config.Secret{config.NewSecret(operatorToken)},
	}
	c := rpc.Config{Logger: logger, Registry: registry, Services: []rpc.Service{{Name: testpb.NotebookServiceName}}}
	if change != nil {
		change(&h, &c)
	}
	c.Services[0].Path, c.Services[0].Handler = testpb.NewNotebookServiceHandler(n, append(outer, rpc.NewHandlerOptions(h)...)...)
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c.Listener = listener
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- rpc.Serve(ctx, c) }()
	s := &server{addr: listener.Addr().String(), log: book}
	s.url = "http://" + s.addr
	if c.TLSConfig != nil {
		s.url = "https://" + s.addr
	}
	s.stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() { _ = s.stop() }) // a test that cares has called it before
	return s
}

// newClient dials s as rpc.Dial does; change may alter the configuration first.
func newClient(t testing.TB, s *server, change func(*rpc.DialConfig), opts ...connect.ClientOption) testpb.NotebookServiceClient {
	t.Helper()
	c := rpc.DialConfig{BaseURL: s.url, Token: config.NewSecret(operatorToken), Timeout: patience}
	if change != nil {
		change(&c)
	}
	httpClient, dialOpts := rpc.Dial(c)
	t.Cleanup(httpClient.CloseIdleConnections)
	return testpb.NewNotebookServiceClient(httpClient, s.url, append(dialOpts, opts...)...)
}

// newHTTP1 returns a plain client of HTTP/1.1.
func newHTTP1(t testing.TB) *http.Client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func wantProblem(t testing.TB, err error, code connect.Code, reason string) {
	t.Helper()
	if got := problem.Code(err); got != code || problem.Reason(err) != reason {
		t.Fatalf("got %v, reason %q (%v); want %v, reason %q", got, problem.Reason(err), err, code, reason)
	}
}

func wantDownstream(t testing.TB, err error) *problem.Downstream {
	t.Helper()
	d, ok := errors.AsType[*problem.Downstream](err)
	if !ok {
		t.Fatalf("got %T %v, want a *problem.Downstream", err, err)
	}
	if c, ok := errors.AsType[*connect.Error](err); ok {
		t.Fatalf("a Downstream unwraps to the Connect error %v", c)
	}
	return d
}

// eventually waits until ok holds.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("gave up waiting until %s", what)
		case <-tick.C:
		}
	}
}
