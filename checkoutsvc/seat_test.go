package checkoutsvc_test

import (
	"testing"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/problem"
)

// startReason starts a checkout and returns the reason of a refusal; empty when there is none.
func (w *harness) startReason(key string, s seller, quantity int32) string {
	w.t.Helper()
	_, err := w.replicas[0].checkout.StartCheckout(w.keyed("start/"+key), s.cart(quantity))
	if err != nil && problem.Reason(err) == "" {
		w.t.Fatalf("start checkout: %v", err)
	}
	return problem.Reason(err)
}

// boughtOf buys tickets of a seller.
func (w *harness) boughtOf(s seller, key string, quantity int32) *checkoutv1.Order {
	w.t.Helper()
	res, err := w.replicas[0].checkout.StartCheckout(w.keyed("start/"+key), s.cart(quantity))
	if err != nil {
		w.t.Fatalf("start checkout: %v", err)
	}
	w.confirm(res.GetPaymentIntentId())
	if _, err := w.replicas[0].payments.RecordPayment(w.keyed("paid/"+key), paid(res.GetOrder())); err != nil {
		w.t.Fatalf("record payment: %v", err)
	}
	return w.waitFor(res.GetOrder().GetId(), "completed", fulfilmentIs(checkoutv1.FulfilmentState_FULFILMENT_STATE_COMPLETED))
}

// TestRefundedSeats refunds one of two tickets of a sold out event, and tries to sell it again.
func TestRefundedSeats(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		event string // what is special about it, as SQL
		used  bool   // somebody entered with the ticket
		want  string
	}{
		"before doors":                  {"", false, ""},
		"after doors":                   {"doors_time = now() - interval '1 minute'", false, "SOLD_OUT"},
		"after the start without doors": {"start_time = now() - interval '1 minute'", false, "SOLD_OUT"},
		"where seats stay off sale":     {"keep_refunded_seats = true", false, "SOLD_OUT"},
		"with which somebody entered":   {"", true, "SOLD_OUT"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newHarness(t)
			s := w.sell(4500, 2)
			o := w.boughtOf(s, "seats", 2)
			if c.event != "" {
				w.exec("update events set "+c.event+" where id = $1", s.event.GetId())
			}
			if c.used {
				w.exec("update tickets set state = 'used' where id = $1", o.GetTickets()[0].GetId())
			}
			if reason := w.refund("seat", &checkoutv1.RefundOrderRequest{OrderId: o.GetId(), TicketIds: []string{o.GetTickets()[0].GetId()}}); reason != "" {
				t.Fatalf("refund: %s", reason)
			}
			w.waitFor(o.GetId(), "partially refunded", func(o *checkoutv1.Order) bool {
				return o.GetPaymentState() == checkoutv1.PaymentState_PAYMENT_STATE_PARTIALLY_REFUNDED
			})
			if got := w.startReason("again", s, 1); got != c.want {
				t.Errorf("the refunded seat: reason %q, want %q", got, c.want)
			}
			if got := w.startReason("more", s, 1); got != "SOLD_OUT" {
				t.Errorf("one seat more than there is: reason %q, want SOLD_OUT", got)
			}
		})
	}
}

// TestLostDisputeReturnsTheSeat has void tickets of a lost dispute on sale again, once.
func TestLostDisputeReturnsTheSeat(t *testing.T) {
	w := newHarness(t)
	s := w.sell(4500, 1)
	o := w.boughtOf(s, "lost", 1)
	for i := range 2 {
		if _, err := w.replicas[0].payments.RecordDispute(w.keyed([]string{"one", "two"}[i]), &checkoutv1.RecordDisputeRequest{
			DisputeId: "du_1", PaymentIntentId: o.GetPayingIntentId(), Status: checkoutv1.DisputeStatus_DISPUTE_STATUS_LOST,
			Amount: o.GetTotal(), ObservedTime: observedAt,
		}); err != nil {
			t.Fatal(err)
		}
	}
	if n := w.count("select sum(taken) from stock where variant_id = $1", s.variant.GetId()); n != 0 {
		t.Errorf("%d seats are taken, want none", n)
	}
}

// TestNothingIsSoldAfterTheEnd starts checkouts of an event that is over, and pays late for one that began before.
func TestNothingIsSoldAfterTheEnd(t *testing.T) {
	w := newHarness(t, shortHold)
	o := w.start("before", 1).GetOrder()
	w.waitFor(o.GetId(), "expired", holdIs(checkoutv1.HoldState_HOLD_STATE_EXPIRED))
	w.exec("update events set start_time = now() - interval '2 hours', end_time = now() - interval '1 minute'")
	if got := w.startReason("after", w.seller, 1); got != "SALE_NOT_OPEN" {
		t.Errorf("a checkout after the end: reason %q, want SALE_NOT_OPEN", got)
	}
	if _, err := w.replicas[0].payments.RecordPayment(w.keyed("evt"), paid(o)); err != nil {
		t.Fatal(err)
	}
	got := w.order(o.GetId())
	if got.GetFulfilmentState() != checkoutv1.FulfilmentState_FULFILMENT_STATE_UNFULFILLABLE || len(got.GetRefunds()) != 1 || len(got.GetTickets()) != 0 {
		t.Errorf("late money for an event that is over: %v, %d refunds, %d tickets", got.GetFulfilmentState(), len(got.GetRefunds()), len(got.GetTickets()))
	}
	if n := w.count("select sum(taken) from stock where variant_id = $1", w.variant.GetId()); n != 0 {
		t.Errorf("%d tickets are taken, want none", n)
	}
}
