package checkoutsvc_test

import (
	"slices"
	"testing"

	"connectrpc.com/connect"

	"github.com/dayof/dayof/checkoutsvc"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
)

// capturedInPart has Stripe capture 60.00 of an order's 89.00, and reports it.
func (w *harness) capturedInPart(key string) *checkoutv1.Order {
	w.t.Helper()
	o := w.start(key, 1).GetOrder()
	intent := o.GetPaymentIntents()[0].GetId()
	w.control("PUT", "/_sandbox/objects/"+intent, map[string]any{
		"id": intent, "object": "payment_intent", "status": "succeeded", "amount": 8900, "amount_received": 6000, "currency": "eur",
		"latest_charge": "ch_part" + o.GetId(), "metadata": map[string]string{"order_id": o.GetId()}, "created": 1764000000,
	})
	w.control("PUT", "/_sandbox/objects/ch_part"+o.GetId(), map[string]any{
		"id": "ch_part" + o.GetId(), "object": "charge", "status": "succeeded", "paid": true, "captured": true, "amount": 8900,
		"amount_captured": 6000, "amount_refunded": 0, "currency": "eur", "payment_intent": intent, "created": 1764000000,
	})
	req := paid(o)
	req.ReceivedMinorUnits, req.ChargeId = 6000, "ch_part"+o.GetId()
	if _, err := w.replicas[0].payments.RecordPayment(w.keyed("part/"+key), req); err != nil {
		w.t.Fatal(err)
	}
	return w.order(o.GetId())
}

func (w *harness) taken() int {
	w.t.Helper()
	return w.count("select sum(taken) from stock where variant_id = $1", w.variant.GetId())
}

// TestPartialCapture says what was captured, ends the hold, and has a person decide.
func TestPartialCapture(t *testing.T) {
	t.Parallel()
	for name, keeps := range map[string]bool{"ends the hold": false, "keeps the hold where the setting says so": true} {
		t.Run(name, func(t *testing.T) {
			w := newHarness(t, func(c *checkoutsvc.Config) { c.PartialCaptureKeepsHold = keeps })
			o := w.capturedInPart("part")
			if o.GetCapturedMinorUnits() != 6000 || o.GetPaymentState() != checkoutv1.PaymentState_PAYMENT_STATE_PARTIALLY_CAPTURED || len(o.GetTickets()) != 0 {
				t.Errorf("captured %d, payment %v, %d tickets", o.GetCapturedMinorUnits(), o.GetPaymentState(), len(o.GetTickets()))
			}
			hold, taken := checkoutv1.HoldState_HOLD_STATE_RELEASED, 0
			if keeps {
				hold, taken = checkoutv1.HoldState_HOLD_STATE_ACTIVE, 1
			}
			if o.GetHoldState() != hold || w.taken() != taken {
				t.Errorf("hold %v with %d taken, want %v with %d", o.GetHoldState(), w.taken(), hold, taken)
			}
			if items := w.items(o.GetId()); !slices.Equal(items, []string{"payment_mismatch"}) {
				t.Errorf("review cases %v", items)
			}
		})
	}
}

// TestPartialCaptureIsRefunded takes the first way out: the captured money goes back, by way of a bare receipt.
func TestPartialCaptureIsRefunded(t *testing.T) {
	w := newHarness(t)
	o := w.capturedInPart("back")
	if reason := w.refund("toomuch", &checkoutv1.RefundOrderRequest{OrderId: o.GetId(), Amount: money(6001)}); reason != "REFUND_EXCEEDS_CAPTURED" {
		t.Errorf("more than was captured: reason %q", reason)
	}
	if reason := w.refund("back", &checkoutv1.RefundOrderRequest{OrderId: o.GetId()}); reason != "" {
		t.Fatalf("refused: %s", reason)
	}
	got := w.waitFor(o.GetId(), "refunded", func(o *checkoutv1.Order) bool {
		return o.GetPaymentState() == checkoutv1.PaymentState_PAYMENT_STATE_REFUNDED
	})
	if got.GetRefundedMinorUnits() != 6000 {
		t.Errorf("%d refunded, want 6000", got.GetRefundedMinorUnits())
	}
	w.waitForEntry("capture:"+o.GetPaymentIntents()[0].GetId(), ledgerv1.EntryKind_ENTRY_KIND_RECEIPT)
	w.waitForEntry("refund:"+got.GetRefunds()[0].GetStripeRefundId(), ledgerv1.EntryKind_ENTRY_KIND_REFUND)
	if items := w.items(o.GetId()); len(items) != 0 {
		t.Errorf("review cases %v are open for money that went back", items)
	}
	if err := w.accept("late", o); true {
		wantProblem(t, err, connect.CodeFailedPrecondition, "PAYMENT_NOT_ACCEPTABLE")
	}
}

