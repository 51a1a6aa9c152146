package checkoutsvc_test

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/types/known/timestamppb"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/problem"
)

// aWeekLater is when the harness's event takes place after a move; Berlin has no summer time yet on either day.
var aWeekLater = time.Date(2027, 3, 8, 18, 30, 0, 0, time.UTC)

func (w *harness) move(event string, start time.Time) *checkoutv1.MoveEventRequest {
	return &checkoutv1.MoveEventRequest{EventId: event, StartTime: timestamppb.New(start)}
}

// preview asks what a move would change, and returns the request that confirms it.
func (w *harness) preview(event string, start time.Time) (*checkoutv1.EventOperationPreview, *checkoutv1.MoveEventRequest) {
	w.t.Helper()
	req := w.move(event, start)
	req.Preview = true
	res, err := w.replicas[0].events.MoveEvent(w.keyed("preview"), req)
	if err != nil {
		w.t.Fatalf("preview a move: %v", err)
	}
	act := w.move(event, start)
	act.ConfirmationToken = res.GetPreview().GetConfirmationToken()
	return res.GetPreview(), act
}

// moved moves an event and waits until all that was sold of it has followed.
func (w *harness) moved(event string, start time.Time) *checkoutv1.EventOperation {
	w.t.Helper()
	_, act := w.preview(event, start)
	res, err := w.replicas[0].events.MoveEvent(w.keyed("move/"+start.String()), act)
	if err != nil {
		w.t.Fatalf("move event: %v", err)
	}
	return w.completed(res.GetOperation().GetId())
}

func (w *harness) operation(id string) *checkoutv1.EventOperation {
	w.t.Helper()
	res, err := w.replicas[0].events.GetEventOperation(w.t.Context(), &checkoutv1.GetEventOperationRequest{EventOperationId: id})
	if err != nil {
		w.t.Fatalf("get event operation: %v", err)
	}
	return res.GetOperation()
}

func (w *harness) completed(id string) (op *checkoutv1.EventOperation) {
	w.t.Helper()
	w.until("completed", func() bool {
		op = w.operation(id)
		return op.GetState() == checkoutv1.EventOperationState_EVENT_OPERATION_STATE_COMPLETED
	})
	return op
}

// wantShown checks that the passes of all tickets of an order show a start and the schedule of a number.
func (w *harness) wantShown(o *checkoutv1.Order, start time.Time, number int64) {
	w.t.Helper()
	for _, ticket := range o.GetTickets() {
		shown := w.passes.shown(ticket.GetId())
		if !shown.GetStartTime().AsTime().Equal(start) || shown.GetScheduleNumber() != number {
			w.t.Errorf("the pass of ticket %s shows %v, schedule %d; want %v, %d", ticket.GetId(),
				shown.GetStartTime().AsTime(), shown.GetScheduleNumber(), start, number)
		}
	}
	if n := w.count("select count(*) from tickets where order_id = $1 and state <> 'void' and schedule_number <> $2", o.GetId(), number); n > 0 {
		w.t.Errorf("%d tickets of order %s are not of schedule %d", n, o.GetId(), number)
	}
}

