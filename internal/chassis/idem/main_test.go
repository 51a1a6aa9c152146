package idem_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/dayof/dayof/devenv/pgtest"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/config"
	"github.com/dayof/dayof/internal/chassis/idem"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/chassis/rpc"
	"github.com/dayof/dayof/internal/chassis/rpc/testpb"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// patience ends a test that hangs; no test passes or fails by how long something takes.
const patience = 3 * time.Minute

func migrate(ctx context.Context, pool *pgxpool.Pool) error {
	_, err := pool.Exec(ctx, idem.Schema+`
		CREATE TABLE notes (number bigint GENERATED ALWAYS AS IDENTITY, text text NOT NULL);`)
	return err
}

// handler is what a test's service does on Write.
type handler func(ctx context.Context, req *testpb.WriteRequest) (*testpb.WriteResponse, error)

// operatorToken lets a caller choose any key.
var operatorToken = config.NewSecret("operator-token-of-this-test")

// notebook is a service with nothing but Write.
type notebook struct {
	testpb.UnimplementedNotebookServiceHandler
	write handler
}

func (n *notebook) Write(ctx context.Context, req *testpb.WriteRequest) (*testpb.WriteResponse, error) {
	return n.write(ctx, req)
}

// newService serves write and returns a client of it.
func newService(t testing.TB, write handler) testpb.NotebookServiceClient {
	t.Helper()
	path, h := testpb.NewNotebookServiceHandler(&notebook{write: write}, rpc.NewHandlerOptions(rpc.HandlerConfig{
		Logger: slog.New(slog.DiscardHandler), Clock: clock.System{},
		Policy: rpc.Policy{testpb.NotebookServiceWriteProcedure: rpc.RolePublic}, OperatorTokens: []config.Secret{operatorToken},
	})...)
	server := httptest.NewUnstartedServer(rpc.NewHandler(rpc.Config{
		Services: []rpc.Service{{Name: testpb.NotebookServiceName, Path: path, Handler: h}},
	}))
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	server.Config.Protocols = &protocols
	server.Start()
	t.Cleanup(server.Close)
	httpClient, opts := rpc.Dial(rpc.DialConfig{BaseURL: server.URL, Token: operatorToken, Timeout: patience})
	t.Cleanup(httpClient.CloseIdleConnections)
	return testpb.NewNotebookServiceClient(httpClient, server.URL, opts...)
}

// write calls the service and reports whether the answer is said to be a replay.
func write(ctx context.Context, client testpb.NotebookServiceClient, key, text string) (*testpb.WriteResponse, bool, error) {
	ctx, info := connect.NewClientContext(rpc.WithIdempotencyKey(ctx, key))
	res, err := client.Write(ctx, &testpb.WriteRequest{Text: text})
	if err != nil {
		return nil, false, err
	}
	return res, info.ResponseHeader().Get("Idempotency-Replayed") == "true", nil
}

func count(t testing.TB, pool *pgxpool.Pool, table string) int {
	t.Helper()
	var n int
	if err := pool.QueryRow(t.Context(), "SELECT count(*) FROM "+table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func wantCounts(t testing.TB, pool *pgxpool.Pool, notes, keys int) {
	t.Helper()
	if n, k := count(t, pool, "notes"), count(t, pool, "idempotency_keys"); n != notes || k != keys {
		t.Errorf("%d notes and %d keys, want %d and %d", n, k, notes, keys)
	}
}

func wantProblem(t testing.TB, err error, code connect.Code, reason string) {
	t.Helper()
	if got := problem.Code(err); got != code || problem.Reason(err) != reason {
		t.Fatalf("got %v, reason %q (%v); want %v, reason %q", got, problem.Reason(err), err, code, reason)
	}
}

func fingerprint(req *testpb.WriteRequest) []byte {
	return idem.Fingerprint(1, req.GetText(), len(req.GetLines()))
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
