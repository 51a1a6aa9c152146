package webhooksvc

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/dayof/dayof/devenv/pgtest"
	"github.com/dayof/dayof/devenv/postgres"
	"github.com/dayof/dayof/gen/dayof/webhook/v1/webhookv1connect"
	"github.com/dayof/dayof/internal/chassis/alert"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/config"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const (
	accountSecret = "whsec_account_0123456789"
	connectSecret = "whsec_connect_0123456789"
	operatorToken = "operator-token-of-tests"
	patience      = 3 * time.Minute // for what happens in milliseconds on an idle machine
)

// storyTime is when the fake clocks stand; the bodies are older or younger, which must not matter.
var storyTime = time.Date(2025, 11, 24, 16, 0, 0, 0, time.UTC)

// harness is a webhooksvc with its routes on a real listener, and the services that it calls.
type harness struct {
	*Service
	url    string
	peers  *peers
	pool   *pgxpool.Pool
	clock  *clock.Fake
	client webhookv1connect.WebhookServiceClient
}

// newHarness starts all of it. change may adapt the configuration; nil leaves it.
func newHarness(t *testing.T, change func(*Config, *Deps)) *harness {
	t.Helper()
	w := newQuietHarness(t, change)
	if err := w.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
		defer cancel()
		if err := w.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return w
}

// newQuietHarness is newHarness without background work: what is stored stays as it is.
func newQuietHarness(t *testing.T, change func(*Config, *Deps)) *harness {
	t.Helper()
	w := &harness{pool: pgtest.New(t, Migrate), clock: clock.NewFake(storyTime), peers: newPeers(t)}
	c := Config{
		AccountSecrets: secretsOf(accountSecret), ConnectSecrets: secretsOf(connectSecret), APIVersion: "2023-10-16",
		BodyTimeout: patience, Workers: 8, StripeURL: "http://127.0.0.1:1", StripeTimeout: time.Second,
		BackfillInterval: time.Hour, Retention: 90 * 24 * time.Hour, RejectionAlert: 5, ConsoleURL: "http://console.test",
	}
	d := Deps{
		Pool: w.pool, Payments: w.peers.payments(), Accounts: w.peers.accounts(), Desk: w.peers.desk(), Ledger: w.peers.ledger(), Clock: w.clock,
		Logger: slog.New(slog.NewTextHandler(testLog{t}, nil)),
	}
	if change != nil {
		change(&c, &d)
	}
	var err error
	d.Config = c
	if w.Service, err = New(d); err != nil {
		t.Fatal(err)
	}
	w.url = w.serve(t)
	httpClient, opts := rpc.Dial(rpc.DialConfig{BaseURL: w.url, Token: config.NewSecret(operatorToken), Timeout: patience})
	w.client = webhookv1connect.NewWebhookServiceClient(httpClient, w.url, opts...)
	return w
}

// serve mounts routes and RPCs as `dayof serve` does.
func (w *harness) serve(t *testing.T) string {
	t.Helper()
	return serve(t, "127.0.0.1:0", w.Handlers(rpc.NewHandlerOptions(rpc.HandlerConfig{
		Logger: slog.New(slog.DiscardHandler), Clock: clock.System{}, Policy: Policy(), OperatorTokens: secretsOf(operatorToken),
	})...), w.Routes())
}

// serve runs a server until the test ends and returns its base URL.
func serve(t *testing.T, address string, services []rpc.Service, routes map[string]http.Handler) string {
	t.Helper()
	url, stop := startServer(t, address, services, routes)
	t.Cleanup(stop)
	return url
}

func startServer(t *testing.T, address string, services []rpc.Service, routes map[string]http.Handler) (url string, stop func()) {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() {
		done <- rpc.Serve(ctx, rpc.Config{Listener: listener, Services: services, Routes: routes, DrainTimeout: time.Second})
	}()
	return "http://" + listener.Addr().String(), func() {
		cancel()
		if err := <-done; err != nil {
			t.Logf("server: %v", err) // calls that hang are cut off, which some tests want
		}
	}
}

// testLog writes to the test's log.
type testLog struct{ t *testing.T }

func (l testLog) Write(line []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(line)))
	return len(line), nil
}

// delivered is the answer to a delivery.
type delivered struct {
	status int
	header http.Header
	body   string
}

