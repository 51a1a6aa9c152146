package checkoutsvc_test

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dayof/dayof/checkoutsvc"
	"github.com/dayof/dayof/devenv/sandbox/fault"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
)

// failStripe makes Stripe fail calls that make refunds.
func (w *harness) failStripe(f fault.Fault) {
	w.t.Helper()
	f.Rate, f.Match = 1, "POST /v1/refunds"
	if err := w.faults.Set(fault.Stripe, f); err != nil {
		w.t.Fatal(err)
	}
}

// refundedAt is what Stripe has given back of an intent, in minor units.
func (w *harness) refundedAt(intentID string) float64 {
	w.t.Helper()
	var sum float64
	for _, item := range w.refundsAt(intentID) {
		if r, ok := item.(map[string]any); ok && (r["status"] == "succeeded" || r["status"] == "pending") {
			amount, _ := r["amount"].(float64)
			sum += amount
		}
	}
	return sum
}

// askAgain makes a refund older, so that what Stripe lists is complete, and asks Stripe again.
func (w *harness) askAgain(orderID string) {
	w.t.Helper()
	w.exec("update refunds set create_time = create_time - interval '1 minute' where order_id = $1 and create_time > now() - interval '1 minute'", orderID)
	w.exec("update refunds set attempt_time = attempt_time - interval '1 minute' where order_id = $1 and attempt_time > now() - interval '1 minute'", orderID)
	w.exec("update river_job set scheduled_at = now() where kind = 'send_refund' and state in ('scheduled', 'retryable')")
}

// wantPaidBack waits until all of an order's money is back with the buyer, once, and nobody is asked to do more about it.
func (w *harness) wantPaidBack(orderID, intentID string, captured float64) {
	w.t.Helper()
	w.waitUntil("all of the money is back", func() bool {
		w.askAgain(orderID)
		return w.order(orderID).GetPaymentState() == checkoutv1.PaymentState_PAYMENT_STATE_REFUNDED
	})
	w.idle("send_refund")
	if got := w.refundedAt(intentID); got != captured {
		w.t.Errorf("Stripe gave back %v of %v", got, captured)
	}
	if items := w.items(orderID); slices.Contains(items, "refund_refused") || slices.Contains(items, "refund_failed") {
		w.t.Errorf("review cases %v of money that is back", items)
	}
	if n := w.openAlerts("refund_delayed"); n != 0 {
		w.t.Errorf("%d alerts of delayed refunds are open", n)
	}
}

// TestOwedRefundIsOfWhatIsLeft refunds a part while the order waits for the ledger, here or in Stripe's dashboard; then the order
// is given up. The rest goes back.
func TestOwedRefundIsOfWhatIsLeft(t *testing.T) {
	t.Parallel()
	for name, part := range map[string]func(w *harness, o *checkoutv1.Order, intentID string){
		"asked for here": func(w *harness, o *checkoutv1.Order, _ string) {
			if reason := w.refund("goodwill", &checkoutv1.RefundOrderRequest{OrderId: o.GetId(), Amount: money(1000)}); reason != "" {
				w.t.Fatalf("refused: %s", reason)
			}
			w.idle("send_refund")
		},
		"at Stripe, reported": func(w *harness, o *checkoutv1.Order, intentID string) {
			made := w.api("POST", "/v1/refunds", "payment_intent="+intentID+"&amount=1000")
			if _, err := w.replicas[0].payments.RecordRefund(w.keyed("part"), &checkoutv1.RecordRefundRequest{
				StripeRefundId: field(made, "id"), PaymentIntentId: intentID, Amount: money(1000),
				State: checkoutv1.RefundState_REFUND_STATE_SUCCEEDED, RefundTime: observedAt,
			}); err != nil {
				w.t.Fatal(err)
			}
		},
		"at Stripe, not reported": func(w *harness, _ *checkoutv1.Order, intentID string) {
			w.api("POST", "/v1/refunds", "payment_intent="+intentID+"&amount=1000")
		},
		"at Stripe, all of it, not reported": func(w *harness, _ *checkoutv1.Order, intentID string) {
			w.api("POST", "/v1/refunds", "payment_intent="+intentID)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newHarness(t, impatient, func(c *checkoutsvc.Config) { c.BlockedAfter, c.GiveUpAfter = time.Minute, time.Hour })
			s := w.start("doomed", 2)
			o := s.GetOrder()
			w.confirm(s.GetPaymentIntentId())
			var back atomic.Bool
			w.ledger.fail(func(context.Context, string) error {
				if back.Load() {
					return nil
				}
				return errLedgerAway
			})
			if _, err := w.replicas[0].payments.RecordPayment(w.keyed("evt"), paid(o)); err != nil {
				t.Fatal(err)
			}
			part(w, o, s.GetPaymentIntentId())
			w.exec("update orders set fulfilment_start_time = fulfilment_start_time - interval '2 hours'")
			w.waitFor(o.GetId(), "given up", fulfilmentIs(checkoutv1.FulfilmentState_FULFILMENT_STATE_UNFULFILLABLE))
			back.Store(true)
			w.wantPaidBack(o.GetId(), s.GetPaymentIntentId(), 17800)
		})
	}
}

