package checkoutsvc_test

import (
	"slices"
	"testing"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
)

// fails has Stripe report that a refund's money came back to us.
func (w *harness) fails(r *checkoutv1.Refund) {
	w.t.Helper()
	w.control("POST", "/_sandbox/refunds/"+r.GetStripeRefundId()+"/fail", map[string]any{})
	if _, err := w.replicas[0].payments.RecordRefund(w.keyed("failed/"+r.GetId()), &checkoutv1.RecordRefundRequest{
		StripeRefundId: r.GetStripeRefundId(), RefundId: r.GetId(), PaymentIntentId: r.GetPaymentIntentId(), Amount: r.GetAmount(),
		State: checkoutv1.RefundState_REFUND_STATE_FAILED, RefundTime: observedAt, FailureCode: "lost_or_stolen_card",
	}); err != nil {
		w.t.Fatal(err)
	}
}

// TestDuplicatePaymentIsRefundedAgain pays an order twice, has the refund of the second payment fail, and refunds that payment again: by its
// intent, since the order's own refund would take the money and the ticket of the first.
func TestDuplicatePaymentIsRefundedAgain(t *testing.T) {
	w := newHarness(t)
	o := w.bought("twice", 1)
	second := field(w.api("POST", "/v1/payment_intents", "amount=8900&currency=eur&metadata[order_id]="+o.GetId()+"&automatic_payment_methods[enabled]=true"), "id")
	w.confirm(second)
	other := paid(o)
	other.PaymentIntentId = second
	if _, err := w.replicas[0].payments.RecordPayment(w.keyed("second"), other); err != nil {
		t.Fatal(err)
	}
	made := func(n int) func(o *checkoutv1.Order) bool {
		return func(o *checkoutv1.Order) bool {
			return len(o.GetRefunds()) == n && o.GetRefunds()[n-1].GetState() == checkoutv1.RefundState_REFUND_STATE_SUCCEEDED
		}
	}
	first := w.waitFor(o.GetId(), "refunded", made(1)).GetRefunds()[0]
	w.fails(first)
	w.waitForEntry("refund-fail:"+first.GetStripeRefundId(), ledgerv1.EntryKind_ENTRY_KIND_REFUND_FAILURE)
	if items := w.items(o.GetId()); !slices.Contains(items, "refund_failed") {
		t.Fatalf("review cases %v, want refund_failed", items)
	}
	for name, c := range map[string]struct {
		req  *checkoutv1.RefundOrderRequest
		want string
	}{
		"with a ticket":   {&checkoutv1.RefundOrderRequest{PaymentIntentId: second, TicketIds: []string{o.GetTickets()[0].GetId()}}, "INVALID_FIELD"},
		"somebody else's": {&checkoutv1.RefundOrderRequest{PaymentIntentId: "pi_somebodyelse"}, "PAYMENT_INTENT_NOT_FOUND"},
		"too much":        {&checkoutv1.RefundOrderRequest{PaymentIntentId: second, Amount: money(8901)}, "REFUND_EXCEEDS_CAPTURED"},
	} {
		c.req.OrderId = o.GetId()
		if got := w.refund(name, c.req); got != c.want {
			t.Errorf("%s: reason %q, want %q", name, got, c.want)
		}
	}
	if reason := w.refund("again", &checkoutv1.RefundOrderRequest{OrderId: o.GetId(), PaymentIntentId: second}); reason != "" {
		t.Fatalf("refused: %s", reason)
	}
	got := w.waitFor(o.GetId(), "refunded again", made(2))
	again := got.GetRefunds()[1]
	w.waitForEntry("refund:"+again.GetStripeRefundId(), ledgerv1.EntryKind_ENTRY_KIND_REFUND)
	if again.GetPaymentIntentId() != second || w.refundedAt(second) != 8900 || w.refundedAt(o.GetPayingIntentId()) != 0 {
		t.Errorf("the refund is %v; Stripe gave back %v of it and %v of the order's payment", again, w.refundedAt(second), w.refundedAt(o.GetPayingIntentId()))
	}
	if got.GetPaymentState() != checkoutv1.PaymentState_PAYMENT_STATE_PAID || got.GetTickets()[0].GetState() != checkoutv1.TicketState_TICKET_STATE_VALID {
		t.Errorf("the order is %v and its ticket %v", got.GetPaymentState(), got.GetTickets()[0].GetState())
	}
	if items := w.items(o.GetId()); len(items) != 0 {
		t.Errorf("review cases %v of money that is back", items)
	}
	w.ledger.mu.Lock()
	defer w.ledger.mu.Unlock()
	if r := w.ledger.refunds[again.GetStripeRefundId()]; r.GetPaymentIntentId() != second || len(r.GetTaxes()) != 0 || r.GetApplicationFeeMinorUnits() != 0 {
		t.Errorf("the posting is %v", r)
	}
}
