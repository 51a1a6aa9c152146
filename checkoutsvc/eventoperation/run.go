package eventoperation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/orderstore"
	"github.com/dayof/dayof/checkoutsvc/reviewcase"
	"github.com/dayof/dayof/checkoutsvc/ticketcode"
	"github.com/dayof/dayof/gen/dayof/pass/v1/passv1connect"
	"github.com/dayof/dayof/internal/chassis/backoff"
)

// Runner carries operations on. All exported fields are required.
//
//	fence   note which transactions may have read the schedule before
//	wait    until they have ended: what they sold is visible then, and whoever begins later reads the new schedule
//	orders  page by page, each in one transaction with its cursor: tickets take the schedule's number, mails are queued
//	passes  one batch at passsvc changes the passes of the event; passes of orders that were being fulfilled are issued again
//
// A sale locks nothing of the event for this: the fence stands in for a lock on a row that all sales of an event would share.
type Runner struct {
	Orders *orderstore.Store
	Passes passv1connect.PassServiceClient
	Codes  ticketcode.Keys
	Logger *slog.Logger

	q checkoutdb.Queries
}

// The steps of an operation.
const (
	stepFence  = "fence"
	stepWait   = "wait"
	stepOrders = "orders"
	stepPasses = "passes"
)

const (
	// orderPageSize is how many orders change in one transaction. Sales of these orders wait for it.
	orderPageSize = 200
	// pageTimeout bounds the transaction of a page, whose orders or variants somebody else may have locked.
	pageTimeout = 10 * time.Second
	// failuresBeforeSkip is how often a page fails before its orders are tried one by one, and one that fails alone is left to a person.
	failuresBeforeSkip = 4
	// stepsMax bounds one round: 20 million orders.
	stepsMax = 100_000
)

// caseAction is what a person does about an order that could not take its event's new schedule.
const caseAction = "The order's tickets do not show that the event was moved or canceled. Mend what the error names, then move the event again, or tell the buyer."

// Run carries on all operations that are due. Every replica does this; the lock of an operation's row keeps them from doing the same
// work. A step that fails is tried again later, and keeps no other operation waiting.
func (r *Runner) Run(ctx context.Context) error {
	for range stepsMax {
		op, err := r.step(ctx)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err == nil && op.Step == stepPasses {
			err = r.changePasses(ctx, op)
		}
		if err == nil {
			continue
		}
		if ctx.Err() != nil || op.ID == "" {
			return err
		}
		r.Logger.LogAttrs(ctx, slog.LevelWarn, "step of event operation failed", slog.String("event_operation_id", op.ID),
			slog.String("step", op.Step), slog.Any("error", err))
		if err := r.recover(ctx, op, err); err != nil {
			return err
		}
	}
	return nil
}

// step makes one step of the operation that is due. That of stepPasses calls passsvc, so here it is only leased.
func (r *Runner) step(ctx context.Context) (op checkoutdb.EventOperation, err error) {
	err = r.inPage(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if op, err = r.q.LockDueEventOperation(ctx, tx); err != nil {
			return fmt.Errorf("lock event operation: %w", err)
		}
		switch op.Step {
		case stepFence:
			return r.q.SetOperationFence(ctx, tx, op.ID)
		case stepWait:
			return r.q.PassOperationFence(ctx, tx, op.ID)
		case stepOrders:
			return r.changeOrders(ctx, tx, op, orderPageSize)
		case stepPasses:
			return r.q.LeaseEventOperation(ctx, tx, op.ID, passLease.Seconds())
		}
		return fmt.Errorf("there is no step %q", op.Step)
	})
	return op, err
}

// inPage runs f in one transaction. A panic is an error, so that one operation keeps no other from going on.
func (r *Runner) inPage(ctx context.Context, f func(ctx context.Context, tx pgx.Tx) error) (err error) {
	ctx, cancel := context.WithTimeout(ctx, pageTimeout)
	defer cancel()
	defer func() {
		if value := recover(); value != nil {
			err = fmt.Errorf("panic: %v\n%s", value, debug.Stack())
		}
	}()
	return pgx.BeginFunc(ctx, r.Orders.Pool, func(tx pgx.Tx) error { return f(ctx, tx) })
}