// TestMoveEvent previews a move, makes it, and sells on.
func TestMoveEvent(t *testing.T) {
	w, server := newMailHarness(t)
	const address = "erika@example.test"
	before := w.bought("before", 2)
	w.mailTo(server, address, 1)
	open := w.start("open", 1).GetOrder()

	preview, act := w.preview(w.event.GetId(), aWeekLater)
	if preview.GetPassCount() != 2 || preview.GetOrderCount() != 1 || preview.GetMailCount() != 1 || preview.GetOpenHoldCount() != 1 ||
		len(preview.GetRefundableAmounts()) != 1 || preview.GetRefundableAmounts()[0].GetMinorUnits() != 2*8900 {
		t.Errorf("the preview is %v", preview)
	}
	if got := preview.GetNewTimes().GetEndTime().AsTime(); !got.Equal(aWeekLater.Add(3 * time.Hour)) {
		t.Errorf("the event would end at %v: it lasts 3 hours", got)
	}
	if n := w.count("select count(*) from event_operations"); n != 0 {
		t.Errorf("a preview began %d operations", n)
	}

	var first *checkoutv1.EventOperation
	var same sync.WaitGroup
	var mu sync.Mutex
	for range 8 { // the same key at once
		same.Go(func() {
			res, err := w.replicas[0].events.MoveEvent(w.keyed("move"), act)
			mu.Lock()
			defer mu.Unlock()
			if err != nil || first != nil && first.GetId() != res.GetOperation().GetId() {
				t.Errorf("the move answers %v, %v; before %v", res, err, first)
				return
			}
			first = res.GetOperation()
		})
	}
	same.Wait()
	op := w.completed(first.GetId())
	if op.GetScheduleNumber() != 2 || op.GetTotalTicketCount() != 2 || op.GetDoneTicketCount() != 2 || op.GetMailCount() != 1 ||
		op.GetVisitedPassCount() != 2 || op.GetChangedPassCount() != 2 || op.GetLastError() != "" {
		t.Errorf("the operation ended as %v", op)
	}
	w.wantShown(before, aWeekLater, 2)

	// Who began before pays now; the ticket is of the new schedule from the start.
	w.confirm(open.GetPaymentIntents()[0].GetId())
	if _, err := w.replicas[0].payments.RecordPayment(w.keyed("open"), paid(open)); err != nil {
		t.Fatal(err)
	}
	later := w.waitFor(open.GetId(), "completed", fulfilmentIs(checkoutv1.FulfilmentState_FULFILMENT_STATE_COMPLETED))
	w.wantShown(later, aWeekLater, 2)
	if got := w.admission(before.GetTickets()[0]); got != checkoutv1.Admission_ADMISSION_ADMIT {
		t.Errorf("a ticket of before the move: %v", got)
	}

	m := w.mailTo(server, address, 2)
	if m.Subject != "Neuer Termin für Nachtkonzert" && w.mailTo(server, address, 3).Subject == "Neuer Termin für Nachtkonzert" {
		m = w.mailTo(server, address, 3) // the receipt of the later sale was faster
	}
	if m.Subject != "Neuer Termin für Nachtkonzert" {
		t.Errorf("the subjects are %q", subjectsTo(server, address))
	}
	wantInMail(t, m, "8. März 2027", "19:30", "Deine Tickets bleiben gültig", before.GetId())
	calendar := calendarOf(t, m)
	for _, line := range []string{"UID:" + before.GetId() + "@dayof", "SEQUENCE:2", "DTSTART;TZID=Europe/Berlin:20270308T193000", "METHOD:PUBLISH"} {
		if !strings.Contains(calendar, line+"\r\n") {
			t.Errorf("the calendar file lacks %q:\n%s", line, calendar)
		}
	}
	w.mailTo(server, address, 3)
	for _, m := range server.Messages()[1:] {
		if got := calendarOf(t, m); !strings.Contains(got, "DTSTART;TZID=Europe/Berlin:20270308T193000\r\n") {
			t.Errorf("the calendar file of %q shows another start:\n%s", m.Subject, got)
		}
	}
	w.idle("mail_schedule")
	if got := subjectsTo(server, address); len(got) != 3 {
		t.Errorf("the buyer got %q", got)
	}
}

// TestMoveEventTwice tells a buyer who was not told yet the newest only, and moves back.
func TestMoveEventTwice(t *testing.T) {
	w, server := newMailHarness(t)
	o := w.bought("twice", 1)
	w.mailTo(server, "erika@example.test", 1)
	// The mails of the first move wait until after the second.
	w.exec(`create function hold_mails() returns trigger language plpgsql as $$ begin
		new.scheduled_at = now() + interval '1 hour'; new.state = 'scheduled'; return new; end $$`)
	w.exec(`create trigger hold_mails before insert on river_job for each row when (new.kind = 'mail_schedule') execute function hold_mails()`)
	w.moved(w.event.GetId(), aWeekLater)
	back := w.event.GetStartTime().AsTime()
	w.moved(w.event.GetId(), back)
	w.wantShown(o, back, 3)
	w.exec(`update river_job set state = 'available', scheduled_at = now() where kind = 'mail_schedule'`)
	w.idle("mail_schedule")
	if got := subjectsTo(server, "erika@example.test"); len(got) != 2 {
		t.Errorf("the buyer got %q", got)
	}
	wantInMail(t, w.mailTo(server, "erika@example.test", 2), "1. März 2027", "20:00")
}

