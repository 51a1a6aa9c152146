package rpc_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
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
		req.Header = http.Header{"Content-Type": {"application/json"}, "Idempotency-Key": {secretKey}}
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
	if _, err := io.WriteString(conn, "POST "+testpb.NotebookServiceWriteProcedure+" HTTP/1.1\r\nHost: x\r\nIdempotency-Key: "+secretKey+"\r\n"+
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
	if _, page := get(t, s.url+"/metrics"); res.StatusCode != http.StatusNotFound || strings.Contains(page, "Burn") {
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

// TestNoPlaceWithoutABody opens more calls than there are places and sends no body: others are served meanwhile, and
// those calls end. It is the same for plain HTTP handlers, and for paths that nobody serves.
func TestNoPlaceWithoutABody(t *testing.T) {
	t.Parallel()
	s := newServer(t, &notebook{}, func(_ *rpc.HandlerConfig, c *rpc.Config) {
		c.MaxInFlight, c.BodyTimeout = 2, 2*time.Second
		c.Routes = map[string]http.Handler{"POST /page": http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	})
	ended := make(chan int)
	paths := []string{testpb.NotebookServiceWriteProcedure, "/page", "/nothing/here", "/grpc.health.v1.Health/Check", "/healthz"}
	const each = 50
	bodies := make(chan *io.PipeWriter, each*len(paths))
	for _, path := range paths {
		client, _ := rpc.Dial(rpc.DialConfig{BaseURL: s.url})
		t.Cleanup(client.CloseIdleConnections)
		for range each {
			body, silent := io.Pipe()
			bodies <- silent
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+path, body)
			if err != nil {
				t.Fatal(err)
			}
			req.Header = http.Header{"Content-Type": {"application/proto"}, "Idempotency-Key": {secretKey}}
			go func() {
				res, err := client.Do(req)
				if err != nil {
					ended <- 0
					return
				}
				_ = res.Body.Close()
				ended <- res.StatusCode
			}()
		}
	}
	for range 20 {
		if _, err := newClient(t, s, nil).Read(t.Context(), &testpb.ReadRequest{}); err != nil {
			t.Fatalf("somebody else is refused: %v", err)
		}
	}
	for range each * len(paths) {
		if status := <-ended; status == http.StatusOK {
			t.Error("a call without a body succeeds")
		}
	}
	for range each * len(paths) {
		_ = (<-bodies).Close()
	}
}

// TestSlowBodyAnywhere drips a body to paths that are no RPCs, over HTTP/1.1: the connection is closed.
func TestSlowBodyAnywhere(t *testing.T) {
	t.Parallel()
	s := newServer(t, &notebook{}, func(_ *rpc.HandlerConfig, c *rpc.Config) {
		c.BodyTimeout = 50 * time.Millisecond
		c.Routes = map[string]http.Handler{"POST /page": http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	})
	for _, path := range []string{"/page", "/nothing/here", "/healthz", "/metrics", "/grpc.health.v1.Health/Check"} {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.SetDeadline(time.Now().Add(patience)); err != nil { //nolint:forbidigo // the limit of a test that hangs
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, "POST "+path+" HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"); err != nil {
			t.Fatal(err)
		}
		if answer, err := io.ReadAll(conn); err != nil { // until the server closes the connection
			t.Errorf("%s: the connection stays open: %q, %v", path, answer, err)
		}
		_ = conn.Close()
	}
}

// TestBodiesHaveABudget lets bodies arrive that are more than there is room for: one more is refused, and there is room
// again when they have ended.
func TestBodiesHaveABudget(t *testing.T) {
	t.Parallel()
	arrived, finish := make(chan struct{}), make(chan struct{})
	s := newServer(t, &notebook{write: func(context.Context, *testpb.WriteRequest) (*testpb.WriteResponse, error) {
		arrived <- struct{}{}
		<-finish
		return &testpb.WriteResponse{}, nil
	}}, func(_ *rpc.HandlerConfig, c *rpc.Config) { c.BodyBytes = 120 }) // 30 for a peer
	write := func() error {
		ctx := rpc.WithIdempotencyKey(t.Context(), secretKey)
		_, err := newClient(t, s, nil).Write(ctx, &testpb.WriteRequest{Text: strings.Repeat("x", 20)})
		return err
	}
	done := make(chan error, 1)
	go func() { done <- write() }()
	select {
	case <-arrived:
	case err := <-done:
		t.Fatalf("the first call: %v", err)
	}
	err := write()
	wantProblem(t, err, connect.CodeResourceExhausted, problem.ReasonOverloaded)
	close(finish)
	if err := <-done; err != nil {
		t.Error(err)
	}
	go func() { <-arrived }()
	eventually(t, "there is room again", func() bool {
		return write() == nil
	})
}

// TestOnePeerLeavesRoomForOthers has one address send bodies that never end, of calls and to a page, until it is refused: another
// address is served all the same.
func TestOnePeerLeavesRoomForOthers(t *testing.T) {
	t.Parallel()
	const size = 64 << 10
	s := newServer(t, &notebook{}, func(_ *rpc.HandlerConfig, c *rpc.Config) {
		c.BodyBytes, c.BodyTimeout = size, patience
		c.Routes = map[string]http.Handler{"POST /page": http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	})
	send := func(from, path, contentLength, body string) net.Conn {
		t.Helper()
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		conn, err := dialer.DialContext(t.Context(), "tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		_, err = io.WriteString(conn, "POST "+path+" HTTP/1.1\r\nHost: x\r\nIdempotency-Key: "+secretKey+"\r\nConnection: close\r\n"+
			"Content-Type: application/json\r\nContent-Length: "+contentLength+"\r\n\r\n"+body)
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	for _, path := range []string{testpb.NotebookServiceWriteProcedure, "/page"} {
		var greedy []net.Conn
		answered := make(chan string)
		for range 30 { // each half of a peer's share, and an eighth of all
			conn := send("127.0.0.2", path, "1000000", strings.Repeat(" ", size/8))
			greedy = append(greedy, conn)
			go func() {
				answer, _ := io.ReadAll(conn) // ends with the connection
				answered <- string(answer)
			}()
		}
		for range 22 { // the others are held, whether a peer has a share or not
			if answer := <-answered; strings.HasPrefix(answer, "HTTP/1.1 200") {
				t.Errorf("%s: the greedy peer is answered %q", path, answer)
			}
		}
		for range 5 {
			for _, other := range []string{testpb.NotebookServiceWriteProcedure, "/page"} {
				body := `{"text":"x"}` + strings.Repeat(" ", 1000)
				answer, err := io.ReadAll(send("127.0.0.1", other, strconv.Itoa(len(body)), body))
				if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 200") {
					t.Errorf("somebody else is answered %q, %v", answer, err)
				}
			}
		}
		for _, conn := range greedy {
			_ = conn.Close()
		}
		for range 8 {
			<-answered
		}
		eventually(t, "the greedy peer has room again", func() bool {
			answer, err := io.ReadAll(send("127.0.0.2", path, "12", `{"text":"x"}`))
			return err == nil && strings.HasPrefix(string(answer), "HTTP/1.1 200")
		})
	}
}
