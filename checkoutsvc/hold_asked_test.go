package checkoutsvc_test

import (
	"fmt"
	"testing"

	"connectrpc.com/connect"

	"github.com/dayof/dayof/devenv/sandbox/fault"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
)

// TestMoneyInTimeKeepsItsSeat has holds run out whose buyers have paid, while no webhook says so: nobody else gets their seats, and
// their orders complete. The seats of those that have not paid are free. One order is asked for by itself, many by a list.
func TestMoneyInTimeKeepsItsSeat(t *testing.T) {
	t.Parallel()
	for _, buyers := range []int{2, 120} {
		t.Run(fmt.Sprint(buyers), func(t *testing.T) {
			w := newHarness(t)
			w.seller = w.sell(4500, int64(buyers))
			var paid, unpaid []string
			for i := range buyers {
				s := w.start(fmt.Sprintf("seat/%d", i), 1)
				if i%2 == 0 {
					w.confirm(s.GetPaymentIntentId())
					paid = append(paid, s.GetOrder().GetId())
				} else {
					unpaid = append(unpaid, s.GetOrder().GetId())
				}
			}
			w.exec("update holds set expire_time = now() - interval '1 second'")
			for _, id := range paid {
				o := w.waitFor(id, "completed or refunded", func(o *checkoutv1.Order) bool {
					return o.GetHoldState() != checkoutv1.HoldState_HOLD_STATE_ACTIVE && o.GetFulfilmentState() != checkoutv1.FulfilmentState_FULFILMENT_STATE_IN_PROGRESS
				})
				if o.GetFulfilmentState() != checkoutv1.FulfilmentState_FULFILMENT_STATE_COMPLETED {
					t.Errorf("an order that was paid in time has its hold %v and its payment %v", o.GetHoldState(), o.GetPaymentState())
				}
				if n := w.count("select count(*) from timeline where order_id = $1 and step = 'hold_expired'", id); n != 0 {
					t.Error("the seat was free for a while")
				}
			}
			for _, id := range unpaid {
				w.waitFor(id, "expired", holdIs(checkoutv1.HoldState_HOLD_STATE_EXPIRED))
			}
			_, err := w.replicas[0].checkout.StartCheckout(w.keyed("start/more"), w.cart(int32(len(unpaid)+1)))
			if connect.CodeOf(err) == 0 {
				t.Error("a seat that is paid was sold again")
			}
			if n := w.count("select sum(taken) from stock where variant_id = $1", w.variant.GetId()); n != len(paid) {
				t.Errorf("%d seats are taken, want %d", n, len(paid))
			}
		})
	}
}

// TestHoldWaitsForStripe has a hold run out while Stripe does not say whether the buyer has paid: it is kept for a minute and no longer.
func TestHoldWaitsForStripe(t *testing.T) {
	w := newHarness(t)
	waiting, paid := w.start("waiting", 1), w.start("paid", 1)
	w.confirm(paid.GetPaymentIntentId())
	if err := w.faults.Set(fault.Stripe, fault.Fault{Mode: fault.ServerError, Rate: 1, Match: "GET /v1/payment_intents"}); err != nil {
		t.Fatal(err)
	}
	w.exec("update holds set expire_time = now() - interval '1 second'")
	w.until("was Stripe asked twice", func() bool { return w.faults.List()[fault.Stripe].Hits >= 4 })
	for _, s := range []*checkoutv1.StartCheckoutResponse{waiting, paid} {
		if state := w.order(s.GetOrder().GetId()).GetHoldState(); state != checkoutv1.HoldState_HOLD_STATE_ACTIVE {
			t.Errorf("the hold is %v while Stripe does not answer", state)
		}
	}
	w.exec("update holds set expire_time = now() - interval '61 seconds' where order_id = $1", waiting.GetOrder().GetId())
	w.waitFor(waiting.GetOrder().GetId(), "expired", holdIs(checkoutv1.HoldState_HOLD_STATE_EXPIRED))
	w.faults.Clear(fault.Stripe)
	w.waitFor(paid.GetOrder().GetId(), "completed", fulfilmentIs(checkoutv1.FulfilmentState_FULFILMENT_STATE_COMPLETED))
}
