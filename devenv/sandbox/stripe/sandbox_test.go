package stripe_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	stripego "github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/client"
	"github.com/stripe/stripe-go/v76/webhook"

	"github.com/dayof/dayof/devenv/sandbox/stripe"
	"github.com/dayof/dayof/internal/chassis/clock"
)

const (
	accountSecret = "whsec_account"
	connectSecret = "whsec_connect"
	waitMax       = 10 * time.Second
)

// inbox is a webhook endpoint that verifies what arrives with stripe-go and keeps it.
type inbox struct {
	t      testing.TB
	secret string
	url    string

	mu     sync.Mutex
	events []stripego.Event
	bodies [][]byte
	fail   func(n int) int // status for the n-th call (from 0); 0 accepts
	calls  int
}

func newInbox(tb testing.TB, secret string) *inbox {
	tb.Helper()
	in := &inbox{t: tb, secret: secret}
	srv := httptest.NewServer(in)
	tb.Cleanup(srv.Close)
	in.url = srv.URL
	return in
}

func (in *inbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		in.t.Errorf("read webhook: %v", err)
	}
	ev, err := webhook.ConstructEvent(body, r.Header.Get("Stripe-Signature"), in.secret)
	if err != nil {
		in.t.Errorf("webhook does not verify: %v\n%s", err, body)
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	n := in.calls
	in.calls++
	if in.fail != nil {
		if status := in.fail(n); status != 0 {
			w.WriteHeader(status)
			return
		}
	}
	in.events = append(in.events, ev)
	in.bodies = append(in.bodies, body)
}

func (in *inbox) types() []string {
	in.mu.Lock()
	defer in.mu.Unlock()
	var types []string
	for _, ev := range in.events {
		types = append(types, string(ev.Type))
	}
	return types
}

// event returns the newest event of a type that arrived.
func (in *inbox) event(tb testing.TB, eventType string) stripego.Event {
	tb.Helper()
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, ev := range slices.Backward(in.events) {
		if string(ev.Type) == eventType {
			return ev
		}
	}
	tb.Fatalf("no %s arrived", eventType)
	return stripego.Event{}
}

// sandbox is a running stand-in with the two webhook endpoints and a stripe-go client.
type sandbox struct {
	*stripe.Server
	t       testing.TB
	url     string
	api     *client.API
	clock   *clock.Fake
	account *inbox
	connect *inbox
}

type option func(*stripe.Config)

func newSandbox(tb testing.TB, options ...option) *sandbox {
	tb.Helper()
	sb := &sandbox{
		t: tb, clock: clock.NewFake(time.Now()), //nolint:forbidigo // stripe-go checks signatures by the machine's clock
		account: newInbox(tb, accountSecret), connect: newInbox(tb, connectSecret),
	}
	cfg := stripe.Config{
		Clock: sb.clock, Logger: slog.New(slog.DiscardHandler), Seed: 1,
		WebhookEndpoints: []stripe.Endpoint{
			{URL: sb.account.url, Secret: accountSecret}, {URL: sb.connect.url, Secret: connectSecret, Connect: true},
		},
		Delivery: stripe.Delivery{RetryBase: time.Millisecond, RetryMax: 5 * time.Millisecond, AttemptsMax: 6},
	}
	for _, o := range options {
		o(&cfg)
	}
	server, err := stripe.New(cfg)
	if err != nil {
		tb.Fatalf("start sandbox: %v", err)
	}
	sb.Server = server
	srv := httptest.NewServer(server)
	sb.url = srv.URL
	sb.api = newClient(tb, srv.URL)
	tb.Cleanup(func() {
		srv.Close()
		_ = server.Close() // a test may have closed it already
	})
	return sb
}

func withJournal(dir string) option {
	return func(c *stripe.Config) { c.JournalPath = filepath.Join(dir, "stripe.jsonl") }
}

// newClient has connections of its own: on a new one Go's transport does not repeat a call whose reply was lost.
func newClient(tb testing.TB, url string) *client.API {
	tb.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	tb.Cleanup(transport.CloseIdleConnections)
	backend := func() stripego.Backend {
		return stripego.GetBackendWithConfig(stripego.APIBackend, &stripego.BackendConfig{
			URL: new(url), HTTPClient: &http.Client{Timeout: waitMax, Transport: transport},
			LeveledLogger:     &stripego.LeveledLogger{Level: stripego.LevelNull},
			MaxNetworkRetries: stripego.Int64(0), EnableTelemetry: new(false),
		})
	}
	return client.New("sk_test_sandbox", &stripego.Backends{API: backend(), Connect: backend(), Uploads: backend()})
}