// TestStoredFailures has Stripe keep a failure of its own under the key of a refund, which was made or not.
func TestStoredFailures(t *testing.T) {
	t.Parallel()
	for _, mode := range []fault.Mode{fault.StoredError, fault.StoredErrorDone} {
		t.Run(string(mode), func(t *testing.T) {
			w := newHarness(t)
			o := w.bought("stored", 1)
			w.failStripe(fault.Fault{Mode: mode, Count: 1})
			if reason := w.refund("stored", &checkoutv1.RefundOrderRequest{OrderId: o.GetId()}); reason != "" {
				t.Fatalf("refused: %s", reason)
			}
			w.wantPaidBack(o.GetId(), o.GetPayingIntentId(), 8900)
			if n := len(w.refundsAt(o.GetPayingIntentId())); n != 1 {
				t.Errorf("Stripe has %d refunds", n)
			}
		})
	}
}

// TestDelayedRefund has Stripe refuse a refund for reasons that time or an operator ends: it is asked for again, people hear of
// the cause once, and the money goes back when the cause is gone.
func TestDelayedRefund(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]fault.Fault{
		"no balance":       {Mode: fault.Refusal, Code: "balance_insufficient"},
		"no permission":    {Mode: fault.Refusal, Status: 403, Code: "more_permissions_required"},
		"no valid key":     {Mode: fault.Refusal, Status: 401},
		"too many, locked": {Mode: fault.Refusal, Status: 429, Code: "lock_timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newHarness(t)
			first, second := w.bought("first", 1), w.bought("second", 1)
			w.failStripe(f)
			for _, o := range []*checkoutv1.Order{first, second} {
				if reason := w.refund(o.GetId(), &checkoutv1.RefundOrderRequest{OrderId: o.GetId()}); reason != "" {
					t.Fatalf("refused: %s", reason)
				}
			}
			w.waitUntil("both were asked for twice", func() bool {
				w.askAgain(first.GetId())
				return w.faults.List()[fault.Stripe].Hits >= 4
			})
			for _, o := range []*checkoutv1.Order{first, second} {
				if state := w.order(o.GetId()).GetRefunds()[0].GetState(); state != checkoutv1.RefundState_REFUND_STATE_REQUESTED {
					t.Errorf("the refund is %v while its cause passes", state)
				}
				if items := w.items(o.GetId()); len(items) != 0 {
					t.Errorf("review cases %v of what passes", items)
				}
			}
			if n := w.openAlerts("refund_delayed"); f.Code != "lock_timeout" && n != 1 {
				t.Errorf("%d alerts of one cause", n)
			}
			w.faults.Clear(fault.Stripe)
			for _, o := range []*checkoutv1.Order{first, second} {
				w.wantPaidBack(o.GetId(), o.GetPayingIntentId(), 8900)
			}
		})
	}
}

