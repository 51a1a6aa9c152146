package checkoutsvc_test

import (
	"strings"
	"testing"

	"connectrpc.com/connect"

	"github.com/dayof/dayof/devenv/sandbox/mail"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
)

// calendarOf is the calendar file of a mail, unfolded.
func calendarOf(t *testing.T, m mail.Message) string {
	t.Helper()
	for _, p := range m.Parts {
		if strings.HasPrefix(p.ContentType, "text/calendar") {
			if p.Filename != "event.ics" {
				t.Errorf("the calendar file of %q is called %q", m.Subject, p.Filename)
			}
			return strings.ReplaceAll(p.Content, "\r\n ", "")
		}
	}
	t.Fatalf("the mail %q has no calendar file: %+v", m.Subject, m.Parts)
	return ""
}

// cancelEvent cancels an event and waits until all that was sold of it has followed.
func (w *harness) cancelEvent(event string) *checkoutv1.EventOperation {
	w.t.Helper()
	preview, err := w.replicas[0].events.CancelEvent(w.keyed("preview"), &checkoutv1.CancelEventRequest{EventId: event, Preview: true})
	if err != nil {
		w.t.Fatalf("preview a cancellation: %v", err)
	}
	res, err := w.replicas[0].events.CancelEvent(w.keyed("cancel"), &checkoutv1.CancelEventRequest{
		EventId: event, ConfirmationToken: preview.GetPreview().GetConfirmationToken(),
	})
	if err != nil {
		w.t.Fatalf("cancel event: %v", err)
	}
	return w.completed(res.GetOperation().GetId())
}

// TestCancelEvent cancels an event of which one order is completed, one is unpaid and one is being fulfilled.
func TestCancelEvent(t *testing.T) {
	w, server := newMailHarness(t)
	const address = "erika@example.test"
	sold := w.bought("sold", 2)
	w.mailTo(server, address, 1)
	open, late := w.start("open", 1).GetOrder(), w.start("late", 1).GetOrder()
	op := w.cancelEvent(w.event.GetId())
	if op.GetDoneTicketCount() != 2 || op.GetMailCount() != 1 || op.GetFailedOrderCount() != 0 {
		t.Errorf("the operation ended as %v", op)
	}

	// Nothing is sold, nothing is kept.
	if got := w.startReason("after", w.seller, 1); got != "EVENT_CANCELED" {
		t.Errorf("a checkout after the cancellation: reason %q", got)
	}
	if got := w.order(open.GetId()); got.GetHoldState() != checkoutv1.HoldState_HOLD_STATE_RELEASED || got.GetPaymentState() != checkoutv1.PaymentState_PAYMENT_STATE_CANCELED {
		t.Errorf("an unpaid order: hold %v, payment %v", got.GetHoldState(), got.GetPaymentState())
	}
	w.idle("cancel_intents")
	if n := w.count("select count(*) from payment_intents where order_id = $1 and not canceled", open.GetId()); n != 0 {
		t.Error("the intent of an unpaid order is open")
	}
	if n := w.count("select taken from stock where variant_id = $1", w.variant.GetId()); n != 2 {
		t.Errorf("%d tickets are taken, 2 were sold", n)
	}

	// What was sold admits nobody, on the phone and at the door.
	for _, ticket := range w.order(sold.GetId()).GetTickets() {
		if ticket.GetState() != checkoutv1.TicketState_TICKET_STATE_SUSPENDED || !w.passes.shown(ticket.GetId()).GetCanceled() {
			t.Errorf("ticket %s is %v, its pass shows %v", ticket.GetId(), ticket.GetState(), w.passes.shown(ticket.GetId()))
		}
		if got := w.admission(ticket); got != checkoutv1.Admission_ADMISSION_SUSPENDED {
			t.Errorf("the door says %v", got)
		}
	}
	m := w.mailTo(server, address, 2)
	wantInMail(t, m, "Nachtkonzert ist abgesagt", "1. März 2027", "berechtigen nicht mehr zum Eintritt")
	for _, line := range []string{"METHOD:CANCEL", "STATUS:CANCELLED", "SEQUENCE:2", "UID:" + sold.GetId() + "@dayof"} {
		if got := calendarOf(t, m); !strings.Contains(got, line+"\r\n") {
			t.Errorf("the calendar file lacks %q:\n%s", line, got)
		}
	}

	// Money that comes all the same goes back.
	if _, err := w.replicas[0].payments.RecordPayment(w.keyed("late"), paid(late)); err != nil {
		t.Fatal(err)
	}
	got := w.waitFor(late.GetId(), "refunded", func(o *checkoutv1.Order) bool {
		return o.GetPaymentState() == checkoutv1.PaymentState_PAYMENT_STATE_REFUNDED || len(o.GetRefunds()) == 1
	})
	if got.GetFulfilmentState() != checkoutv1.FulfilmentState_FULFILMENT_STATE_UNFULFILLABLE || len(got.GetTickets()) != 0 {
		t.Errorf("late money bought %v, %v", got.GetFulfilmentState(), got.GetTickets())
	}

	// It is canceled for good. A refund voids the tickets.
	_, err := w.replicas[0].events.CancelEvent(w.keyed("again"), &checkoutv1.CancelEventRequest{EventId: w.event.GetId(), Preview: true})
	wantProblem(t, err, connect.CodeFailedPrecondition, "EVENT_CANCELED")
	move := w.move(w.event.GetId(), aWeekLater)
	move.Preview = true
	_, err = w.replicas[0].events.MoveEvent(w.keyed("again"), move)
	wantProblem(t, err, connect.CodeFailedPrecondition, "EVENT_CANCELED")
	_, err = w.replicas[0].events.CancelEventOperation(w.keyed("undo"), &checkoutv1.CancelEventOperationRequest{EventOperationId: op.GetId()})
	wantProblem(t, err, connect.CodeFailedPrecondition, "EVENT_OPERATION_ENDED")
	if _, err := w.replicas[0].orders.RefundOrder(w.keyed("refund"), &checkoutv1.RefundOrderRequest{OrderId: sold.GetId()}); err != nil {
		t.Fatal(err)
	}
	w.waitFor(sold.GetId(), "void", func(o *checkoutv1.Order) bool {
		return ticketStates(o)[checkoutv1.TicketState_TICKET_STATE_VOID] == 2
	})
}

