package eventoperation

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/orderstore"
	"github.com/dayof/dayof/checkoutsvc/ticketpass"
	"github.com/dayof/dayof/checkoutsvc/wire"
	passv1 "github.com/dayof/dayof/gen/dayof/pass/v1"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

const (
	// passLease is for how long one replica has the calls of a step to itself. They may be made twice all the same.
	passLease = 10 * time.Second
	// passTimeout ends the calls of a step, before somebody else makes them.
	passTimeout = 8 * time.Second
	// batchPause is the time between two looks at passsvc's batch.
	batchPause = time.Second
)

// changePasses has the passes show the schedule: those of orders that were being fulfilled are issued again with their tickets' new
// change numbers, and passsvc's batch changes all others. The batch begins after all tickets took the schedule, so that a pass which
// is made later is made by a call that knows it.
//
// Idempotent: passsvc changes no pass that shows the schedule, and lets no older one replace it.
func (r *Runner) changePasses(ctx context.Context, op checkoutdb.EventOperation) error {
	ctx, cancel := context.WithTimeout(ctx, passTimeout)
	defer cancel()
	waiting, issueErr := r.issueAgain(ctx, op)
	batch, err := r.followBatch(ctx, op)
	if err = errors.Join(issueErr, err); err != nil {
		return err
	}
	switch {
	case batch.GetState() == passv1.PassBatchState_PASS_BATCH_STATE_CANCELED: // by somebody at passsvc
		return r.newRun(ctx, op)
	case batch.GetState() == passv1.PassBatchState_PASS_BATCH_STATE_DONE && !waiting:
		_, err := r.q.CompleteEventOperation(ctx, r.Orders.Pool, checkoutdb.CompleteEventOperationParams{
			ID: op.ID, PassRun: op.PassRun, FinishTime: r.Orders.Clock.Now(), Visited: batch.GetVisitedPassCount(),
			Changed: batch.GetChangedPassCount(), Pushed: batch.GetPushedCount(),
		})
		if err != nil {
			return fmt.Errorf("complete event operation: %w", err)
		}
		return nil
	}
	wait := batchPause
	if waiting {
		wait = 0
	}
	noted, err := r.q.SetOperationBatch(ctx, r.Orders.Pool, checkoutdb.SetOperationBatchParams{
		ID: op.ID, PassRun: op.PassRun, PassBatchID: batch.GetId(), Visited: batch.GetVisitedPassCount(),
		Changed: batch.GetChangedPassCount(), Pushed: batch.GetPushedCount(), WaitSeconds: wait.Seconds(),
	})
	if err != nil {
		return fmt.Errorf("note batch of passes: %w", err)
	}
	if noted == 0 { // paused or canceled meanwhile
		return stopBatch(ctx, r.Passes, op.ID, batch.GetId())
	}
	return nil
}

// issueAgain issues passes of orders that were being fulfilled, and says whether there are more.
func (r *Runner) issueAgain(ctx context.Context, op checkoutdb.EventOperation) (more bool, err error) {
	ids, err := r.q.ListOperationOrders(ctx, r.Orders.Pool, op.ID)
	if err != nil {
		return false, fmt.Errorf("list orders to issue again: %w", err)
	}
	for _, id := range ids {
		if err := r.issueOrder(ctx, id); err != nil {
			return true, fmt.Errorf("order %s: %w", id, err)
		}
		if err := r.q.DeleteOperationOrder(ctx, r.Orders.Pool, op.ID, id); err != nil {
			return true, fmt.Errorf("note issued order: %w", err)
		}
	}
	return len(ids) == orderIssueMax, nil
}

// orderIssueMax is the page of ListOperationOrders.
const orderIssueMax = 100

// issueOrder issues the passes of an order's tickets that are not void, as its fulfilment does, so that the batch that comes next finds
// them. They have the number of a ticket that nothing happened to: a job that has to tell of a suspension comes later with a larger one. The
// pass of a void ticket is VoidPass's affair.
func (r *Runner) issueOrder(ctx context.Context, orderID string) error {
	o, err := r.Orders.Read(ctx, orderstore.Key{ID: orderID})
	if err != nil {
		return err
	}
	req := &passv1.IssuePassesRequest{OrderId: o.ID}
	for _, t := range o.Tickets {
		if t.State == order.TicketVoid {
			continue
		}
		content, err := ticketpass.Content(&o, t, r.Codes)
		if err != nil {
			return err
		}
		req.Passes = append(req.Passes, content)
	}
	if len(req.GetPasses()) == 0 {
		return nil
	}
	key, err := ticketpass.IssueKey(fmt.Sprintf("order/%s/issue-schedule/%d", o.ID, o.Schedule.Number), req)
	if err != nil {
		return err
	}
	if _, err := r.Passes.IssuePasses(rpc.WithIdempotencyKey(ctx, key), req); err != nil {
		return fmt.Errorf("issue passes again: %w", err)
	}
	return nil
}

// followBatch asks for the batch that changes the event's passes, or how far it is.
func (r *Runner) followBatch(ctx context.Context, op checkoutdb.EventOperation) (*passv1.PassBatch, error) {
	if op.PassBatchID != "" {
		res, err := r.Passes.GetPassBatch(ctx, &passv1.GetPassBatchRequest{PassBatchId: op.PassBatchID})
		if err != nil {
			return nil, fmt.Errorf("get batch of passes: %w", err)
		}
		return res.GetBatch(), nil
	}
	row, err := r.q.GetEvent(ctx, r.Orders.Pool, op.EventID)
	if err != nil {
		return nil, noEvent(err)
	}
	event := row.Event
	req := &passv1.BatchUpdatePassesRequest{EventId: event.ID, Event: passEvent(event)}
	// The event's other facts may change between two calls; another text is another call, and does no harm.
	key, err := ticketpass.CallKey(fmt.Sprintf("event-operation/%s/change-passes/%d", op.ID, op.PassRun), req)
	if err != nil {
		return nil, err
	}
	res, err := r.Passes.BatchUpdatePasses(rpc.WithIdempotencyKey(ctx, key), req)
	if problem.Is(err, passv1.Reason_REASON_EVENT_HAS_NO_PASSES) {
		return &passv1.PassBatch{State: passv1.PassBatchState_PASS_BATCH_STATE_DONE}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("change passes: %w", err)
	}
	return res.GetBatch(), nil
}

// newRun has another batch change the passes.
func (r *Runner) newRun(ctx context.Context, op checkoutdb.EventOperation) error {
	if err := r.q.RenewOperationBatch(ctx, r.Orders.Pool, op.ID, op.PassRun); err != nil {
		return fmt.Errorf("renew batch of passes: %w", err)
	}
	return nil
}

func passEvent(e checkoutdb.Event) *passv1.PassEvent {
	return &passv1.PassEvent{
		Id: e.ID, Name: e.Name, VenueName: e.VenueName, VenueAddress: e.VenueAddress, TimeZone: e.TimeZone, Latitude: e.Latitude,
		Longitude: e.Longitude, DoorsTime: wire.TimeToProto(e.DoorsTime), StartTime: timestamppb.New(e.StartTime),
		EndTime: timestamppb.New(e.EndTime), ScheduleNumber: int64(e.ScheduleNumber), Canceled: e.CancelTime != nil,
	}
}

// publicError is a failure in words that staff may read: codes and reasons, no internals.
func publicError(err error) string {
	if d, ok := errors.AsType[*problem.Downstream](err); ok {
		return strings.TrimSpace("passsvc: " + d.Code().String() + " " + d.Reason())
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "the step ran out of time"
	}
	return "the step failed, see the log"
}