// accept takes what was captured of an order as its whole payment.
func (w *harness) accept(key string, o *checkoutv1.Order) error {
	w.t.Helper()
	_, err := w.replicas[0].orders.AcceptPayment(w.keyed("accept/"+key), &checkoutv1.AcceptPaymentRequest{
		OrderId: o.GetId(), PaymentIntentId: o.GetPaymentIntents()[0].GetId(), Note: "the rest was paid at the box office",
	})
	return err
}

// TestPartialCaptureIsAccepted takes the second way out: the order is completed for what was captured.
func TestPartialCaptureIsAccepted(t *testing.T) {
	w := newHarness(t)
	o := w.capturedInPart("accepted")
	for range 2 { // a repeat is the same
		if err := w.accept("accepted", o); err != nil {
			t.Fatal(err)
		}
	}
	got := w.waitFor(o.GetId(), "completed", fulfilmentIs(checkoutv1.FulfilmentState_FULFILMENT_STATE_COMPLETED))
	if got.GetPaymentState() != checkoutv1.PaymentState_PAYMENT_STATE_PAID || got.GetTotal().GetMinorUnits() != 6000 ||
		ticketStates(got)[checkoutv1.TicketState_TICKET_STATE_VALID] != 1 || w.taken() != 1 {
		t.Errorf("payment %v of %v, tickets %v, %d taken", got.GetPaymentState(), got.GetTotal(), ticketStates(got), w.taken())
	}
	w.waitForEntry("capture:"+o.GetPaymentIntents()[0].GetId(), ledgerv1.EntryKind_ENTRY_KIND_SALE)
	w.ledger.mu.Lock()
	sale := w.ledger.sales[o.GetPaymentIntents()[0].GetId()]
	w.ledger.mu.Unlock()
	// 445 and 890 of 8900 are 300 and 600 of 6000.
	if sale.GetCapture().GetGross().GetMinorUnits() != 6000 || sale.GetApplicationFeeMinorUnits() != 300 || sale.GetTaxes()[0].GetMinorUnits() != 600 {
		t.Errorf("booked as %v", sale)
	}
	if items := w.items(o.GetId()); len(items) != 0 {
		t.Errorf("review cases %v are open for an order that was completed", items)
	}
	wantProblem(t, w.accept("again", o), connect.CodeFailedPrecondition, "PAYMENT_NOT_ACCEPTABLE")
}

// TestPartialCaptureOfASoldOutEvent cannot be accepted while there is no seat.
func TestPartialCaptureOfASoldOutEvent(t *testing.T) {
	w := newHarness(t)
	o := w.capturedInPart("gone")
	w.exec("update stock set capacity = 1, taken = 1 where variant_id = $1", w.variant.GetId())
	wantProblem(t, w.accept("gone", o), connect.CodeResourceExhausted, "SOLD_OUT")
	if w.taken() != 1 {
		t.Errorf("%d taken", w.taken())
	}
	w.exec("update stock set capacity = 2 where variant_id = $1", w.variant.GetId())
	if err := w.accept("gone", o); err != nil {
		t.Errorf("with a seat: %v", err)
	}
}
