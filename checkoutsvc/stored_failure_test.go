package checkoutsvc_test

import (
	"testing"

	"github.com/dayof/dayof/devenv/sandbox/fault"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
)

// TestStoredFailureOfAnIntent has Stripe keep a failure of its own under the key of an intent, which was made or not: the buyer's retry
// gets the one intent that the order has at Stripe.
func TestStoredFailureOfAnIntent(t *testing.T) {
	t.Parallel()
	for _, mode := range []fault.Mode{fault.StoredError, fault.StoredErrorDone} {
		t.Run(string(mode), func(t *testing.T) {
			w := newHarness(t)
			if err := w.faults.Set(fault.Stripe, fault.Fault{Mode: mode, Rate: 1, Count: 1, Match: "POST /v1/payment_intents"}); err != nil {
				t.Fatal(err)
			}
			var s *checkoutv1.StartCheckoutResponse
			w.until("does a retry of the buyer get an intent", func() bool {
				var err error
				s, err = w.replicas[0].checkout.StartCheckout(w.keyed("start/stored"), w.cart(1))
				return err == nil
			})
			if w.faults.List()[fault.Stripe].Hits != 1 {
				t.Fatal("nothing failed")
			}
			intents, _ := w.api("GET", "/v1/payment_intents", "")["data"].([]any)
			if len(intents) != 1 {
				t.Errorf("Stripe has %d intents of one order", len(intents))
			}
			w.confirm(s.GetPaymentIntentId())
			if _, err := w.replicas[0].payments.RecordPayment(w.keyed("paid"), paid(s.GetOrder())); err != nil {
				t.Fatal(err)
			}
			w.waitFor(s.GetOrder().GetId(), "completed", fulfilmentIs(checkoutv1.FulfilmentState_FULFILMENT_STATE_COMPLETED))
		})
	}
}

// TestStoredFailureOfACancel has Stripe keep a failure of its own of the call that cancels an intent: it is canceled all the same.
func TestStoredFailureOfACancel(t *testing.T) {
	w := newHarness(t, shortHold)
	if err := w.faults.Set(fault.Stripe, fault.Fault{Mode: fault.StoredError, Rate: 1, Count: 1, Match: "/cancel"}); err != nil {
		t.Fatal(err)
	}
	s := w.start("cancel", 1)
	w.waitFor(s.GetOrder().GetId(), "canceled", func(o *checkoutv1.Order) bool {
		return o.GetPaymentIntents()[0].GetStatus() == checkoutv1.PaymentIntentStatus_PAYMENT_INTENT_STATUS_CANCELED
	})
	if got := w.api("GET", "/v1/payment_intents/"+s.GetPaymentIntentId(), ""); got["status"] != "canceled" {
		t.Errorf("the intent is %v at Stripe", got["status"])
	}
}
