package checkoutsvc_test

import (
	"context"
	"testing"
	"time"

	"connectrpc.com/connect"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
)

// TestPauseEventOperation pauses, resumes and cancels.
func TestPauseEventOperation(t *testing.T) {
	w := newHarness(t)
	events := w.replicas[0].events
	o := w.bought("paused", 1)
	tx, err := w.pool.Begin(t.Context()) // while it is open, no operation goes on
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
	if _, err := tx.Exec(t.Context(), "select pg_current_xact_id()"); err != nil {
		t.Fatal(err)
	}
	_, act := w.preview(w.event.GetId(), aWeekLater)
	res, err := events.MoveEvent(w.keyed("move"), act)
	if err != nil {
		t.Fatal(err)
	}
	id := res.GetOperation().GetId()
	if _, err := events.PauseEventOperation(w.keyed("pause"), &checkoutv1.PauseEventOperationRequest{EventOperationId: id}); err != nil {
		t.Fatal(err)
	}
	preview := w.move(w.event.GetId(), aWeekLater.Add(time.Hour))
	preview.Preview = true
	_, err = events.MoveEvent(w.keyed("second"), preview)
	wantProblem(t, err, connect.CodeFailedPrecondition, "EVENT_OPERATION_UNDER_WAY")
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := w.replicas[0].service.RunEventOperations(t.Context()); err != nil {
		t.Fatal(err)
	}
	if op := w.operation(id); op.GetDoneTicketCount() != 0 || op.GetState() != checkoutv1.EventOperationState_EVENT_OPERATION_STATE_PAUSED {
		t.Errorf("a paused operation went on: %v", op)
	}
	if _, err := events.ResumeEventOperation(w.keyed("resume"), &checkoutv1.ResumeEventOperationRequest{EventOperationId: id}); err != nil {
		t.Fatal(err)
	}
	w.completed(id)
	w.wantShown(o, aWeekLater, 2)
	_, err = events.CancelEventOperation(w.keyed("ended"), &checkoutv1.CancelEventOperationRequest{EventOperationId: id})
	wantProblem(t, err, connect.CodeFailedPrecondition, "EVENT_OPERATION_ENDED")

	// One that ends before it began leaves what was sold as it was; the next brings it along.
	w.exec(`create function hold_operation() returns trigger language plpgsql as $$ begin new.next_step_time = now() + interval '1 hour'; return new; end $$`)
	w.exec(`create trigger hold_operation before insert on event_operations for each row execute function hold_operation()`)
	_, act = w.preview(w.event.GetId(), aWeekLater.Add(time.Hour))
	if res, err = events.MoveEvent(w.keyed("third"), act); err != nil {
		t.Fatal(err)
	}
	if _, err := events.CancelEventOperation(w.keyed("cancel"), &checkoutv1.CancelEventOperationRequest{EventOperationId: res.GetOperation().GetId()}); err != nil {
		t.Fatal(err)
	}
	w.wantShown(o, aWeekLater, 2)
	w.exec("drop trigger hold_operation on event_operations")
	w.moved(w.event.GetId(), aWeekLater)
	w.wantShown(o, aWeekLater, 4)
	list, err := events.ListEventOperations(t.Context(), &checkoutv1.ListEventOperationsRequest{EventId: w.event.GetId(), PageSize: 2})
	if err != nil || len(list.GetOperations()) != 2 || list.GetNextPageToken() == "" {
		t.Fatalf("the first page is %v, %v", list, err)
	}
	list, err = events.ListEventOperations(t.Context(), &checkoutv1.ListEventOperationsRequest{EventId: w.event.GetId(), PageSize: 2, PageToken: list.GetNextPageToken()})
	if err != nil || len(list.GetOperations()) != 1 || list.GetNextPageToken() != "" {
		t.Errorf("the second page is %v, %v", list, err)
	}
}

// TestMoveEventPages moves an event with more orders than a page has, on two replicas, with an order that nobody can change.
func TestMoveEventPages(t *testing.T) {
	w := newHarness(t)
	w.addReplica()
	o := w.bought("first", 1)
	w.exec(`create table copies as select 'order' || to_char(i, 'FM000000000000000') as id, i from generate_series(1, 450) i`)
	for _, table := range []string{"orders", "tickets", "holds"} {
		w.exec(copyOrders[table], o.GetId())
	}
	w.exec(`create function refuse_order() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$`)
	w.exec(`create trigger refuse_order before update on tickets for each row when (new.order_id = 'order000000000000300') execute function refuse_order()`)
	w.exec(`create function hurry() returns trigger language plpgsql as $$ begin
		if new.failure_count > 0 then new.next_step_time = now(); end if; return new; end $$`) // without the backoff
	w.exec(`create trigger hurry before update on event_operations for each row execute function hurry()`)
	op := w.moved(w.event.GetId(), aWeekLater)
	if op.GetDoneTicketCount() != 450 || op.GetFailedOrderCount() != 1 {
		t.Errorf("the operation ended as %v", op)
	}
	if n := w.count("select count(*) from tickets where schedule_number = 2"); n != 450 {
		t.Errorf("%d tickets have the new schedule", n)
	}
	if got := w.items("order000000000000300"); len(got) != 1 || got[0] != "schedule_failed" {
		t.Errorf("review cases of the order that cannot be changed: %v", got)
	}
	w.wantShown(o, aWeekLater, 2)
}

// copyOrders are statements that copy the rows of an order, $1, to the ids of the table copies.
var copyOrders = map[string]string{
	"orders":  `insert into orders select (jsonb_populate_record(o, jsonb_build_object('id', c.id, 'paying_intent', 'pi_' || c.id))).* from orders o, copies c where o.id = $1`,
	"tickets": `insert into tickets select (jsonb_populate_record(t, jsonb_build_object('id', 'ticket' || c.id, 'order_id', c.id))).* from tickets t, copies c where t.order_id = $1`,
	"holds":   `insert into holds select (jsonb_populate_record(h, jsonb_build_object('order_id', c.id))).* from holds h, copies c where h.order_id = $1`,
}
