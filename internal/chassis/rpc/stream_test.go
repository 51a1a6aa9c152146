package rpc_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"connectrpc.com/connect"

	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/chassis/rpc"
	"github.com/dayof/dayof/internal/chassis/rpc/testpb"
)

func TestStream(t *testing.T) {
	t.Parallel()
	s := newServer(t, &notebook{}, nil)
	for name, opts := range map[string][]connect.ClientOption{
		"connect": nil, "connect json": {connect.WithProtoJSON()}, "grpc": {connect.WithGRPC()}, "grpcweb": {connect.WithGRPCWeb()},
	} {
		for version, client := range map[string]testpb.NotebookServiceClient{
			"2":   newClient(t, s, nil, opts...),
			"1.1": testpb.NewNotebookServiceClient(newHTTP1(t), s.url, opts...),
		} {
			if name == "grpc" && version == "1.1" {
				continue // needs trailers
			}
			t.Run(name+" over HTTP/"+version, func(t *testing.T) {
				t.Parallel()
				if got, err := watch(t, client, "hello"); strings.Join(got, " ") != "hello end" || err != nil {
					t.Errorf("got %q, %v", got, err)
				}
				_, err := watch(t, client, strings.Repeat("x", 21))
				if problem.Code(err) != connect.CodeInvalidArgument || problem.Reason(err) != problem.ReasonInvalidField {
					t.Errorf("a text that is too long: got %v", err)
				}
			})
		}
	}
}

// watch reads a stream to its end.
func watch(t testing.TB, client testpb.NotebookServiceClient, text string) (got []string, err error) {
	t.Helper()
	stream, err := client.Watch(t.Context(), &testpb.WatchRequest{Text: text})
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	for stream.Receive() {
		got = append(got, stream.Msg().GetText())
	}
	return got, stream.Err()
}

// What cannot be read is told as for any other call.
func TestStreamOfAMalformedRequest(t *testing.T) {
	t.Parallel()
	s := newServer(t, &notebook{}, nil)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+testpb.NotebookServiceWatchProcedure, strings.NewReader("\x00\x00\x00\x00\x03{x}"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/connect+json")
	res, err := newHTTP1(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || !strings.Contains(string(body), "invalid_argument") || !strings.Contains(string(body), "the request cannot be read") {
		t.Errorf("got %q, %v", body, err)
	}
}

func TestStreamPanics(t *testing.T) {
	t.Parallel()
	n := &notebook{watch: func(context.Context, *testpb.WatchRequest, func(string) error) error { panic("of a test") }}
	s := newServer(t, n, nil)
	_, err := watch(t, newClient(t, s, nil), "")
	wantProblem(t, err, connect.CodeInternal, problem.ReasonInternal)
	if !strings.Contains(s.log.String(), "panic: of a test") {
		t.Error("the panic is not logged")
	}
}

// waiting is a stream that sends one message and ends when it is ended.
func waiting(ended chan<- error) *notebook {
	return &notebook{watch: func(ctx context.Context, _ *testpb.WatchRequest, send func(string) error) error {
		if err := send("begun"); err != nil {
			return err
		}
		<-ctx.Done()
		ended <- ctx.Err()
		return ctx.Err()
	}}
}

// A server that drains ends its streams without an error, so that their callers ask another one.
func TestStreamEndsWithTheServer(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 1)
	s := newServer(t, waiting(ended), nil)
	stream, err := newClient(t, s, nil).Watch(t.Context(), &testpb.WatchRequest{})
	if err != nil || !stream.Receive() {
		t.Fatalf("begin a stream: %v, %v", err, stream.Err())
	}
	defer stream.Close()
	stopped := make(chan error, 1)
	go func() { stopped <- s.stop() }()
	if stream.Receive() || stream.Err() != nil {
		t.Errorf("the stream ended with %v, want no error", stream.Err())
	}
	if err := <-stopped; err != nil {
		t.Errorf("the server ended with %v", err)
	}
}

func TestStreamEndsWithItsCaller(t *testing.T) {
	t.Parallel()
	for name, http1 := range map[string]bool{"HTTP/1.1": true, "HTTP/2": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ended := make(chan error, 1)
			s := newServer(t, waiting(ended), nil)
			client := newClient(t, s, nil)
			if http1 {
				client = testpb.NewNotebookServiceClient(newHTTP1(t), s.url)
			}
			ctx, cancel := context.WithCancel(t.Context())
			stream, err := client.Watch(ctx, &testpb.WatchRequest{})
			if err != nil || !stream.Receive() {
				t.Fatalf("begin a stream: %v, %v", err, stream.Err())
			}
			cancel()
			if err := <-ended; err == nil { // else this test hangs
				t.Error("the stream ended, but not its context")
			}
			_ = stream.Close()
		})
	}
}

// Streams have places of their own, of which an address has a quarter; calls go on beside them.
func TestStreamsAreBounded(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 2)
	s := newServer(t, waiting(ended), func(_ *rpc.HandlerConfig, c *rpc.Config) { c.MaxStreams, c.MaxInFlight = 8, 1 })
	client := newClient(t, s, nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range 2 {
		stream, err := client.Watch(ctx, &testpb.WatchRequest{})
		if err != nil || !stream.Receive() {
			t.Fatalf("begin a stream: %v, %v", err, stream.Err())
		}
		defer stream.Close()
	}
	_, err := watch(t, client, "")
	wantProblem(t, err, connect.CodeResourceExhausted, problem.ReasonOverloaded)
	if problem.RetryAfter(err) == 0 {
		t.Error("the refusal does not say when to ask again")
	}
	if _, err := client.Read(t.Context(), &testpb.ReadRequest{Text: "beside"}); err != nil {
		t.Errorf("a call beside the streams: %v", err)
	}
	cancel()
	for range 2 {
		if err := <-ended; err == nil {
			t.Error("the stream ended, but not its context")
		}
	}
	for { // the place is given back a moment after the handler has ended
		stream, err := client.Watch(t.Context(), &testpb.WatchRequest{})
		if err == nil && stream.Receive() {
			_ = stream.Close()
			return
		}
		if t.Context().Err() != nil {
			t.Fatal("places of streams are not given back")
		}
	}
}
