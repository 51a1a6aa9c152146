package checkoutsvc_test

import (
	"fmt"
	"testing"

	"github.com/dayof/dayof/checkoutsvc"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
)

func money(minorUnits int64) *moneyv1.Money {
	return &moneyv1.Money{Currency: "EUR", MinorUnits: minorUnits}
}

// refundsAt lists the refunds of an intent at Stripe.
func (w *harness) refundsAt(intent string) []any {
	w.t.Helper()
	list, ok := w.api("GET", "/v1/refunds?payment_intent="+intent, "")["data"].([]any)
	if !ok {
		w.t.Fatal("no list of refunds")
	}
	return list
}

// TestRefundMetadata has our ids and the tickets readable at Stripe.
func TestRefundMetadata(t *testing.T) {
	w := newHarness(t)
	o := w.bought("meta", 2)
	ticket := o.GetTickets()[1].GetId()
	res, err := w.replicas[0].orders.RefundOrder(w.keyed("refund"), &checkoutv1.RefundOrderRequest{OrderId: o.GetId(), TicketIds: []string{ticket}})
	if err != nil {
		t.Fatal(err)
	}
	w.idle("send_refund")
	made := w.refundsAt(o.GetPayingIntentId())
	if len(made) != 1 {
		t.Fatalf("%d refunds at Stripe, want 1", len(made))
	}
	for name, want := range map[string]string{
		"refund_id": res.GetRefund().GetId(), "refund_request_id": res.GetRefund().GetId(), "order_id": o.GetId(), "ticket_ids": ticket,
	} {
		if got := field(made[0], "metadata", name); got != want {
			t.Errorf("metadata %s is %q, want %q", name, got, want)
		}
	}
}

// TestRefundAgainAfterFailure pays an order back whose first refund came back to us.
func TestRefundAgainAfterFailure(t *testing.T) {
	w := newHarness(t)
	o := w.bought("again", 1)
	whole := &checkoutv1.RefundOrderRequest{OrderId: o.GetId()}
	if _, err := w.replicas[0].orders.RefundOrder(w.keyed("first"), whole); err != nil {
		t.Fatal(err)
	}
	w.idle("send_refund")
	first := w.order(o.GetId()).GetRefunds()[0]
	w.control("POST", "/_sandbox/refunds/"+first.GetStripeRefundId()+"/fail", map[string]any{})
	if _, err := w.replicas[0].payments.RecordRefund(w.keyed("failed"), &checkoutv1.RecordRefundRequest{
		StripeRefundId: first.GetStripeRefundId(), RefundId: first.GetId(), PaymentIntentId: o.GetPayingIntentId(), Amount: o.GetTotal(),
		State: checkoutv1.RefundState_REFUND_STATE_FAILED, RefundTime: observedAt, FailureCode: "lost_or_stolen_card",
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.replicas[0].orders.RefundOrder(w.keyed("second"), whole); err != nil {
		t.Fatalf("refund again: %v", err)
	}
	w.idle("send_refund")
	got := w.waitFor(o.GetId(), "refunded", func(o *checkoutv1.Order) bool {
		return o.GetPaymentState() == checkoutv1.PaymentState_PAYMENT_STATE_REFUNDED
	})
	if len(got.GetRefunds()) != 2 || len(w.refundsAt(o.GetPayingIntentId())) != 2 {
		t.Errorf("refunds %v; want the failed one and a new one", got.GetRefunds())
	}
}

// TestOldRefundIsSearchedFirst repeats a refund whose key Stripe may have forgotten: what was made then is found by our id
// in its metadata, and no second one is made.
func TestOldRefundIsSearchedFirst(t *testing.T) {
	w := newHarness(t)
	o := w.bought("old", 2)
	const id = "refund000000000000old"
	w.exec(`insert into refunds (id, order_id, payment_intent, amount_minor_units, currency, state, reason, create_time)
		values ($1, $2, $3, 8900, 'EUR', 'requested', 'requested', now() - interval '23 hours 1 minute')`, id, o.GetId(), o.GetPayingIntentId())
	made := w.api("POST", "/v1/refunds", fmt.Sprintf("payment_intent=%s&amount=8900&metadata[refund_id]=%s", o.GetPayingIntentId(), id))
	if err := w.replicas[0].service.Jobs.Insert(t.Context(), checkoutsvc.SendRefund(id)); err != nil {
		t.Fatal(err)
	}
	w.idle("send_refund")
	refunds := w.order(o.GetId()).GetRefunds()
	if len(refunds) != 1 || refunds[0].GetStripeRefundId() != field(made, "id") {
		t.Errorf("our refunds are %v, want the one that Stripe made: %s", refunds, field(made, "id"))
	}
	if n := len(w.refundsAt(o.GetPayingIntentId())); n != 1 {
		t.Errorf("%d refunds at Stripe, want 1", n)
	}
}