// TestCancelEventMeetsPayment pays an order between the cancellation and its operation: the hold is alive, and buys nothing.
func TestCancelEventMeetsPayment(t *testing.T) {
	w := newHarness(t)
	w.exec(`create function hold_operation() returns trigger language plpgsql as $$ begin new.next_step_time = now() + interval '1 hour'; return new; end $$`)
	w.exec(`create trigger hold_operation before insert on event_operations for each row execute function hold_operation()`)
	o := w.start("between", 1).GetOrder()
	preview, err := w.replicas[0].events.CancelEvent(w.keyed("preview"), &checkoutv1.CancelEventRequest{EventId: w.event.GetId(), Preview: true})
	if err != nil {
		t.Fatal(err)
	}
	res, err := w.replicas[0].events.CancelEvent(w.keyed("cancel"), &checkoutv1.CancelEventRequest{
		EventId: w.event.GetId(), ConfirmationToken: preview.GetPreview().GetConfirmationToken(),
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.replicas[0].events.CancelEventOperation(w.keyed("undo"), &checkoutv1.CancelEventOperationRequest{EventOperationId: res.GetOperation().GetId()})
	wantProblem(t, err, connect.CodeFailedPrecondition, "EVENT_OPERATION_NOT_CANCELABLE")
	w.confirm(o.GetPaymentIntents()[0].GetId())
	if _, err := w.replicas[0].payments.RecordPayment(w.keyed("paid"), paid(o)); err != nil {
		t.Fatal(err)
	}
	got := w.order(o.GetId())
	if got.GetFulfilmentState() != checkoutv1.FulfilmentState_FULFILMENT_STATE_UNFULFILLABLE || got.GetHoldState() != checkoutv1.HoldState_HOLD_STATE_RELEASED {
		t.Errorf("money between bought %v, hold %v", got.GetFulfilmentState(), got.GetHoldState())
	}
	if n := w.count("select taken from stock where variant_id = $1", w.variant.GetId()); n != 0 {
		t.Errorf("%d tickets are taken of a canceled event", n)
	}
	w.exec("update event_operations set next_step_time = now()")
	w.completed(res.GetOperation().GetId())
	if n := w.count("select taken from stock where variant_id = $1", w.variant.GetId()); n != 0 {
		t.Errorf("%d tickets are taken of a canceled event", n)
	}
}