// TestOwedRefundOutlivesItsRefusals has Stripe refuse for good a refund that we owe: a person hears of it, and Stripe is asked
// again all the same.
func TestOwedRefundOutlivesItsRefusals(t *testing.T) {
	w := newHarness(t, impatient)
	s := w.start("late", 1)
	w.confirm(s.GetPaymentIntentId())
	w.exec("update holds set expire_time = now() - interval '1 minute', state = 'expired', end_time = now()")
	w.exec("update stock set taken = 100")
	w.failStripe(fault.Fault{Mode: fault.Refusal, Code: "resource_missing"})
	if _, err := w.replicas[0].payments.RecordPayment(w.keyed("evt"), paid(s.GetOrder())); err != nil {
		t.Fatal(err)
	}
	o := s.GetOrder()
	w.waitUntil("a person hears of it", func() bool { return slices.Contains(w.items(o.GetId()), "refund_refused") })
	if state := w.order(o.GetId()).GetRefunds()[0].GetState(); state != checkoutv1.RefundState_REFUND_STATE_REQUESTED {
		t.Errorf("the refund is %v while money is left", state)
	}
	w.faults.Clear(fault.Stripe)
	w.wantPaidBack(o.GetId(), s.GetPaymentIntentId(), 8900)
}

// TestRefundWaitsForADispute has Stripe refuse a refund because of a dispute that nobody reported.
func TestRefundWaitsForADispute(t *testing.T) {
	t.Parallel()
	for _, end := range []string{"won", "lost"} {
		t.Run(end, func(t *testing.T) {
			w := newHarness(t)
			o := w.bought("disputed", 1)
			dispute := w.disputed(o.GetPayingIntentId())
			if reason := w.refund("disputed", &checkoutv1.RefundOrderRequest{OrderId: o.GetId()}); reason != "" {
				t.Fatalf("refused here: %s", reason)
			}
			w.waitUntil("Stripe refused", func() bool {
				return w.count("select count(*) from refunds where failure_code = 'charge_disputed'") == 1
			})
			w.control("POST", "/_sandbox/disputes/"+dispute+"/close", map[string]any{"status": end})
			if end == "won" {
				w.wantPaidBack(o.GetId(), o.GetPayingIntentId(), 8900)
				return
			}
			if _, err := w.replicas[0].payments.RecordDispute(w.keyed("lost"), &checkoutv1.RecordDisputeRequest{
				DisputeId: dispute, PaymentIntentId: o.GetPayingIntentId(), Amount: o.GetTotal(),
				Status: checkoutv1.DisputeStatus_DISPUTE_STATUS_LOST, ObservedTime: observedAt,
			}); err != nil {
				t.Fatal(err)
			}
			w.waitUntil("the refund ends", func() bool {
				w.askAgain(o.GetId())
				return w.order(o.GetId()).GetRefunds()[0].GetState() == checkoutv1.RefundState_REFUND_STATE_CANCELED
			})
			if got := w.order(o.GetId()); got.GetPaymentState() != checkoutv1.PaymentState_PAYMENT_STATE_CHARGED_BACK || w.refundedAt(o.GetPayingIntentId()) != 0 {
				t.Errorf("payment %v, Stripe gave back %v", got.GetPaymentState(), w.refundedAt(o.GetPayingIntentId()))
			}
		})
	}
}

// TestCanceledRefund has Stripe cancel a refund for which the buyer never said where to: the money is with us, and a person hears.
func TestCanceledRefund(t *testing.T) {
	w := newHarness(t)
	o := w.bought("canceled", 1)
	for i, state := range []checkoutv1.RefundState{checkoutv1.RefundState_REFUND_STATE_PENDING, checkoutv1.RefundState_REFUND_STATE_CANCELED} {
		if _, err := w.replicas[0].payments.RecordRefund(w.keyed(string(rune('a'+i))), &checkoutv1.RecordRefundRequest{
			StripeRefundId: "re_asks", PaymentIntentId: o.GetPayingIntentId(), Amount: o.GetTotal(), State: state, RefundTime: observedAt,
		}); err != nil {
			t.Fatal(err)
		}
	}
	if items := w.items(o.GetId()); !slices.Contains(items, "refund_failed") {
		t.Errorf("review cases %v, want refund_failed", items)
	}
}
