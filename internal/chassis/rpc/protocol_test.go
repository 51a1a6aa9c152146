package rpc_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"
	"connectrpc.com/grpcreflect"

	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/chassis/rpc"
	"github.com/dayof/dayof/internal/chassis/rpc/testpb"
)

// testCertificate is the throw-away certificate of httptest, and a client configuration that trusts it.
func testCertificate(t testing.TB) (server, client *tls.Config) {
	t.Helper()
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS()
	defer s.Close()
	transport, ok := s.Client().Transport.(*http.Transport)
	if !ok {
		t.Fatal("httptest has another transport")
	}
	return &tls.Config{Certificates: s.TLS.Certificates, MinVersion: tls.VersionTLS12}, transport.TLSClientConfig.Clone()
}

func TestProtocols(t *testing.T) {
	t.Parallel()
	protocols := map[string][]connect.ClientOption{
		"connect":      nil,
		"connect json": {connect.WithProtoJSON()},
		"connect get":  {connect.WithHTTPGet()},
		"grpc":         {connect.WithGRPC()},
		"grpc json":    {connect.WithGRPC(), connect.WithProtoJSON()},
		"grpcweb":      {connect.WithGRPCWeb()},
		"grpcweb json": {connect.WithGRPCWeb(), connect.WithProtoJSON()},
	}
	serverTLS, clientTLS := testCertificate(t)
	plain := newServer(t, &notebook{}, nil)
	secured := newServer(t, &notebook{}, func(_ *rpc.HandlerConfig, c *rpc.Config) { c.TLSConfig = serverTLS })
	for name, opts := range protocols {
		for _, s := range []*server{plain, secured} {
			t.Run(name+" over "+strings.TrimSuffix(s.url, s.addr)+"2", func(t *testing.T) {
				t.Parallel()
				client := newClient(t, s, func(c *rpc.DialConfig) { c.TLS = clientTLS }, opts...)
				speaks(t, client)
			})
			t.Run(name+" over "+strings.TrimSuffix(s.url, s.addr)+"1.1", func(t *testing.T) {
				t.Parallel()
				if slices.Contains([]string{"grpc", "grpc json"}, name) {
					return // gRPC is HTTP/2 by definition
				}
				http1 := newHTTP1(t)
				http1.Transport = &http.Transport{TLSClientConfig: clientTLS.Clone()}
				t.Cleanup(http1.CloseIdleConnections)
				_, dialOpts := rpc.Dial(rpc.DialConfig{BaseURL: s.url})
				speaks(t, testpb.NewNotebookServiceClient(http1, s.url, append(dialOpts, opts...)...))
			})
		}
	}
}

// speaks makes the same calls whatever the protocol, and wants the same answers and problems.
func speaks(t *testing.T, client testpb.NotebookServiceClient) {
	t.Helper()
	read, err := client.Read(t.Context(), &testpb.ReadRequest{Text: "größe"})
	if err != nil || read.GetText() != "größe" {
		t.Fatalf("Read: %v, %v", read, err)
	}
	ctx := rpc.WithIdempotencyKey(t.Context(), secretKey)
	written, err := client.Write(ctx, &testpb.WriteRequest{Text: "hello", Lines: []*testpb.Line{{Quantity: 1}}})
	if err != nil || written.GetText() != "hello" {
		t.Fatalf("Write: %v, %v", written, err)
	}
	_, err = client.Write(ctx, &testpb.WriteRequest{Text: "hello", Lines: []*testpb.Line{{Quantity: 1}, {Quantity: -1}}})
	wantProblem(t, err, connect.CodeInvalidArgument, problem.ReasonInvalidField)
	if fields := problem.Fields(err); len(fields) != 1 || fields[0].Path != "lines[1].quantity" || fields[0].Description == "" {
		t.Fatalf("fields %+v", fields)
	}
	_, err = client.Write(t.Context(), &testpb.WriteRequest{Text: "hello"})
	wantProblem(t, err, connect.CodeInvalidArgument, problem.ReasonIdempotencyKeyRequired)
}

func TestConnectGET(t *testing.T) {
	t.Parallel()
	s := newServer(t, &notebook{}, nil)
	get := func(procedure string) (int, string) {
		query := url.Values{"connect": {"v1"}, "encoding": {"json"}, "message": {`{"text":"hi"}`}}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+procedure+"?"+query.Encode(), nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := newHTTP1(t).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(body)
	}
	if status, body := get(testpb.NotebookServiceReadProcedure); status != 200 || body != `{"text":"hi"}` {
		t.Errorf("GET Read: %d %s", status, body)
	}
	if status, _ := get(testpb.NotebookServiceWriteProcedure); status != http.StatusMethodNotAllowed {
		t.Errorf("GET Write: %d, want 405: it has side effects", status)
	}
}

func TestReflection(t *testing.T) {
	t.Parallel()
	s := newServer(t, &notebook{}, nil)
	httpClient, _ := rpc.Dial(rpc.DialConfig{BaseURL: s.url})
	t.Cleanup(httpClient.CloseIdleConnections)
	for _, version := range []string{"v1", "v1alpha"} {
		client := grpcreflect.NewClient(onVersion{httpClient, version}, s.url, connect.WithGRPC())
		stream := client.NewStream(t.Context())
		names, err := stream.ListServices()
		if err != nil || !slices.Contains(toStrings(names), testpb.NotebookServiceName) || !slices.Contains(toStrings(names), grpchealth.HealthV1ServiceName) {
			t.Errorf("%s lists %v, %v", version, names, err)
		}
		for _, symbol := range names {
			if files, err := stream.FileContainingSymbol(symbol); err != nil || len(files) == 0 {
				t.Errorf("%s has no schema of %s: %v", version, symbol, err)
			}
		}
		if _, err := stream.Close(); err != nil {
			t.Errorf("%s: %v", version, err)
		}
	}
}

