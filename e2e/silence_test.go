package e2e

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/devenv/client"
)

// TestSilentStripe pays while Stripe delivers nothing, with the browser closed: the payment is found all the same, the order is
// fulfilled, and people are told that the endpoint is silent, until Stripe delivers again.
func TestSilentStripe(t *testing.T) {
	t.Parallel()
	m := newCluster(t, 1, map[string]string{"DAYOF_WEBHOOK_SILENCE_AFTER": "1s"})
	system := client.NewClient(m.File)
	variant := newVariant(t, system, 4450, 10)
	heard := start(t, system, variant, 1)
	if err := system.Pay(within(t, time.Minute), heard, client.ViaWebhook); err != nil {
		t.Fatal(err)
	}
	await(t, system, heard.OrderID, "complete", completed)
	lost := start(t, system, variant, 1)
	ctx := within(t, 2*time.Minute)
	if err := system.Stripe.Withhold(ctx, lost.IntentID); err != nil {
		t.Fatal(err)
	}
	if err := system.Pay(ctx, lost, client.ViaWebhook); err != nil {
		t.Fatal(err)
	}
	await(t, system, lost.OrderID, "complete", completed)

	conn, err := pgx.Connect(ctx, m.File.DatabaseURLs["webhook"])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(within(t, time.Minute)) })
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
		cart := start(t, system, newVariant(t, system, 4450, 10), 1) // deliveries of others show that it is over
		if err := system.Pay(ctx, cart, client.ViaWebhook); err != nil {
			t.Fatal(err)
		}
		await(t, system, cart.OrderID, "complete", completed)
	}
	assertClean(t, m)
}
