package checkoutsvc_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dayof/dayof/checkoutsvc"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
)

// TestWaitingOrdersFollowARecovery has orders that would wait for an hour completed once the ledger is back, a few at a time; one
// that fails for a reason of its own stops nobody.
func TestWaitingOrdersFollowARecovery(t *testing.T) {
	w := newHarness(t, func(c *checkoutsvc.Config) { c.BackoffMin, c.BackoffMax = time.Hour, time.Hour })
	w.ledger.fail(func(context.Context, string) error { return errLedgerAway })
	var orders []*checkoutv1.Order
	for i := range 30 {
		o := w.start(fmt.Sprintf("waits%d", i), 1).GetOrder()
		if _, err := w.replicas[0].payments.RecordPayment(w.keyed(fmt.Sprintf("evt%d", i)), paid(o)); err != nil {
			t.Fatal(err)
		}
		orders = append(orders, o)
	}
	w.until("all have failed", func() bool {
		return w.count("select count(*) from orders where attempt > 1 or last_error <> ''") == len(orders)
	})
	poisoned := orders[7]
	var now, most atomic.Int64
	w.ledger.fail(func(_ context.Context, reference string) error {
		if !strings.HasPrefix(reference, "capture:") {
			return nil
		}
		defer now.Add(-1)
		for n := now.Add(1); n > most.Load(); {
			most.Store(n)
		}
		if strings.HasSuffix(reference, poisoned.GetPaymentIntents()[0].GetId()) {
			return errLedgerAway
		}
		return nil
	})
	for _, o := range orders {
		if o != poisoned {
			w.waitFor(o.GetId(), "completed", fulfilmentIs(checkoutv1.FulfilmentState_FULFILMENT_STATE_COMPLETED))
		}
	}
	if n := most.Load(); n > 8 {
		t.Errorf("%d sales were posted at once", n)
	}
	w.ledger.fail(nil)
	w.waitFor(poisoned.GetId(), "completed", fulfilmentIs(checkoutv1.FulfilmentState_FULFILMENT_STATE_COMPLETED))
}
