package faults

import (
	"testing"
	"time"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/devenv/sandbox/fault"
	"github.com/dayof/dayof/e2e/e2etest"
)

// TestReleaseDuringAnOutage has two releases that word passes differently attempt one order while the ledger is away. Once it is back,
// the order completes with one set of passes.
func TestReleaseDuringAnOutage(t *testing.T) {
	t.Parallel()
	m := e2etest.NewCluster(t, 1, map[string]string{
		"DAYOF_CHECKOUT_CALLER_WAIT": "1s", "DAYOF_CHECKOUT_BACKOFF_MIN": "10ms", "DAYOF_CHECKOUT_BACKOFF_MAX": "100ms",
		"DAYOF_CHECKOUT_SWEEP_INTERVAL": "50ms",
	})
	system := client.NewClient(m.File)
	checkout, passes := e2etest.Connect(t, m, "checkout"), e2etest.Connect(t, m, "pass")
	if err := m.Sandbox.Faults.Set(fault.Ledger, fault.Fault{Mode: fault.ServerError, Rate: 1, Match: "POST"}); err != nil {
		t.Fatal(err)
	}
	cart := e2etest.Start(t, system, e2etest.NewVariant(t, system, 4450, 10), 2)
	ctx := e2etest.Within(t, time.Minute)
	if err := system.Pay(ctx, cart, client.ViaWebhook); err != nil {
		t.Fatal(err)
	}
	// attempted waits for two further attempts, the second of which began after the call, and for passes.
	attempted := func() {
		t.Helper()
		var first, attempt, issued int
		for first == 0 || attempt < first+2 || issued < 2 {
			if ctx.Err() != nil {
				t.Fatalf("attempt %d with %d passes", attempt, issued)
			}
			if err := checkout.QueryRow(ctx, "select attempt from orders where id = $1", cart.OrderID).Scan(&attempt); err != nil {
				t.Fatal(err)
			}
			if err := passes.QueryRow(ctx, "select count(*) from passes where order_id = $1", cart.OrderID).Scan(&issued); err != nil {
				t.Fatal(err)
			}
			if first == 0 {
				first = attempt
			}
			e2etest.Pause(ctx)
		}
	}
	attempted()
	for _, terms := range []string{"in the words of the new release", "in the words of the old one", "in the words of the new release"} {
		if _, err := checkout.Exec(ctx, "update tickets set snapshot = jsonb_set(snapshot, '{terms}', to_jsonb($2::text)) where order_id = $1",
			cart.OrderID, terms); err != nil {
			t.Fatal(err)
		}
		attempted()
	}
	m.Sandbox.Faults.Clear(fault.Ledger)
	e2etest.Await(t, system, cart.OrderID, "completed", e2etest.Completed)
	e2etest.AssertOneSale(t, e2etest.Order(t, system, cart.OrderID), 2)
	e2etest.AssertClean(t, m)
}
