package checkoutsvc_test

import (
	"fmt"
	"testing"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/pgdb"
)

// TestExpiredSeatsAreFree has a hold run out and its seats sold to somebody else.
func TestExpiredSeatsAreFree(t *testing.T) {
	w := newHarness(t)
	h := w.hall(1, 2)
	o := w.take("slow", h.seated(0, h.ids...))
	w.exec("update holds set expire_time = now() - interval '1 second' where order_id = $1", o.GetId())
	w.waitFor(o.GetId(), "expired", holdIs(checkoutv1.HoldState_HOLD_STATE_EXPIRED))
	w.checkSeats()
	w.payFor(w.take("next", h.seated(0, h.ids[0])))
	w.checkSeats()
}

// TestLateMoneyForSeats pays after the hold has run out: for seats that are free still, that somebody else has by now in part, that staff
// have blocked, and that are no more.
func TestLateMoneyForSeats(t *testing.T) {
	t.Parallel()
	const completed, refunded = checkoutv1.FulfilmentState_FULFILMENT_STATE_COMPLETED, checkoutv1.FulfilmentState_FULFILMENT_STATE_UNFULFILLABLE
	for name, c := range map[string]struct {
		meanwhile func(w *harness, h hall)
		want      checkoutv1.FulfilmentState
	}{
		"free": {func(*harness, hall) {}, completed},
		"others sold": {func(w *harness, h hall) {
			w.take("other", h.seated(0, h.ids[2]))
		}, completed},
		"one sold": {func(w *harness, h hall) {
			w.take("other", h.seated(0, h.ids[1]))
		}, refunded},
		"one blocked": {func(w *harness, h hall) {
			if _, err := w.replicas[0].catalog.BlockSeats(w.keyed("block"), &checkoutv1.BlockSeatsRequest{EventId: h.event.GetId(), SeatIds: h.ids[:1]}); err != nil {
				w.t.Fatal(err)
			}
		}, refunded},
		"one removed": {func(w *harness, h hall) {
			if _, err := w.replicas[0].catalog.SetSeatMap(w.keyed("smaller"), h.section("Parkett", 1, 1)); err != nil {
				w.t.Fatal(err)
			}
		}, refunded},
	} {
		t.Run(name, func(t *testing.T) {
			w := newHarness(t)
			h := w.hall(1, 4)
			o := w.take("late", h.seated(0, h.ids[:2]...))
			w.exec("update holds set expire_time = now() - interval '1 second' where order_id = $1", o.GetId())
			w.waitFor(o.GetId(), "expired", holdIs(checkoutv1.HoldState_HOLD_STATE_EXPIRED))
			c.meanwhile(w, h)
			if _, err := w.replicas[0].payments.RecordPayment(w.keyed("late"), paid(o)); err != nil {
				t.Fatal(err)
			}
			got := w.waitFor(o.GetId(), "ended", fulfilmentIs(c.want))
			if c.want == completed && (len(got.GetTickets()) != 2 || got.GetTickets()[1].GetSeat().GetId() != h.ids[1]) {
				t.Errorf("late money bought %v", got.GetTickets())
			}
			w.checkSeats()
		})
	}
}

// TestRefundedSeatIsFree refunds one of two seats: it is on sale again, but where the event keeps such seats or somebody sat on it.
func TestRefundedSeatIsFree(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		event string // what is special about it, as SQL
		used  bool
		want  string
	}{
		"before doors":                {"", false, ""},
		"where seats stay off sale":   {"keep_refunded_seats = true", false, "SEAT_TAKEN"},
		"after doors":                 {"doors_time = now() - interval '1 minute'", false, "SEAT_TAKEN"},
		"with which somebody entered": {"", true, "SEAT_TAKEN"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newHarness(t)
			h := w.hall(1, 2)
			o := w.payFor(w.take("both", h.seated(2)))
			if c.event != "" {
				w.exec("update events set "+c.event+" where id = $1", h.event.GetId())
			}
			ticket := o.GetTickets()[0]
			if c.used {
				w.exec("update tickets set state = 'used' where id = $1", ticket.GetId())
			}
			if reason := w.refund("seat", &checkoutv1.RefundOrderRequest{OrderId: o.GetId(), TicketIds: []string{ticket.GetId()}}); reason != "" {
				t.Fatalf("refund: %s", reason)
			}
			got := w.waitFor(o.GetId(), "partially refunded", func(o *checkoutv1.Order) bool {
				return o.GetPaymentState() == checkoutv1.PaymentState_PAYMENT_STATE_PARTIALLY_REFUNDED
			})
			if got.GetTickets()[0].GetSeat().GetLabel() != ticket.GetSeat().GetLabel() {
				t.Error("a void ticket does not show any more which seat it was")
			}
			if reason := w.refusal("again", h.seated(0, ticket.GetSeat().GetId())); reason != c.want {
				t.Errorf("the seat is refused for %q, want %q", reason, c.want)
			}
			if reason := w.refusal("other", h.seated(0, o.GetTickets()[1].GetSeat().GetId())); reason != "SEAT_TAKEN" {
				t.Errorf("the other seat: reason %q, want SEAT_TAKEN", reason)
			}
			w.checkSeats()
		})
	}
}

// TestDatabaseKeepsSeats breaks the promises about seats behind the code's back: the database refuses.
func TestDatabaseKeepsSeats(t *testing.T) {
	w := newHarness(t)
	h := w.hall(1, 3)
	o := w.payFor(w.take("sold", h.seated(2)))
	for what, c := range map[string]struct{ constraint, statement string }{
		"two tickets of one seat":              {"ticket_of_a_seat_once", fmt.Sprintf("update tickets set seat_id = '%s' where order_id = '%s'", h.ids[0], o.GetId())},
		"a blocked seat is sold":               {"seat_blocked_is_not_sold", fmt.Sprintf("update seats set blocked = true where id = '%s'", o.GetTickets()[0].GetSeat().GetId())},
		"a seat of a ticket is removed":        {"ticket_of_its_seat", fmt.Sprintf("delete from seats where id = '%s'", o.GetTickets()[0].GetSeat().GetId())},
		"a line with fewer seats than tickets": {"order_line_has_a_seat_per_ticket", fmt.Sprintf("update order_lines set quantity = 3 where order_id = '%s'", o.GetId())},
		"a seat of another event's variant":    {"seat_of_its_variant", fmt.Sprintf("update seats set variant_id = '%s' where id = '%s'", w.variant.GetId(), h.ids[2])},
	} {
		_, err := w.pool.Exec(t.Context(), c.statement)
		if got := pgdb.ConstraintName(err); got != c.constraint {
			t.Errorf("%s: %v, want %s", what, err, c.constraint)
		}
	}
}
