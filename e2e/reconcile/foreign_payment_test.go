package reconcile

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/devenv/idle"
	"github.com/dayof/dayof/e2e/e2etest"
	webhookv1 "github.com/dayof/dayof/gen/dayof/webhook/v1"
	"github.com/dayof/dayof/internal/chassis/clock"
)

// TestForeignPayments shares the Stripe account with another shop. Its payments, refunds and disputes end as unmatched, nobody is
// alerted, and reconciliation sums their money instead of calling it a difference.
func TestForeignPayments(t *testing.T) {
	t.Parallel()
	from := clock.System{}.Now().Add(-time.Minute)
	m := e2etest.NewCluster(t, 1, e2etest.OnDemand)
	system := client.NewClient(m.File)
	e2etest.SellIn(t, system, "EUR", 4450)
	paid := stripePost(t, system, "/v1/payment_intents", url.Values{
		"amount": {"3000"}, "currency": {"eur"}, "confirm": {"true"}, "payment_method": {client.CardThatPays}, "payment_method_types[]": {"card"},
	})
	stripePost(t, system, "/v1/refunds", url.Values{"payment_intent": {paid.ID()}, "amount": {"500"}})
	disputed := stripePost(t, system, "/v1/payment_intents", url.Values{
		"amount": {"2000"}, "currency": {"eur"}, "confirm": {"true"}, "payment_method": {client.CardThatPays}, "payment_method_types[]": {"card"},
	})
	e2etest.Control(t, system, "/_sandbox/disputes", map[string]any{"payment_intent": disputed.ID()})
	awaitUnmatched(t, system, "payment_intent.succeeded", "refund.created", "charge.refunded", "charge.dispute.created")
	e2etest.AwaitIdle(t, system, idle.Scope{})

	conn, err := pgx.Connect(e2etest.Within(t, time.Minute), m.File.DatabaseURLs["webhook"])
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	var alerts, open int
	if err := conn.QueryRow(e2etest.Within(t, time.Minute), `select (select count(*) from alerts),
		(select count(*) from webhook_events where end_time is null or state = 'dead')`).Scan(&alerts, &open); err != nil {
		t.Fatal(err)
	}
	if alerts != 0 || open != 0 {
		t.Errorf("%d alerts, %d events that have not ended well", alerts, open)
	}
	run, differences, err := system.Reconcile(e2etest.Within(t, 2*time.Minute), from, clock.System{}.Now().Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range differences {
		t.Errorf("a payment of others is a difference: %s %s: %s", d.GetKind(), d.GetSubject(), d.GetSuggestedCause())
	}
	amounts := run.GetForeignAmounts()
	if len(amounts) != 1 || amounts[0].GetCurrency() != "EUR" || amounts[0].GetMinorUnits() <= 0 || amounts[0].GetMinorUnits() >= 5000-500 || run.GetForeignCount() < 4 {
		t.Errorf("%d items of others, %v", run.GetForeignCount(), amounts)
	}
	e2etest.AssertClean(t, m)
}

// awaitUnmatched waits until an event of each type has ended as unmatched.
func awaitUnmatched(t *testing.T, system *client.Client, types ...string) {
	t.Helper()
	ctx := e2etest.Within(t, time.Minute)
	for _, eventType := range types {
		for unmatched(ctx, t, system, eventType) == 0 {
			e2etest.Pause(ctx)
		}
	}
}

func unmatched(ctx context.Context, t *testing.T, system *client.Client, eventType string) int {
	t.Helper()
	page, err := system.Webhooks.ListWebhookEvents(ctx, &webhookv1.ListWebhookEventsRequest{Filter: &webhookv1.WebhookEventFilter{Type: eventType}})
	if err != nil {
		t.Fatalf("no unmatched %s: %v", eventType, err)
	}
	n := 0
	for _, e := range page.GetEvents() {
		if e.GetState() == webhookv1.WebhookEventState_WEBHOOK_EVENT_STATE_REJECTED && e.GetError() == "unmatched" {
			n++
		}
	}
	return n
}

// stripePost calls Stripe's API as another program with the same key would.
func stripePost(t *testing.T, system *client.Client, path string, form url.Values) e2etest.Resource {
	t.Helper()
	req, err := http.NewRequestWithContext(e2etest.Within(t, time.Minute), http.MethodPost, system.Stripe.BaseURL+path, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth("sk_test_anothershop", "")
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := system.HTTP.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("post %s: %d %s, %v", path, res.StatusCode, body, err)
	}
	var r e2etest.Resource
	if err := json.Unmarshal(body, &r); err != nil {
		t.Fatal(err)
	}
	return r
}