// deliver posts a body signed with secret, as Stripe does.
func (w *harness) deliver(t *testing.T, path, secret string, body []byte) delivered {
	t.Helper()
	return w.post(t, path, body, http.Header{"Stripe-Signature": {sign(w.clock.Now(), body, secret)}})
}

func (w *harness) post(t *testing.T, path string, body []byte, header http.Header) delivered {
	t.Helper()
	return w.request(t, http.MethodPost, path, bytes.NewReader(body), header)
}

func (w *harness) request(t *testing.T, method, path string, body io.Reader, header http.Header) delivered {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, w.url+path, body)
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(req.Header, header)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return delivered{res.StatusCode, res.Header, string(answer)}
}

// must fails the test unless the answer is a 200.
func (d delivered) must(t *testing.T) {
	t.Helper()
	if d.status != http.StatusOK {
		t.Fatalf("answer %d %s, want 200", d.status, d.body)
	}
}

// row is an inbox row of the account endpoint as tests read it.
type row struct {
	State, Error         string
	Deliveries, Attempts int64
	Ended                bool
}

func (w *harness) row(t *testing.T, eventID string) row {
	t.Helper()
	var r row
	err := w.pool.QueryRow(t.Context(), `SELECT state, error, delivery_count, attempt_count, end_time IS NOT NULL
		FROM webhook_events WHERE endpoint = 'account' AND event_id = $1`, eventID).
		Scan(&r.State, &r.Error, &r.Deliveries, &r.Attempts, &r.Ended)
	if err != nil {
		t.Fatalf("row of %s: %v", eventID, err)
	}
	return r
}

func (w *harness) count(t *testing.T, query string, args ...any) int {
	t.Helper()
	var n int
	if err := w.pool.QueryRow(t.Context(), query, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func (w *harness) exec(t *testing.T, statement string, args ...any) {
	t.Helper()
	if _, err := w.pool.Exec(t.Context(), statement, args...); err != nil {
		t.Fatal(err)
	}
}

// awaitState waits until the event is in the state.
func (w *harness) awaitState(t *testing.T, eventID, state string) row {
	t.Helper()
	var last row
	await(t, fmt.Sprintf("%s to be %s", eventID, state), func() bool {
		last = w.row(t, eventID)
		return last.State == state
	})
	return last
}

// deadAlerts are the open alerts about dead events, by subject.
func (w *harness) deadAlerts(t *testing.T) map[string]alert.Alert {
	t.Helper()
	open, err := alert.ListOpen(t.Context(), w.Pool, 100)
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]alert.Alert)
	for _, a := range open {
		if a.Kind == alertDead {
			found[a.Subject] = a
		}
	}
	return found
}

// await polls until the condition holds.
func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-deadline.C:
			t.Fatalf("waited in vain for %s", what)
		case <-tick.C:
		}
	}
}

// story returns a body of the Stripe stories.
func story(tb testing.TB, name string) []byte {
	tb.Helper()
	body, err := os.ReadFile(filepath.Join("testdata", "stories", name+".json"))
	if err != nil {
		tb.Fatal(err)
	}
	return body
}

// eventBody is a small event.
func eventBody(id, eventType, object string) []byte {
	return fmt.Appendf(nil, `{
  "id": %q,
  "object": "event",
  "api_version": "2023-10-16",
  "created": 1764000000,
  "data": {"object": %s},
  "livemode": false,
  "type": %q
}`, id, object, eventType)
}

// intentBody is a payment_intent.succeeded.
func intentBody(id string) []byte {
	return eventBody(id, "payment_intent.succeeded", `{"id": "pi_`+id+`", "object": "payment_intent", "amount": 8900,
    "amount_received": 8900, "currency": "eur", "livemode": false, "metadata": {"order_id": "ord_4DFJiRdPUPa5LD93"}, "status": "succeeded"}`)
}

// startPostgres starts a server of the test's own, to be crashed. It keeps what it committed through a crash of its
// own, though not of the machine.
func startPostgres(t *testing.T) *postgres.Server {
	t.Helper()
	server, err := postgres.Start(t.Context(), postgres.Options{Settings: map[string]string{"fsync": "off"}, Getenv: func(name string) string {
		if name == "DAYOF_DATABASE_URL" {
			return "" // not ours to crash
		}
		return os.Getenv(name)
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
		defer cancel()
		if err := server.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return server
}
