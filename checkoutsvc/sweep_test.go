package checkoutsvc_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/dayof/dayof/checkoutsvc"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
)

// TestManyOrphansAreTakenUpAtOnce leaves the orders of a rush to a replica that sweeps only once.
func TestManyOrphansAreTakenUpAtOnce(t *testing.T) {
	w := newHarness(t, impatient)
	w.ledger.fail(func(context.Context, string) error { return errLedgerAway })
	var orphans []*checkoutv1.Order
	for i := range 100 { // more than are attempted at once
		o := w.start(fmt.Sprintf("orphan%d", i), 1).GetOrder()
		if _, err := w.replicas[0].payments.RecordPayment(w.keyed(fmt.Sprintf("evt%d", i)), paid(o)); err != nil {
			t.Fatal(err)
		}
		orphans = append(orphans, o)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := w.replicas[0].service.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := w.pool.Exec(ctx, "update orders set next_attempt_time = now() where fulfilment in ('in_progress', 'ledger_blocked')"); err != nil {
		t.Fatal(err)
	}
	w.ledger.fail(nil)
	w.addReplica(func(c *checkoutsvc.Config) {
		c.SweepInterval = time.Hour
		c.AttemptDeadline, c.AttemptLease = 20*time.Second, 21*time.Second // however slow the machine, none is tried twice
	})
	for _, o := range orphans {
		w.waitFor(o.GetId(), "completed", fulfilmentIs(checkoutv1.FulfilmentState_FULFILMENT_STATE_COMPLETED))
	}
}