// onVersion sends the calls of a reflection client to another version of the service; the messages are the same.
type onVersion struct {
	*http.Client
	version string
}

func (c onVersion) Do(req *http.Request) (*http.Response, error) {
	req.URL.Path = strings.Replace(req.URL.Path, "reflection.v1.", "reflection."+c.version+".", 1)
	return c.Client.Do(req)
}

func toStrings[S ~string](in []S) []string {
	out := make([]string, 0, len(in))
	for _, s := range in {
		out = append(out, string(s))
	}
	return out
}

// One connection carries many calls at once, and more calls than it may carry open further ones.
func TestManyCallsAtOnce(t *testing.T) {
	t.Parallel()
	const calls = 600 // more than two connections' worth
	var started sync.WaitGroup
	started.Add(calls)
	s := newServer(t, &notebook{read: func(_ context.Context, req *testpb.ReadRequest) (*testpb.ReadResponse, error) {
		started.Done()
		started.Wait() // each answers only when all have arrived
		return &testpb.ReadResponse{Text: req.GetText()}, nil
	}}, nil)
	client := newClient(t, s, nil)
	errs := make(chan error, calls)
	for range calls {
		go func() {
			_, err := client.Read(t.Context(), &testpb.ReadRequest{})
			errs <- err
		}()
	}
	for range calls {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	if got := len(s.log.rpcs(t)); got != calls {
		t.Errorf("%d log lines of %d calls", got, calls)
	}
}

func TestCORS(t *testing.T) {
	t.Parallel()
	const ours, foreign = "https://shop.example", "https://evil.example"
	s := newServer(t, &notebook{}, func(_ *rpc.HandlerConfig, c *rpc.Config) { c.CORSOrigins = []string{ours} })
	send := func(method, origin string, header http.Header, body string) (int, http.Header) {
		req, err := http.NewRequestWithContext(t.Context(), method, s.url+testpb.NotebookServiceWriteProcedure, bytes.NewBufferString(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header = header
		req.Header.Set("Origin", origin)
		res, err := newHTTP1(t).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if err := res.Body.Close(); err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, res.Header
	}
	preflight := func(origin, headers string) http.Header {
		_, header := send(http.MethodOptions, origin, http.Header{
			"Access-Control-Request-Method": {"POST"}, "Access-Control-Request-Headers": {headers},
		}, "")
		return header
	}
	asked := "authorization,connect-protocol-version,connect-timeout-ms,content-type,idempotency-key"
	if got := preflight(ours, asked); got.Get("Access-Control-Allow-Origin") != ours || got.Get("Access-Control-Allow-Headers") == "" {
		t.Errorf("our origin is refused: %v", got)
	}
	if got := preflight(ours, "x-secret"); got.Get("Access-Control-Allow-Headers") != "" {
		t.Errorf("any header is allowed: %v", got)
	}
	if got := preflight(foreign, asked); got.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("a foreign origin is allowed: %v", got)
	}
	status, header := send(http.MethodPost, ours, http.Header{"Content-Type": {"application/json"}, "Idempotency-Key": {secretKey}}, `{"text":"x"}`)
	if status != 200 || header.Get("Access-Control-Allow-Origin") != ours {
		t.Errorf("call from our origin: %d %v", status, header)
	}
	for _, exposed := range []string{"Idempotency-Replayed", "Grpc-Status", "Grpc-Message", "Grpc-Status-Details-Bin"} {
		if !strings.Contains(header.Get("Access-Control-Expose-Headers"), exposed) {
			t.Errorf("%s is not readable: %v", exposed, header)
		}
	}
	status, header = send(http.MethodPost, ours, http.Header{"Content-Type": {"application/json"}}, `{"text":"x"}`)
	if status != 400 || header.Get("Access-Control-Allow-Origin") != ours {
		t.Errorf("a problem is not readable from our origin: %d %v", status, header)
	}
	status, header = send(http.MethodPost, ours, http.Header{"Content-Type": {"application/json"}, "Idempotency-Key": {secretKey}}, `{`)
	if status != 400 || header.Get("Access-Control-Allow-Origin") != ours {
		t.Errorf("a refusal of broken bytes is not readable from our origin: %d %v", status, header)
	}
}

func TestMetricsPage(t *testing.T) {
	t.Parallel()
	s := newServer(t, &notebook{read: func(context.Context, *testpb.ReadRequest) (*testpb.ReadResponse, error) {
		return nil, errors.New("broken")
	}}, nil)
	client := newClient(t, s, nil)
	_, _ = client.Read(t.Context(), &testpb.ReadRequest{})
	_, _ = client.Write(rpc.WithIdempotencyKey(t.Context(), secretKey), &testpb.WriteRequest{Text: "x"})
	_, page := get(t, s.url+"/metrics")
	for _, want := range []string{
		`rpc_requests_total{code="internal",procedure="/dayof.test.v1.NotebookService/Read"} 1`,
		`rpc_requests_total{code="ok",procedure="/dayof.test.v1.NotebookService/Write"} 1`,
		`rpc_request_seconds_count{procedure="/dayof.test.v1.NotebookService/Write"} 1`,
		`rpc_requests_in_flight 0`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("no %s in\n%s", want, page)
		}
	}
}

// get fetches a page.
func get(t testing.TB, address string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := newHTTP1(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}
