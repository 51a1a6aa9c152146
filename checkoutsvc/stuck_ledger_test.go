package checkoutsvc_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/dayof/dayof/checkoutsvc"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
)

// TestStuckLedgerKeepsNoWebhookWaiting has the ledger answer nothing until 300 payments are reported, by as many callers at once as webhooksvc
// has: all are noted. When the ledger answers, the attempts that hang go on, and all orders complete.
func TestStuckLedgerKeepsNoWebhookWaiting(t *testing.T) {
	const payments, callers = 300, 64
	w := newHarness(t, func(c *checkoutsvc.Config) {
		c.CallerWait, c.AttemptDeadline, c.AttemptLease = patience, patience, 2*patience // nothing gives up by itself
	})
	w.peerTimeout = patience
	r := w.addReplica() // whose calls have that timeout
	hall := w.sell(8900, payments)
	noted := make(chan struct{})
	w.ledger.fail(func(ctx context.Context, _ string) error {
		select {
		case <-noted:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	var orders []*checkoutv1.Order
	for i := range payments {
		started, err := w.replicas[0].checkout.StartCheckout(w.keyed(fmt.Sprint("start/", i)), hall.cart(1))
		if err != nil {
			t.Fatal(err)
		}
		orders = append(orders, started.GetOrder())
	}
	var group sync.WaitGroup
	for part := range slices.Chunk(orders, (payments+callers-1)/callers) {
		group.Go(func() {
			for _, o := range part {
				res, err := r.payments.RecordPayment(w.keyed("paid/"+o.GetId()), paid(o))
				if err != nil || res.GetPaymentState() != checkoutv1.PaymentState_PAYMENT_STATE_PAID {
					t.Errorf("record payment: %v, %v", res, err)
				}
			}
		})
	}
	group.Wait()
	if n := w.count("select count(*) from orders where payment = 'paid' and fulfilment = 'in_progress'"); n != payments {
		t.Errorf("%d of %d payments are noted", n, payments)
	}
	close(noted)
	w.until("completed", func() bool { return w.count("select count(*) from orders where fulfilment = 'completed'") == payments })
	if n := w.count("select count(*) from orders where attempt > 1"); n != 0 {
		t.Errorf("%d orders took more than one attempt", n)
	}
}
