package e2e

import (
	"context"
	"testing"
	"time"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/devenv/cost"
	"github.com/dayof/dayof/devenv/idle"
	"github.com/dayof/dayof/e2e/e2etest"
)

// transactionsPerHeartbeat is the most that the services may do by the clock, in transactions for each heartbeat of one of them, with
// which it also looks for what there is to do: five where nothing runs, and some tens for each periodic job, whose queue is asked for
// some seconds. Polls of each queue would be over seventy.
const transactionsPerHeartbeat = 14.0

// TestIdleBudget counts what a system does that nobody asks anything of, in heartbeats instead of seconds.
func TestIdleBudget(t *testing.T) {
	m := startCounted(t)
	system := client.NewClient(m.File)
	variant := e2etest.NewVariant(t, system, 8900, 1000)
	ctx := e2etest.Within(t, 3*time.Minute)
	cart := e2etest.Start(t, system, variant, 1)
	if err := system.Stripe.Confirm(ctx, cart.IntentID, cart.ClientSecret, client.CardThatPays); err != nil {
		t.Fatal(err)
	}
	if _, err := system.Complete(ctx, cart); err != nil {
		t.Fatal(err)
	}
	e2etest.AwaitIdle(t, system, idle.Scope{})
	meter, err := cost.NewMeter(ctx, m)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = meter.Close(context.WithoutCancel(ctx)) }()
	after := func(heartbeats int64) cost.Beats {
		t.Helper()
		for {
			b, err := meter.Beats(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if b.Heartbeats >= heartbeats {
				return b
			}
			e2etest.Pause(ctx)
		}
	}
	first := after(0)
	from := after(first.Heartbeats + 16) // Postgres counts what is left of the sale
	to := after(from.Heartbeats + 24)
	beats, transactions := to.Heartbeats-from.Heartbeats, to.Sum()-from.Sum()
	t.Logf("%d transactions in %d heartbeats", transactions, beats)
	for name, n := range to.Transactions {
		t.Logf("%s: %d", name, n-from.Transactions[name])
	}
	if got := float64(transactions) / float64(beats); got > transactionsPerHeartbeat {
		t.Errorf("%.1f transactions for each heartbeat of an idle service, at most %.1f", got, transactionsPerHeartbeat)
	}
}
