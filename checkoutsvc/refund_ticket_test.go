package checkoutsvc_test

import (
	"fmt"
	"testing"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/problem"
)

// refund asks for a refund of an order and returns the reason of a refusal; empty when there is none.
func (w *harness) refund(key string, req *checkoutv1.RefundOrderRequest) string {
	w.t.Helper()
	_, err := w.replicas[0].orders.RefundOrder(w.keyed("refund/"+key), req)
	if reason := problem.Reason(err); err != nil && reason == "" {
		w.t.Fatalf("refund: %v", err)
	}
	return problem.Reason(err)
}

// TestTicketIsRefundedOnce asks for one ticket's money again and again, before and after Stripe has made the first refund.
func TestTicketIsRefundedOnce(t *testing.T) {
	w := newHarness(t)
	o := w.bought("once", 2)
	first := &checkoutv1.RefundOrderRequest{OrderId: o.GetId(), TicketIds: []string{o.GetTickets()[0].GetId()}}
	both := &checkoutv1.RefundOrderRequest{OrderId: o.GetId(), TicketIds: []string{o.GetTickets()[1].GetId(), o.GetTickets()[0].GetId()}}
	part := &checkoutv1.RefundOrderRequest{OrderId: o.GetId(), TicketIds: first.GetTicketIds(), Amount: money(1)}
	if reason := w.refund("first", first); reason != "" {
		t.Fatalf("the first refund is refused: %s", reason)
	}
	for name, req := range map[string]*checkoutv1.RefundOrderRequest{"again": first, "with another ticket": both, "in part": part} {
		if reason := w.refund("at once "+name, req); reason != "TICKET_VOID" {
			t.Errorf("at once, %s: reason %q, want TICKET_VOID", name, reason)
		}
	}
	w.waitFor(o.GetId(), "partially refunded", func(o *checkoutv1.Order) bool {
		return o.GetPaymentState() == checkoutv1.PaymentState_PAYMENT_STATE_PARTIALLY_REFUNDED
	})
	for name, req := range map[string]*checkoutv1.RefundOrderRequest{"again": first, "with another ticket": both, "in part": part} {
		if reason := w.refund("later "+name, req); reason != "TICKET_VOID" {
			t.Errorf("later, %s: reason %q, want TICKET_VOID", name, reason)
		}
	}
	if got := w.order(o.GetId()); got.GetRefundedMinorUnits() != 8900 || len(got.GetRefunds()) != 1 {
		t.Errorf("%d refunded by %d refunds, want the price of one ticket, 8900, by 1", got.GetRefundedMinorUnits(), len(got.GetRefunds()))
	}
}

// TestRefundIsWithinThePriceOfItsTickets asks for more than the named tickets cost.
func TestRefundIsWithinThePriceOfItsTickets(t *testing.T) {
	w := newHarness(t)
	o := w.bought("price", 3)
	named := []string{o.GetTickets()[0].GetId(), o.GetTickets()[2].GetId()}
	for _, c := range []struct {
		amount int64
		want   string
	}{{17801, "REFUND_EXCEEDS_PRICE"}, {26700, "REFUND_EXCEEDS_PRICE"}, {17800, ""}} {
		if got := w.refund(fmt.Sprint(c.amount), &checkoutv1.RefundOrderRequest{OrderId: o.GetId(), TicketIds: named, Amount: money(c.amount)}); got != c.want {
			t.Errorf("%d for two tickets of 8900: reason %q, want %q", c.amount, got, c.want)
		}
	}
}
