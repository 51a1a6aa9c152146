package faults

import (
	"testing"
	"time"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/e2e/e2etest"
	"github.com/dayof/dayof/internal/chassis/pgdb"
)

// TestWebhooksBehindTheHold has buyers pay in time while Stripe keeps their webhooks back until the holds have run out: Stripe is asked,
// for all of them at once, and nobody loses the seat. The webhooks that come then change nothing.
func TestWebhooksBehindTheHold(t *testing.T) {
	t.Parallel()
	const buyers = 12 // more than are asked for one by one
	m := e2etest.NewCluster(t, 1, nil)
	system := client.NewClient(m.File)
	variant := e2etest.NewVariant(t, system, 4450, buyers)
	var carts []client.Cart
	for range buyers {
		cart := e2etest.Start(t, system, variant, 1)
		if err := system.Stripe.Withhold(e2etest.Within(t, 10*time.Second), cart.IntentID); err != nil {
			t.Fatal(err)
		}
		if err := system.Stripe.Confirm(e2etest.Within(t, 10*time.Second), cart.IntentID, cart.ClientSecret, client.CardThatPays); err != nil {
			t.Fatal(err)
		}
		carts = append(carts, cart)
	}
	checkout, err := pgdb.Open(t.Context(), system.File.DatabaseURLs["checkout"], pgdb.Options{MaxConns: 1, ApplicationName: "dayof"})
	if err != nil {
		t.Fatal(err)
	}
	defer checkout.Close()
	if _, err := checkout.Exec(t.Context(), "update holds set expire_time = now() - interval '1 second' where state = 'active'"); err != nil {
		t.Fatal(err)
	}
	for _, cart := range carts {
		e2etest.Await(t, system, cart.OrderID, "completed", e2etest.Completed)
	}
	// Late money would have found the seats free again: no hold may have ended in between.
	var ended int
	if err := checkout.QueryRow(t.Context(), "select count(*) from timeline where step = 'hold_expired'").Scan(&ended); err != nil {
		t.Fatal(err)
	}
	if ended != 0 {
		t.Errorf("%d holds ended before Stripe was asked", ended)
	}
	for _, cart := range carts {
		if err := system.Stripe.Release(e2etest.Within(t, 10*time.Second), cart.IntentID); err != nil {
			t.Fatal(err)
		}
		e2etest.AssertOneSale(t, e2etest.Order(t, system, cart.OrderID), 1)
	}
	e2etest.AssertClean(t, m)
}
