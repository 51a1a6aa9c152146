package rpc_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"

	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/rpc"
	"github.com/dayof/dayof/internal/chassis/rpc/testpb"
)

func newHealthClient(t testing.TB, s *server) *grpchealth.Client {
	t.Helper()
	httpClient, _ := rpc.Dial(rpc.DialConfig{BaseURL: s.url})
	t.Cleanup(httpClient.CloseIdleConnections)
	return grpchealth.NewClient(httpClient, s.url, connect.WithGRPC())
}

func healthOf(t testing.TB, c *grpchealth.Client, service string) grpchealth.Status {
	t.Helper()
	res, err := c.Check(t.Context(), &grpchealth.CheckRequest{Service: service})
	if err != nil {
		t.Fatal(err)
	}
	return res.Status
}

// awaitHealth waits until an answer is as old as answers become, and as wanted.
func awaitHealth(t testing.TB, c *grpchealth.Client, service string, want grpchealth.Status) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for healthOf(t, c, service) != want {
		select {
		case <-ctx.Done():
			t.Fatalf("%q does not become %v", service, want)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	var away atomic.Bool
	var checks atomic.Int64
	s := newServer(t, &notebook{}, func(_ *rpc.HandlerConfig, c *rpc.Config) {
		c.Services[0].Health = func(context.Context) error {
			checks.Add(1)
			if away.Load() {
				return errors.New("no route to db-host-7")
			}
			return nil
		}
	})
	client := newHealthClient(t, s)
	var system clock.System
	began := system.Now()
	for range 50 {
		if got := healthOf(t, client, testpb.NotebookServiceName); got != grpchealth.StatusServing {
			t.Fatalf("got %v", got)
		}
	}
	if got, atMost := checks.Load(), 1+int64(system.Now().Sub(began)/time.Second); got > atMost {
		t.Errorf("50 questions asked the database %d times, at most %d", got, atMost)
	}
	away.Store(true)
	for _, service := range []string{testpb.NotebookServiceName, ""} {
		awaitHealth(t, client, service, grpchealth.StatusNotServing)
	}
	if status, body := get(t, s.url+"/healthz"); status != 503 || body != `{"not_serving":["dayof.test.v1.NotebookService"],"status":"not_serving"}`+"\n" {
		t.Errorf("healthz: %d %s", status, body)
	}
	away.Store(false)
	awaitHealth(t, client, "", grpchealth.StatusServing)
	if status, _ := get(t, s.url+"/healthz"); status != 200 {
		t.Errorf("healthz: %d", status)
	}
	_, err := client.Check(t.Context(), &grpchealth.CheckRequest{Service: "dayof.test.v1.Nothing"})
	if connect.CodeOf(err) != connect.CodeNotFound {
		t.Errorf("unknown service: %v", err)
	}
}

// A check that hangs has failed, for all who ask.
func TestHealthCheckHangs(t *testing.T) {
	t.Parallel()
	s := newServer(t, &notebook{}, func(_ *rpc.HandlerConfig, c *rpc.Config) {
		c.Services[0].Health = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	})
	if got := healthOf(t, newHealthClient(t, s), ""); got != grpchealth.StatusNotServing {
		t.Errorf("got %v", got)
	}
}

// At the end health says so while calls are still taken, then nothing new is taken and what runs is finished.
func TestDrain(t *testing.T) {
	t.Parallel()
	arrived, finish := make(chan struct{}, 1), make(chan struct{})
	draining, drained := make(chan struct{}), make(chan struct{})
	s := newServer(t, &notebook{write: func(ctx context.Context, _ *testpb.WriteRequest) (*testpb.WriteResponse, error) {
		arrived <- struct{}{}
		<-finish
		return &testpb.WriteResponse{Text: "done"}, ctx.Err()
	}}, func(_ *rpc.HandlerConfig, c *rpc.Config) {
		c.DrainTimeout = patience
		c.Draining = func() { close(draining); <-drained }
	})
	client := newClient(t, s, nil)
	http1 := newHTTP1(t)
	calls := make(chan error, 2)
	go func() {
		res, err := client.Write(rpc.WithIdempotencyKey(t.Context(), secretKey), &testpb.WriteRequest{Text: "x"})
		if err == nil && res.GetText() != "done" {
			err = errors.New("another answer: " + res.GetText())
		}
		calls <- err
	}()
	<-arrived
	go func() {
		c := testpb.NewNotebookServiceClient(http1, s.url)
		ctx, info := connect.NewClientContext(t.Context())
		info.RequestHeader().Set("Idempotency-Key", secretKey)
		_, err := c.Write(ctx, &testpb.WriteRequest{Text: "x"})
		calls <- err
	}()
	<-arrived
	stopped := make(chan error, 1)
	go func() { stopped <- s.stop() }()
	<-draining
	if got := healthOf(t, newHealthClient(t, s), testpb.NotebookServiceName); got != grpchealth.StatusNotServing {
		t.Errorf("health is %v before the end", got)
	}
	if _, err := client.Read(t.Context(), &testpb.ReadRequest{}); err != nil {
		t.Errorf("calls are refused before the load balancer could know: %v", err)
	}
	close(drained)
	eventually(t, "no connection is accepted", func() bool {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", s.addr)
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
	select {
	case err := <-stopped:
		t.Fatalf("stopped with calls in flight: %v", err)
	default:
	}
	close(finish)
	for range 2 {
		if err := <-calls; err != nil {
			t.Errorf("a call in flight was not finished: %v", err)
		}
	}
	if err := <-stopped; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

func TestDrainGivesUp(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{})
	ended := make(chan struct{})
	s := newServer(t, &notebook{read: func(ctx context.Context, _ *testpb.ReadRequest) (*testpb.ReadResponse, error) {
		close(arrived)
		<-ctx.Done()
		close(ended)
		return nil, ctx.Err()
	}}, func(_ *rpc.HandlerConfig, c *rpc.Config) { c.DrainTimeout = 10 * time.Millisecond })
	call := make(chan error, 1)
	client := newClient(t, s, nil)
	go func() {
		_, err := client.Read(t.Context(), &testpb.ReadRequest{})
		call <- err
	}()
	<-arrived
	if err := s.stop(); err == nil {
		t.Error("Serve hides that it cut a call off")
	}
	<-ended
	if err := <-call; err == nil || !wantDownstream(t, err).Retryable() {
		t.Errorf("the caller gets %v", err)
	}
}

func TestServeSaysWhyItCannotListen(t *testing.T) {
	t.Parallel()
	s := newServer(t, &notebook{}, nil)
	if err := rpc.Serve(t.Context(), rpc.Config{Addr: s.addr}); err == nil {
		t.Error("two servers on one address")
	}
}

func TestNewHandlerServesTheSame(t *testing.T) {
	t.Parallel()
	h := rpc.NewHandler(rpc.Config{Routes: map[string]http.Handler{
		"GET /hello": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hello")) }),
	}})
	for path, want := range map[string]int{"/hello": 200, "/healthz": 200, "/metrics": 404} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		if w.Code != want {
			t.Errorf("%s: %d, want %d", path, w.Code, want)
		}
	}
}
