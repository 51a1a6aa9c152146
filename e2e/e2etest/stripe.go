package e2etest

import (
	"encoding/json"
	"maps"
	"net/http"
	"testing"
	"time"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/internal/chassis/clock"
)

// Control drives sandbox Stripe and returns the id of what it answers.
func Control(t *testing.T, system *client.Client, path string, body any) string {
	t.Helper()
	answer, err := system.Stripe.Control(Within(t, time.Minute), http.MethodPost, path, body)
	if err != nil {
		t.Fatal(err)
	}
	var named struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(answer, &named); err != nil {
		t.Fatalf("%s answers %s: %v", path, answer, err)
	}
	return named.ID
}

// Resource is an object of Stripe's API.
type Resource map[string]any

// ID is the resource's id.
func (r Resource) ID() string {
	id, _ := r["id"].(string)
	return id
}

// Intent reads a payment intent as Stripe has it.
func Intent(t *testing.T, system *client.Client, id string) Resource {
	t.Helper()
	var r Resource
	if err := system.Stripe.Get(Within(t, 10*time.Second), "/v1/payment_intents/"+id, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// Paid turns an intent into a captured one with its charge, as Stripe would show them, and returns both.
func (r Resource) Paid(received int64) (intent, charge Resource) {
	intent = maps.Clone(r)
	charge = Resource{
		"id": "ch_" + client.NewKey(), "object": "charge", "amount": received, "amount_captured": received, "amount_refunded": 0,
		"balance_transaction": "txn_" + client.NewKey(), "captured": true, "created": clock.System{}.Now().Unix(),
		"currency": r["currency"], "livemode": r["livemode"], "metadata": r["metadata"], "paid": true, "payment_intent": r.ID(),
		"refunded": false, "status": "succeeded", "failure_code": nil, "payment_method": "pm_" + client.NewKey(),
	}
	intent["status"], intent["amount_received"], intent["latest_charge"] = "succeeded", received, charge.ID()
	return intent, charge
}

// Load makes resources exist at Stripe as they are.
func Load(t *testing.T, system *client.Client, resources ...Resource) {
	t.Helper()
	for _, r := range resources {
		body, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := system.Stripe.Load(Within(t, 10*time.Second), r.ID(), "", body); err != nil {
			t.Fatal(err)
		}
	}
}

// PostEvent posts a signed webhook event about a resource, as Stripe would.
func PostEvent(t *testing.T, system *client.Client, eventType string, about Resource) {
	t.Helper()
	body, err := json.MarshalIndent(map[string]any{
		"id": "evt_" + client.NewKey(), "object": "event", "api_version": "2023-10-16", "created": clock.System{}.Now().Unix(),
		"data": map[string]any{"object": about}, "livemode": about["livemode"], "pending_webhooks": 1,
		"request": map[string]any{"id": nil, "idempotency_key": nil}, "type": eventType,
	}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	status, err := system.PostWebhook(Within(t, 10*time.Second), body, false, clock.System{}.Now)
	if err != nil || status != http.StatusOK {
		t.Fatalf("post %s: status %d, %v", eventType, status, err)
	}
}