// changeOrders has the next orders take the schedule, and moves the cursor behind them. Idempotent: tickets that have its number change
// nothing.
func (r *Runner) changeOrders(ctx context.Context, tx pgx.Tx, op checkoutdb.EventOperation, size int32) error {
	orders, err := r.q.LockEventOrders(ctx, tx, op.EventID, op.AfterCreateTime, op.AfterOrderID, size)
	if err != nil {
		return fmt.Errorf("lock orders: %w", err)
	}
	next := checkoutdb.AdvanceOperationOrdersParams{
		ID: op.ID, AfterCreateTime: op.AfterCreateTime, AfterOrderID: op.AfterOrderID, Step: stepOrders,
	}
	if len(orders) < int(size) {
		next.Step = stepPasses
	}
	ids := make([]string, len(orders))
	for i, o := range orders {
		ids[i], next.AfterCreateTime, next.AfterOrderID = o.ID, o.CreateTime, o.ID
	}
	tickets, err := r.q.SetTicketSchedules(ctx, tx, op.ScheduleNumber, ids)
	if err != nil {
		return fmt.Errorf("set schedules of tickets: %w", err)
	}
	var mails []orderstore.Task
	var issued []string // again
	seen := map[string]bool{}
	for _, t := range tickets {
		if t.PassSerial == "" {
			issued = append(issued, t.OrderID)
		}
		if !seen[t.OrderID] {
			seen[t.OrderID] = true
			mails = append(mails, orderstore.Task{OrderID: t.OrderID, Work: order.Work{Kind: order.WorkMailSchedule, ID: strconv.Itoa(int(op.ScheduleNumber))}})
		}
	}
	next.TicketCount, next.MailCount = int64(len(tickets)), int64(len(mails))
	if len(issued) > 0 {
		if err := r.q.InsertOperationOrders(ctx, tx, op.ID, issued); err != nil {
			return fmt.Errorf("note orders to issue again: %w", err)
		}
	}
	if err := r.q.AdvanceOperationOrders(ctx, tx, next); err != nil {
		return fmt.Errorf("advance event operation: %w", err)
	}
	if err := r.Orders.Enqueue(ctx, tx, mails...); err != nil {
		return err
	}
	if op.Kind != kindCancel || len(ids) == 0 {
		return nil
	}
	return r.Orders.ObserveAllTx(ctx, tx, ids, order.EventCanceled{Time: op.CreateTime})
}

// recover decides what comes after a step that failed: the same one later, or, where orders have failed for long, the next order alone.
// One that fails alone is passed over with a review case.
func (r *Runner) recover(ctx context.Context, op checkoutdb.EventOperation, cause error) error {
	if op.Step == stepOrders && op.FailureCount >= failuresBeforeSkip {
		err := r.inPage(ctx, func(ctx context.Context, tx pgx.Tx) error { return r.oneOrder(ctx, tx, op.ID, r.changeOrders) })
		if err == nil {
			return nil
		}
		cause = err
		err = r.inPage(ctx, func(ctx context.Context, tx pgx.Tx) error {
			return r.oneOrder(ctx, tx, op.ID, func(ctx context.Context, tx pgx.Tx, op checkoutdb.EventOperation, _ int32) error {
				return r.skipOrder(ctx, tx, op, cause)
			})
		})
		if err == nil {
			return nil
		}
	}
	wait := backoff.Full(time.Second, time.Minute).Delay(int(op.FailureCount) + 1)
	if err := r.q.PostponeEventOperation(ctx, r.Orders.Pool, op.ID, publicError(cause), wait.Seconds()); err != nil {
		return fmt.Errorf("postpone event operation: %w", err)
	}
	return nil
}

// oneOrder makes a step of one order, if nobody else did meanwhile.
func (r *Runner) oneOrder(
	ctx context.Context, tx pgx.Tx, id string, do func(ctx context.Context, tx pgx.Tx, op checkoutdb.EventOperation, size int32) error,
) error {
	op, err := r.q.LockEventOperation(ctx, tx, id)
	if err != nil {
		return fmt.Errorf("lock event operation: %w", err)
	}
	if op.State != stateRunning || op.Step != stepOrders {
		return nil
	}
	return do(ctx, tx, op, 1)
}

// skipOrder leaves the next order to a person.
func (r *Runner) skipOrder(ctx context.Context, tx pgx.Tx, op checkoutdb.EventOperation, cause error) error {
	orders, err := r.q.LockEventOrders(ctx, tx, op.EventID, op.AfterCreateTime, op.AfterOrderID, 1)
	if err != nil || len(orders) == 0 {
		return errors.Join(err, errors.New("no order is to blame"))
	}
	skipped := orders[0]
	_, err = reviewcase.Raise(ctx, tx, r.Orders.Policy.NewID(), r.Orders.Clock.Now(), skipped.ID, order.ReviewCase{
		Kind: order.CaseScheduleFailed, Subject: op.ID + "/" + skipped.ID,
		Facts: map[string]string{"event_operation_id": op.ID, "error": cause.Error()}, Action: caseAction,
	})
	if err != nil {
		return err
	}
	return r.q.AdvanceOperationOrders(ctx, tx, checkoutdb.AdvanceOperationOrdersParams{
		ID: op.ID, AfterCreateTime: skipped.CreateTime, AfterOrderID: skipped.ID, Step: stepOrders, FailedCount: 1,
		LastError: "order " + skipped.ID + " was passed over, see its review case",
	})
}
