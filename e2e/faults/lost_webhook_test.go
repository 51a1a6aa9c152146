package faults

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/e2e/e2etest"
	webhookv1 "github.com/dayof/dayof/gen/dayof/webhook/v1"
	"github.com/dayof/dayof/internal/chassis/problem"
)

// TestLostWebhooks loses every tenth webhook, and all of one order whose buyer closed the browser. The next start asks Stripe
// for what it could not deliver: no event is missing then, and every order is complete.
func TestLostWebhooks(t *testing.T) {
	t.Parallel()
	const sales = 20
	c := e2etest.Config()
	c.Replicas, c.DataDir = 1, t.TempDir()
	m := e2etest.StartKept(t, c)
	t.Cleanup(func() {
		if err := m.Stop(context.Background()); err != nil {
			t.Errorf("stop the cluster: %v", err)
		}
	})
	system := client.NewClient(m.File)
	variant := e2etest.NewVariant(t, system, 4450, 100)
	set := func(dropRate float64) {
		t.Helper()
		if _, err := system.Stripe.Control(e2etest.Within(t, 10*time.Second), http.MethodPatch, "/_sandbox/settings", map[string]float64{"drop_rate": dropRate}); err != nil {
			t.Fatal(err)
		}
	}
	set(0.1)
	lost := e2etest.Start(t, system, variant, 1)
	if err := system.Stripe.Withhold(e2etest.Within(t, 10*time.Second), lost.IntentID); err != nil {
		t.Fatal(err)
	}
	orders := []string{lost.OrderID}
	carts := []client.Cart{lost}
	for range sales {
		cart := e2etest.Start(t, system, variant, 1)
		orders, carts = append(orders, cart.OrderID), append(carts, cart)
	}
	var buyers sync.WaitGroup
	for _, cart := range carts {
		buyers.Go(func() {
			if err := system.Pay(e2etest.Within(t, time.Minute), cart, client.ViaWebhook); err != nil {
				t.Error(err)
			}
		})
	}
	buyers.Wait()
	if _, err := system.Stripe.Control(e2etest.Within(t, 10*time.Second), http.MethodPost, "/_sandbox/webhooks/release",
		map[string]any{"payment_intent": lost.IntentID, "drop": true}); err != nil {
		t.Fatal(err)
	}
	for ctx := e2etest.Within(t, time.Minute); ; {
		idle, err := system.Stripe.Idle(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if idle {
			break
		}
		e2etest.Pause(ctx)
	}
	set(0)
	if e2etest.Order(t, system, lost.OrderID).FulfilmentState == "completed" {
		t.Error("the order whose webhooks were lost is complete: nothing was lost")
	}
	before := missingEvents(t, system)
	t.Logf("%d events are missing", len(before))
	if len(before) == 0 {
		t.Error("no event is missing")
	}
	if err := m.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	m = e2etest.StartKept(t, c)
	system = client.NewClient(m.File)
	for _, id := range orders {
		e2etest.Await(t, system, id, "completed", e2etest.Completed)
	}
	for ctx := e2etest.Within(t, time.Minute); len(missingEvents(t, system)) > 0; {
		if ctx.Err() != nil {
			t.Fatalf("still missing: %v", missingEvents(t, system))
		}
		e2etest.Pause(ctx)
	}
	e2etest.AssertClean(t, m)
	if err := e2etest.RecordStripeCalls(t.Context(), m); err != nil {
		t.Error(err)
	}
}

// missingEvents are the events about captured money that Stripe has and the inbox has not.
func missingEvents(t *testing.T, system *client.Client) []string {
	t.Helper()
	ctx := e2etest.Within(t, time.Minute)
	var missing []string
	body, err := system.Stripe.Control(ctx, http.MethodGet, "/_sandbox/events?type=payment_intent.succeeded", nil)
	if err != nil {
		t.Fatal(err)
	}
	var events []struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(body, &events); err != nil || len(events) == 0 {
		t.Fatalf("%d events, %v", len(events), err)
	}
	for _, e := range events {
		_, err := system.Webhooks.GetWebhookEvent(ctx, &webhookv1.GetWebhookEventRequest{Endpoint: "account", EventId: e.ID})
		switch {
		case problem.Reason(err) == "WEBHOOK_EVENT_NOT_FOUND":
			missing = append(missing, e.ID)
		case err != nil:
			t.Fatal(err)
		}
	}
	return missing
}
