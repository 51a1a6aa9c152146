package faults

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/e2e/e2etest"
)

// TestSilentStripe pays while Stripe delivers nothing, with the browser closed: the payment is found all the same, the order is
// fulfilled, and people are told that the endpoint is silent, until Stripe delivers again.
func TestSilentStripe(t *testing.T) {
	t.Parallel()
	m := e2etest.NewCluster(t, 1, map[string]string{"DAYOF_WEBHOOK_SILENCE_AFTER": "1s"})
	system := client.NewClient(m.File)
	variant := e2etest.NewVariant(t, system, 4450, 10)
	heard := e2etest.Start(t, system, variant, 1)
	if err := system.Pay(e2etest.Within(t, time.Minute), heard, client.ViaWebhook); err != nil {
		t.Fatal(err)
	}
	e2etest.Await(t, system, heard.OrderID, "complete", e2etest.Completed)
	lost := e2etest.Start(t, system, variant, 1)
	ctx := e2etest.Within(t, 2*time.Minute)
	if err := system.Stripe.Withhold(ctx, lost.IntentID); err != nil {
		t.Fatal(err)
	}
	if err := system.Pay(ctx, lost, client.ViaWebhook); err != nil {
		t.Fatal(err)
	}
	e2etest.Await(t, system, lost.OrderID, "complete", e2etest.Completed)

	conn, err := pgx.Connect(ctx, m.File.DatabaseURLs["webhook"])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(e2etest.Within(t, time.Minute)) })
	alerts := func(where string) (n int) {
		err := conn.QueryRow(ctx, `select count(*) from alerts where kind = 'stripe_silent' and subject = 'account' and `+where).Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if alerts(`facts->>'last_delivery_time' <> ''`) != 1 {
		t.Error("nobody was told that Stripe is silent")
	}
	if err := system.Stripe.Release(ctx, lost.IntentID); err != nil {
		t.Fatal(err)
	}
	for alerts("resolved_time is null") > 0 {
		cart := e2etest.Start(t, system, e2etest.NewVariant(t, system, 4450, 10), 1) // deliveries of others show that it is over
		if err := system.Pay(ctx, cart, client.ViaWebhook); err != nil {
			t.Fatal(err)
		}
		e2etest.Await(t, system, cart.OrderID, "complete", e2etest.Completed)
	}
	e2etest.AssertClean(t, m)
}

// TestSellSaysThatStripeDeliversNothing makes a sale whose webhooks are withheld, with the browser closed: what the command says
// names the intent that Stripe calls paid, and where to look.
func TestSellSaysThatStripeDeliversNothing(t *testing.T) {
	t.Parallel()
	m := e2etest.NewCluster(t, 1, map[string]string{"DAYOF_WEBHOOK_SILENCE_AFTER": "1h"})
	system := client.NewClient(m.File)
	cart := e2etest.Start(t, system, e2etest.NewVariant(t, system, 4450, 10), 1)
	ctx := e2etest.Within(t, 2*time.Minute)
	if err := system.Stripe.Withhold(ctx, cart.IntentID); err != nil {
		t.Fatal(err)
	}
	over, cancel := context.WithTimeout(ctx, 3*time.Second) // the time of the sale is over before Stripe delivers
	defer cancel()
	if err := system.Pay(ctx, cart, client.ViaWebhook); err != nil {
		t.Fatal(err)
	}
	_, err := system.AwaitSale(over, cart.OrderID)
	if err == nil {
		t.Fatal("the sale is complete without a webhook")
	}
	for _, word := range []string{cart.OrderID, cart.IntentID, "Stripe calls", "has not delivered", "`dayof webhooks`", "`dayof alerts`"} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("sell says %q, without %q", err, word)
		}
	}
	if err := system.Stripe.Release(ctx, cart.IntentID); err != nil {
		t.Fatal(err)
	}
	e2etest.Await(t, system, cart.OrderID, "complete", e2etest.Completed)
	e2etest.AssertClean(t, m)
}
