package checkoutsvc_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/dayof/dayof/devenv/sandbox/fault"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
)

// disputed has the buyer's bank dispute a payment at Stripe; nobody reports it.
func (w *harness) disputed(intentID string) (disputeID string) {
	w.t.Helper()
	w.control("POST", "/_sandbox/disputes", map[string]any{"payment_intent": intentID})
	list, ok := w.api("GET", "/v1/disputes?payment_intent="+intentID, "")["data"].([]any)
	if !ok || len(list) != 1 {
		w.t.Fatalf("disputes of %s: %v", intentID, list)
	}
	return field(list[0], "id")
}

// TestRefusedRefundLeavesTheTicketValid asks for a ticket's money that Stripe will not give back.
func TestRefusedRefundLeavesTheTicketValid(t *testing.T) {
	t.Parallel()
	for name, whole := range map[string]bool{"a ticket": false, "the whole order": true} {
		t.Run(name, func(t *testing.T) {
			w := newHarness(t)
			o := w.bought("refused", 2)
			w.failStripe(fault.Fault{Mode: fault.Refusal, Code: "charge_not_refundable"})
			req := &checkoutv1.RefundOrderRequest{OrderId: o.GetId()}
			if !whole {
				req.TicketIds = []string{o.GetTickets()[0].GetId()}
			}
			if reason := w.refund("refused", req); reason != "" {
				t.Fatalf("refused here: %s", reason)
			}
			w.idle("send_refund")
			got := w.order(o.GetId())
			if got.GetPaymentState() != checkoutv1.PaymentState_PAYMENT_STATE_PAID || got.GetRefunds()[0].GetState() != checkoutv1.RefundState_REFUND_STATE_FAILED {
				t.Fatalf("payment %v, refunds %v", got.GetPaymentState(), got.GetRefunds())
			}
			if states := ticketStates(got); states[checkoutv1.TicketState_TICKET_STATE_VALID] != 2 {
				t.Errorf("tickets %v after a refund that ended without money, want 2 valid", states)
			}
			if a := w.admission(got.GetTickets()[0]); a != checkoutv1.Admission_ADMISSION_ADMIT {
				t.Errorf("the door says %v", a)
			}
			if items := w.items(o.GetId()); !slices.Contains(items, "refund_refused") {
				t.Errorf("review cases %v, want refund_refused", items)
			}
		})
	}
}

// TestTicketIsHeldWhileItsRefundIsAskedFor has the door refuse a ticket from the request on, and its pass void once Stripe
// has made the refund.
func TestTicketIsHeldWhileItsRefundIsAskedFor(t *testing.T) {
	w := newHarness(t)
	o := w.bought("held", 1)
	res, err := w.replicas[0].orders.RefundOrder(w.keyed("refund"), &checkoutv1.RefundOrderRequest{OrderId: o.GetId()})
	if err != nil {
		t.Fatal(err)
	}
	if state := res.GetOrder().GetTickets()[0].GetState(); state != checkoutv1.TicketState_TICKET_STATE_SUSPENDED {
		t.Errorf("the ticket is %v while Stripe is asked, want suspended", state)
	}
	got := w.waitFor(o.GetId(), "refunded", func(o *checkoutv1.Order) bool {
		return o.GetPaymentState() == checkoutv1.PaymentState_PAYMENT_STATE_REFUNDED
	})
	if state := got.GetTickets()[0].GetState(); state != checkoutv1.TicketState_TICKET_STATE_VOID {
		t.Errorf("the ticket is %v after its refund, want void", state)
	}
	w.idle("void_pass")
	if n := w.count("select count(*) from river_job where kind = 'suspend_pass'"); n != 0 {
		t.Errorf("%d changes of the pass beside the one to void, want none", n)
	}
}

// TestRefundedAlready asks for money that went back at Stripe without a report: what Stripe has is learned, and no case says
// to pay by other means.
func TestRefundedAlready(t *testing.T) {
	w := newHarness(t)
	o := w.bought("already", 1)
	made := w.api("POST", "/v1/refunds", "payment_intent="+o.GetPayingIntentId())
	if reason := w.refund("already", &checkoutv1.RefundOrderRequest{OrderId: o.GetId()}); reason != "" {
		t.Fatalf("refused here: %s", reason)
	}
	w.idle("send_refund")
	w.wantRefundedBy(o.GetId(), field(made, "id"))
}

// TestLaterRefundClosesTheCase refunds at Stripe what Stripe refused to us before.
func TestLaterRefundClosesTheCase(t *testing.T) {
	w := newHarness(t)
	o := w.bought("later", 1)
	w.failStripe(fault.Fault{Mode: fault.Refusal, Code: "charge_not_refundable"})
	if reason := w.refund("later", &checkoutv1.RefundOrderRequest{OrderId: o.GetId()}); reason != "" {
		t.Fatalf("refused here: %s", reason)
	}
	w.idle("send_refund")
	if items := w.items(o.GetId()); !slices.Contains(items, "refund_refused") {
		t.Fatalf("review cases %v, want refund_refused", items)
	}
	w.faults.Clear(fault.Stripe)
	made := w.api("POST", "/v1/refunds", "payment_intent="+o.GetPayingIntentId())
	if _, err := w.replicas[0].payments.RecordRefund(w.keyed("evt"), &checkoutv1.RecordRefundRequest{
		StripeRefundId: field(made, "id"), PaymentIntentId: o.GetPayingIntentId(), Amount: o.GetTotal(),
		State: checkoutv1.RefundState_REFUND_STATE_SUCCEEDED, RefundTime: observedAt,
	}); err != nil {
		t.Fatal(err)
	}
	w.wantRefundedBy(o.GetId(), field(made, "id"))
}

// wantRefundedBy wants an order to be refunded by one refund at Stripe, its tickets void and no case open.
func (w *harness) wantRefundedBy(orderID, stripeID string) {
	w.t.Helper()
	got := w.order(orderID)
	known := slices.ContainsFunc(got.GetRefunds(), func(r *checkoutv1.Refund) bool {
		return r.GetStripeRefundId() == stripeID && r.GetState() == checkoutv1.RefundState_REFUND_STATE_SUCCEEDED
	})
	if got.GetPaymentState() != checkoutv1.PaymentState_PAYMENT_STATE_REFUNDED || !known {
		w.t.Errorf("payment %v, refunds %v; want it refunded by %s", got.GetPaymentState(), got.GetRefunds(), stripeID)
	}
	if states := ticketStates(got); fmt.Sprint(states) != fmt.Sprint(map[checkoutv1.TicketState]int{checkoutv1.TicketState_TICKET_STATE_VOID: len(got.GetTickets())}) {
		w.t.Errorf("tickets %v, want them void", states)
	}
	if items := w.items(orderID); len(items) != 0 {
		w.t.Errorf("review cases %v are open for money that went back", items)
	}
}
