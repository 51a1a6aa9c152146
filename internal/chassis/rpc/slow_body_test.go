package rpc_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/chassis/rpc"
	"github.com/dayof/dayof/internal/chassis/rpc/testpb"
)

// A client that never finishes its body is cut off, with its connection; a long call whose body has arrived is not.
func TestSlowBody(t *testing.T) {
	t.Parallel()
	arrived, finish := make(chan struct{}), make(chan struct{})
	var ended error
	s := newServer(t, &notebook{write: func(ctx context.Context, _ *testpb.WriteRequest) (*testpb.WriteResponse, error) {
		close(arrived)
		<-finish
		ended = ctx.Err()
		return &testpb.WriteResponse{}, nil
	}}, func(_ *rpc.HandlerConfig, c *rpc.Config) { c.BodyTimeout = 50 * time.Millisecond })
	call := make(chan refused, 1)
	go func() { // over HTTP/1.1, where the deadline belongs to the connection
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+testpb.NotebookServiceWriteProcedure, strings.NewReader(`{"text":"x"}`))
		if err != nil {
			t.Error(err)
			return
		}
		req.Header = http.Header{"Content-Type": {"application/json"}, "Idempotency-Key": {"k"}}
		res, err := newHTTP1(t).Do(req)
		if err != nil {
			t.Error(err)
			return
		}
		_ = res.Body.Close()
		call <- refused{status: res.StatusCode}
	}()
	<-arrived
	// The drip is cut off later than the long call's body arrived, so the time of that one has passed too.
	dripHTTP1(t, s)
	dripHTTP2(t, s)
	close(finish)
	if got := <-call; got.status != http.StatusOK || ended != nil {
		t.Errorf("the long call ended with %d, its context with %v", got.status, ended)
	}
}

func dripHTTP1(t *testing.T, s *server) {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "POST "+testpb.NotebookServiceWriteProcedure+" HTTP/1.1\r\nHost: x\r\nIdempotency-Key: k\r\n"+
		"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn) // until the server closes the connection
	if err != nil || !strings.Contains(string(answer), problem.ReasonRequestTooSlow) && !strings.Contains(string(answer), "deadline_exceeded") {
		t.Errorf("the drip got %q, %v", answer, err)
	}
}

func dripHTTP2(t *testing.T, s *server) {
	t.Helper()
	body, drip := io.Pipe()
	defer drip.Close()
	go func() { _, _ = drip.Write([]byte("{")) }() // ends with the pipe
	got := post(t, s, http.Header{"Content-Type": {"application/json"}}, body)
	if got.code != connect.CodeDeadlineExceeded || got.reason != problem.ReasonRequestTooSlow {
		t.Errorf("the drip got %+v", got)
	}
}

func TestLoadIsShed(t *testing.T) {
	t.Parallel()
	arrived, finish := make(chan struct{}), make(chan struct{})
	s := newServer(t, &notebook{read: func(context.Context, *testpb.ReadRequest) (*testpb.ReadResponse, error) {
		arrived <- struct{}{}
		<-finish
		return &testpb.ReadResponse{}, nil
	}}, func(_ *rpc.HandlerConfig, c *rpc.Config) {
		c.MaxInFlight = 2
		c.Routes = map[string]http.Handler{"GET /page": http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	})
	done := make(chan error, 2)
	for range 2 {
		go func() {
			_, err := newClient(t, s, nil).Read(t.Context(), &testpb.ReadRequest{})
			done <- err
		}()
		<-arrived
	}
	for name, opts := range map[string][]connect.ClientOption{"connect": nil, "grpc": {connect.WithGRPC()}, "grpcweb": {connect.WithGRPCWeb()}} {
		_, err := newClient(t, s, nil, opts...).Read(t.Context(), &testpb.ReadRequest{})
		wantProblem(t, err, connect.CodeResourceExhausted, problem.ReasonOverloaded)
		if problem.RetryAfter(err) <= 0 || !wantDownstream(t, err).Retryable() {
			t.Errorf("%s: the shed caller gets no time to retry after: %v", name, err)
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/"+testpb.NotebookServiceName+"/Burn", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := newHTTP1(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if _, page := get(t, s.url+"/metrics"); res.StatusCode != http.StatusTooManyRequests || strings.Contains(page, "Burn") {
		t.Errorf("a path from outside became a metric label, status %d", res.StatusCode)
	}
	if status, _ := get(t, s.url+"/page"); status != http.StatusServiceUnavailable {
		t.Errorf("a page over the limit: %d, want 503", status)
	}
	if status, _ := get(t, s.url+"/healthz"); status != http.StatusOK {
		t.Errorf("health is shed: %d", status)
	}
	close(finish)
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	go func() { <-arrived }()
	if _, err := newClient(t, s, nil).Read(t.Context(), &testpb.ReadRequest{}); err != nil {
		t.Errorf("places are not given back: %v", err)
	}
	if status, _ := get(t, s.url+"/page"); status != http.StatusOK {
		t.Errorf("places are not given back: %d", status)
	}
}
