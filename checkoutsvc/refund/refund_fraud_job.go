package refund

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/orderstore"
	"github.com/dayof/dayof/internal/chassis/jobs"
)

// FraudArgs names a fraud warning on which unused tickets go back, where the setting says so.
type FraudArgs struct {
	FraudWarningID string `json:"fraud_warning_id"`
}

// Kind implements river.JobArgs.
func (FraudArgs) Kind() string { return string(order.WorkRefundFraud) }

const (
	// fraudWait is the pause before an order is read again whose fulfilment has not ended.
	fraudWait = 2 * time.Second
	// fraudWaitMax is for how long; a person has the review case then.
	fraudWaitMax = time.Hour
)

// RefundFraud refunds what is not used yet, before the event begins, once the order's fulfilment has ended.
//
// Idempotent: the second time the refund is there.
func (r *Refunds) RefundFraud(ctx context.Context, job *river.Job[FraudArgs]) error {
	orderID, err := r.q.FindOrderOfFraudWarning(ctx, r.Orders.Pool, job.Args.FraudWarningID)
	if errors.Is(err, pgx.ErrNoRows) {
		return jobs.Cancel(errors.New("there is no such fraud warning"))
	}
	if err != nil {
		return fmt.Errorf("find order of fraud warning: %w", err)
	}
	o, err := r.Orders.Read(ctx, orderstore.Key{ID: orderID})
	if err != nil {
		return err
	}
	if !o.Settled() {
		if r.Orders.Clock.Now().Sub(job.CreatedAt) < fraudWaitMax {
			return jobs.Snooze(fraudWait)
		}
		return nil
	}
	event, err := r.q.GetEvent(ctx, r.Orders.Pool, o.EventID)
	if err != nil {
		return fmt.Errorf("get event: %w", err)
	}
	_, _, err = r.Orders.Observe(ctx, orderstore.Key{ID: orderID}, nil,
		order.FraudRefundDue{WarningID: job.Args.FraudWarningID, EventStartTime: event.Event.StartTime})
	return err
}
