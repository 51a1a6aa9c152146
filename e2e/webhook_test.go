package e2e

import (
	"encoding/json"
	"maps"
	"net/http"
	"testing"
	"time"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/internal/chassis/clock"
)

// resource is an object of Stripe's API.
type resource map[string]any

// id is the resource's id.
func (r resource) id() string {
	id, _ := r["id"].(string)
	return id
}

// intent reads a payment intent as Stripe has it.
func intent(t *testing.T, system *client.Client, id string) resource {
	t.Helper()
	var r resource
	if err := system.Stripe.Get(within(t, 10*time.Second), "/v1/payment_intents/"+id, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// paid turns an intent into a captured one with its charge, as Stripe would show them, and returns both.
func (r resource) paid(received int64) (intent, charge resource) {
	intent = maps.Clone(r)
	charge = resource{
		"id": "ch_" + client.NewKey(), "object": "charge", "amount": received, "amount_captured": received, "amount_refunded": 0,
		"balance_transaction": "txn_" + client.NewKey(), "captured": true, "created": clock.System{}.Now().Unix(),
		"currency": r["currency"], "livemode": r["livemode"], "metadata": r["metadata"], "paid": true, "payment_intent": r.id(),
		"refunded": false, "status": "succeeded", "failure_code": nil, "payment_method": "pm_" + client.NewKey(),
	}
	intent["status"], intent["amount_received"], intent["latest_charge"] = "succeeded", received, charge.id()
	return intent, charge
}

// load makes resources exist at Stripe as they are.
func load(t *testing.T, system *client.Client, resources ...resource) {
	t.Helper()
	for _, r := range resources {
		body, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := system.Stripe.Load(within(t, 10*time.Second), r.id(), "", body); err != nil {
			t.Fatal(err)
		}
	}
}

// postEvent posts a signed webhook event about a resource, as Stripe would.
func postEvent(t *testing.T, system *client.Client, eventType string, about resource) {
	t.Helper()
	body, err := json.MarshalIndent(map[string]any{
		"id": "evt_" + client.NewKey(), "object": "event", "api_version": "2023-10-16", "created": clock.System{}.Now().Unix(),
		"data": map[string]any{"object": about}, "livemode": about["livemode"], "pending_webhooks": 1,
		"request": map[string]any{"id": nil, "idempotency_key": nil}, "type": eventType,
	}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	status, err := system.PostWebhook(within(t, 10*time.Second), body, false, clock.System{}.Now)
	if err != nil || status != http.StatusOK {
		t.Fatalf("post %s: status %d, %v", eventType, status, err)
	}
}