// control calls the control API and decodes the answer; it fails the test unless the status is the wanted one.
func (sb *sandbox) control(method, path string, body any, status int) map[string]any {
	sb.t.Helper()
	raw := sb.controlRaw(method, path, body, status)
	out := map[string]any{}
	if err := json.Unmarshal(raw, &out); err != nil {
		sb.t.Fatalf("%s %s answered no JSON object: %v\n%s", method, path, err, raw)
	}
	return out
}

func (sb *sandbox) controlRaw(method, path string, body any, status int) []byte {
	sb.t.Helper()
	var payload io.Reader
	switch b := body.(type) {
	case nil:
	case []byte:
		payload = bytes.NewReader(b)
	default:
		encoded, err := json.Marshal(b)
		if err != nil {
			sb.t.Fatalf("encode control body: %v", err)
		}
		payload = bytes.NewReader(encoded)
	}
	req, err := http.NewRequestWithContext(sb.t.Context(), method, sb.url+"/_sandbox/"+path, payload)
	if err != nil {
		sb.t.Fatalf("make control request: %v", err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		sb.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		sb.t.Fatalf("read control answer: %v", err)
	}
	if res.StatusCode != status {
		sb.t.Fatalf("%s %s: status %d, want %d\n%s", method, path, res.StatusCode, status, raw)
	}
	return raw
}

// settled waits until no delivery is on its way.
func (sb *sandbox) settled() {
	sb.t.Helper()
	sb.eventually("the deliveries end", func() bool { return sb.control("GET", "idle", nil, 200)["idle"] == true })
}

func (sb *sandbox) eventually(what string, done func() bool) {
	sb.t.Helper()
	deadline := time.NewTimer(waitMax)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline.C:
			sb.t.Fatalf("waited %s in vain until %s", waitMax, what)
		}
	}
}

// newIntent makes an intent of 89.00 EUR for an order.
func (sb *sandbox) newIntent(change ...func(*stripego.PaymentIntentParams)) *stripego.PaymentIntent {
	sb.t.Helper()
	params := &stripego.PaymentIntentParams{
		Amount: stripego.Int64(8900), Currency: new("eur"), Description: new("Tickets"),
		ReceiptEmail: new("buyer@example.test"),
	}
	params.AddMetadata("order_id", "ord_4DFJiRdPUPa5LD93")
	for _, f := range change {
		f(params)
	}
	pi, err := sb.api.PaymentIntents.New(params)
	if err != nil {
		sb.t.Fatalf("create intent: %v", err)
	}
	return pi
}

// paid makes an intent that a buyer has paid, and returns it with its charge and the charge's balance transaction.
func (sb *sandbox) paid(method string, change ...func(*stripego.PaymentIntentParams)) *stripego.PaymentIntent {
	sb.t.Helper()
	pi := sb.newIntent(change...)
	sb.control("POST", "payment_intents/"+pi.ID+"/confirm", map[string]string{"payment_method": method}, 200)
	return sb.intent(pi.ID)
}

func (sb *sandbox) intent(id string) *stripego.PaymentIntent {
	sb.t.Helper()
	params := &stripego.PaymentIntentParams{}
	params.AddExpand("latest_charge.balance_transaction")
	pi, err := sb.api.PaymentIntents.Get(id, params)
	if err != nil {
		sb.t.Fatalf("get intent: %v", err)
	}
	return pi
}

// refusal asserts that an error is Stripe's, of a type and code.
func refusal(tb testing.TB, err error, status int, errType stripego.ErrorType, code stripego.ErrorCode) {
	tb.Helper()
	se := stripeError(tb, err)
	if se.HTTPStatusCode != status || se.Type != errType || se.Code != code {
		tb.Fatalf("got %d %s %q (%s), want %d %s %q", se.HTTPStatusCode, se.Type, se.Code, se.Msg, status, errType, code)
	}
}

func stripeError(tb testing.TB, err error) *stripego.Error {
	tb.Helper()
	var se *stripego.Error
	if !errors.As(err, &se) {
		tb.Fatalf("got %v (%T), want a Stripe error", err, err)
	}
	return se
}

// idOf is the id of an object that the control API answered.
func idOf(obj map[string]any) string { return fmt.Sprint(obj["id"]) }

func wantTypes(tb testing.TB, in *inbox, want ...string) {
	tb.Helper()
	got := in.types()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		tb.Fatalf("events arrived:\n  %s\nwant:\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}