// TestMoveEventRefusals lists what a move refuses.
func TestMoveEventRefusals(t *testing.T) {
	w := newHarness(t)
	events := w.replicas[0].events
	_, act := w.preview(w.event.GetId(), aWeekLater)
	end := timestamppb.New(aWeekLater.Add(-time.Hour))
	for name, tc := range map[string]struct {
		change func(r *checkoutv1.MoveEventRequest)
		code   connect.Code
		reason string
	}{
		"unknown event":          {func(r *checkoutv1.MoveEventRequest) { r.EventId = "nosuchevent000000000" }, connect.CodeNotFound, "EVENT_NOT_FOUND"},
		"no token":               {func(r *checkoutv1.MoveEventRequest) { r.ConfirmationToken = "" }, connect.CodeFailedPrecondition, "CONFIRMATION_TOKEN_INVALID"},
		"token of another start": {func(r *checkoutv1.MoveEventRequest) { r.StartTime.Seconds++ }, connect.CodeFailedPrecondition, "CONFIRMATION_TOKEN_INVALID"},
		"changed token":          {func(r *checkoutv1.MoveEventRequest) { r.ConfirmationToken += "A" }, connect.CodeFailedPrecondition, "CONFIRMATION_TOKEN_INVALID"},
		"preview into the past":  {func(r *checkoutv1.MoveEventRequest) { r.Preview, r.StartTime.Seconds = true, 1 }, connect.CodeInvalidArgument, problem.ReasonInvalidField},
		"preview of what is":     {func(r *checkoutv1.MoveEventRequest) { r.Preview, r.StartTime = true, w.event.GetStartTime() }, connect.CodeInvalidArgument, problem.ReasonInvalidField},
		"end before the start":   {func(r *checkoutv1.MoveEventRequest) { r.Preview, r.EndTime = true, end }, connect.CodeInvalidArgument, problem.ReasonInvalidField},
	} {
		req := &checkoutv1.MoveEventRequest{EventId: act.GetEventId(), StartTime: timestamppb.New(aWeekLater), ConfirmationToken: act.GetConfirmationToken()}
		tc.change(req)
		_, err := events.MoveEvent(w.keyed("refused/"+name), req)
		if problem.Code(err) != tc.code || problem.Reason(err) != tc.reason {
			t.Errorf("%s: %v, want %v %s", name, err, tc.code, tc.reason)
		}
	}
	_, err := events.GetEventOperation(t.Context(), &checkoutv1.GetEventOperationRequest{EventOperationId: "nosuchoperation00000"})
	wantProblem(t, err, connect.CodeNotFound, "EVENT_OPERATION_NOT_FOUND")

	w.moved(w.event.GetId(), aWeekLater.Add(time.Hour))
	_, err = events.MoveEvent(w.keyed("late"), act)
	wantProblem(t, err, connect.CodeFailedPrecondition, "EVENT_SCHEDULE_CHANGED")
	_, err = events.MoveEvent(w.keyed("late"), w.move(w.event.GetId(), aWeekLater))
	wantProblem(t, err, connect.CodeFailedPrecondition, "CONFIRMATION_TOKEN_INVALID") // a refused call stores no key
}

// TestMoveEventMeetsSales has a sale that read the schedule before the move commit after it: the move waits for it.
func TestMoveEventMeetsSales(t *testing.T) {
	w := newHarness(t)
	o := w.bought("late", 1)
	w.exec("create table late_tickets as select * from tickets where order_id = $1", o.GetId())
	tx, err := w.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
	// A sale's transaction: it writes first, then reads the schedule, then writes tickets of it.
	if _, err := tx.Exec(t.Context(), "insert into timeline (order_id, time, step) values ($1, now(), 'late')", o.GetId()); err != nil {
		t.Fatal(err)
	}
	_, act := w.preview(w.event.GetId(), aWeekLater)
	res, err := w.replicas[0].events.MoveEvent(w.keyed("move"), act)
	if err != nil {
		t.Fatal(err)
	}
	id := res.GetOperation().GetId()
	w.until("waiting", func() bool { return strings.Contains(w.operation(id).GetLastError(), "waits for transactions") })
	var looked time.Time
	if err := w.pool.QueryRow(t.Context(), "select next_step_time from event_operations where id = $1", id).Scan(&looked); err != nil {
		t.Fatal(err)
	}
	w.until("waiting on", func() bool { // it has looked at least twice more
		return w.count("select count(*) from event_operations where id = $1 and next_step_time > $2::timestamptz + interval '300 milliseconds'", id, looked) == 1
	})
	if got := w.operation(id).GetDoneTicketCount(); got != 0 {
		t.Errorf("%d tickets have the new schedule while a sale may still read the old one", got)
	}
	if _, err := tx.Exec(t.Context(), `insert into tickets select (jsonb_populate_record(l, '{"id": "lateticket0000000000", "position": 2}')).* from late_tickets l`); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if op := w.completed(id); op.GetDoneTicketCount() != 2 {
		t.Errorf("the operation ended as %v", op)
	}
	if n := w.count("select count(*) from tickets where schedule_number = 2"); n != 2 {
		t.Errorf("%d tickets have the new schedule", n)
	}
}

