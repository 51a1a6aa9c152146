package checkoutsvc_test

import (
	"testing"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
)

// A seat of a discounted order is issued again and refunded: the new ticket has the seat and the price of the old one, the refund gives back
// that price, and the seat is on sale again, once.
func TestSeatOfADiscountedOrderIsIssuedAgain(t *testing.T) {
	w := newHarness(t)
	h := w.hall(1, 3)
	w.promote(h.seller, &checkoutv1.CreatePromotionCodeRequest{Code: "EURO", Discount: &checkoutv1.PromotionDiscount{Amount: &moneyv1.Money{Currency: "EUR", MinorUnits: 100}}})
	cart := h.seated(3)
	cart.PromotionCode = "euro"
	started, err := w.replicas[0].checkout.StartCheckout(w.keyed("start"), cart)
	if err != nil {
		t.Fatal(err)
	}
	o := w.payFor(started.GetOrder())
	old := o.GetTickets()[0] // 34 cents off; the others have 33
	price := started.GetOrder().GetLines()[0].GetUnitPrice().GetMinorUnits() - 34
	res, err := w.holders().ReissueTicket(w.as(started.GetOrderAccessToken(), "reissue"), &checkoutv1.ReissueTicketRequest{TicketId: old.GetId()})
	if err != nil {
		t.Fatal(err)
	}
	next := res.GetHeldTicket().GetTicket()
	if next.GetSeat().GetId() != old.GetSeat().GetId() || next.GetId() == old.GetId() {
		t.Fatalf("the new ticket is on %v, the old one was on %v", next.GetSeat(), old.GetSeat())
	}
	w.checkSeats()
	if reason := w.refund("old", &checkoutv1.RefundOrderRequest{OrderId: o.GetId(), TicketIds: []string{old.GetId()}}); reason != "TICKET_VOID" {
		t.Errorf("a refund of the old ticket: %q", reason)
	}
	if reason := w.refund("new", &checkoutv1.RefundOrderRequest{OrderId: o.GetId(), TicketIds: []string{next.GetId()}}); reason != "" {
		t.Fatalf("a refund of the new ticket: %q", reason)
	}
	done := w.waitFor(o.GetId(), "partially refunded", func(o *checkoutv1.Order) bool {
		return o.GetPaymentState() == checkoutv1.PaymentState_PAYMENT_STATE_PARTIALLY_REFUNDED
	})
	if done.GetRefundedMinorUnits() != price {
		t.Errorf("%d went back, want %d", done.GetRefundedMinorUnits(), price)
	}
	w.checkSeats()
	if reason := w.refusal("again", h.seated(0, old.GetSeat().GetId())); reason != "" {
		t.Errorf("the seat is not on sale again: %q", reason)
	}
	if reason := w.refusal("twice", h.seated(0, old.GetSeat().GetId())); reason != "SEAT_TAKEN" {
		t.Errorf("the seat is sold twice: %q", reason)
	}
	w.checkSeats()
}