// TestMoveEventMeetsFulfilment moves an event while a call that issues passes with the old time is on its way: it arrives after all
// passes were changed.
func TestMoveEventMeetsFulfilment(t *testing.T) {
	w := newHarness(t)
	held, release := make(chan struct{}), make(chan struct{})
	var later atomic.Bool // than the first call
	w.passes.mu.Lock()
	w.passes.before = func(context.Context) error {
		if !later.Swap(true) {
			close(held)
			<-release // also when nobody waits for it any more
		}
		return nil
	}
	w.passes.mu.Unlock()
	o := w.start("held", 2).GetOrder()
	w.confirm(o.GetPaymentIntents()[0].GetId())
	if _, err := w.replicas[0].payments.RecordPayment(w.keyed("held"), paid(o)); err != nil {
		t.Fatal(err)
	}
	<-held
	_, act := w.preview(w.event.GetId(), aWeekLater)
	res, err := w.replicas[0].events.MoveEvent(w.keyed("move"), act)
	if err != nil {
		t.Fatal(err)
	}
	w.completed(res.GetOperation().GetId())
	close(release)
	o = w.waitFor(o.GetId(), "completed", fulfilmentIs(checkoutv1.FulfilmentState_FULFILMENT_STATE_COMPLETED))
	w.wantShown(o, aWeekLater, 2)
}

// The lock of a page is that of its orders: an event's row is locked by no sale and by no page.
func TestMoveEventLocksNoSale(t *testing.T) {
	w := newHarness(t)
	err := pgx.BeginFunc(t.Context(), w.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), "select from events where id = $1 for no key update", w.event.GetId()); err != nil {
			return err
		}
		w.bought("while locked", 1) // as while a move is being committed
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestMoveEventMeetsASuspension moves an event while an order is being fulfilled, whose payment is disputed before its passes are looked at
// again: the call that makes sure of them must not hide the suspension, which is told later.
func TestMoveEventMeetsASuspension(t *testing.T) {
	w := newHarness(t)
	held, issue, suspend := make(chan struct{}), make(chan struct{}), make(chan struct{})
	var later atomic.Bool
	w.passes.mu.Lock()
	w.passes.before = func(context.Context) error {
		if !later.Swap(true) {
			close(held)
			<-issue
		}
		return nil
	}
	w.passes.beforeSuspend = func() { <-suspend }
	w.passes.mu.Unlock()
	s := w.start("held", 1)
	o := s.GetOrder()
	w.confirm(s.GetPaymentIntentId())
	var payment sync.WaitGroup
	payment.Go(func() {
		if _, err := w.replicas[0].payments.RecordPayment(w.keyed("held"), paid(o)); err != nil {
			t.Error(err)
		}
	})
	<-held
	w.exec(`create function hold_passes() returns trigger language plpgsql as $$ begin new.next_step_time = now() + interval '1 hour'; return new; end $$`)
	w.exec(`create trigger hold_passes before update on event_operations for each row when (new.step = 'passes') execute function hold_passes()`)
	_, act := w.preview(w.event.GetId(), aWeekLater)
	res, err := w.replicas[0].events.MoveEvent(w.keyed("move"), act)
	if err != nil {
		t.Fatal(err)
	}
	w.until("at its passes", func() bool { return w.count("select count(*) from event_operations where step = 'passes'") == 1 })
	close(issue)
	payment.Wait()
	w.waitFor(o.GetId(), "completed", fulfilmentIs(checkoutv1.FulfilmentState_FULFILMENT_STATE_COMPLETED))
	if _, err := w.replicas[0].payments.RecordDispute(w.keyed("dispute"), &checkoutv1.RecordDisputeRequest{
		DisputeId: "du_moved", PaymentIntentId: s.GetPaymentIntentId(), Status: checkoutv1.DisputeStatus_DISPUTE_STATUS_NEEDS_RESPONSE, Amount: o.GetTotal(),
		ObservedTime: timestamppb.New(clock.System{}.Now()),
	}); err != nil {
		t.Fatal(err)
	}
	w.exec("drop trigger hold_passes on event_operations")
	w.exec("update event_operations set next_step_time = now()")
	w.completed(res.GetOperation().GetId())
	close(suspend)
	o = w.order(o.GetId())
	w.until("shown as suspended", func() bool { return w.passes.isSuspended(o.GetTickets()[0].GetId()) })
	w.wantShown(o, aWeekLater, 2)
}
