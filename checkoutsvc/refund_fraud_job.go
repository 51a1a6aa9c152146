package checkoutsvc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	"github.com/dayof/dayof/internal/chassis/jobs"
)

// refundFraudArgs names a fraud warning on which unused tickets go back, where the setting says so.
type refundFraudArgs struct {
	FraudWarningID string `json:"fraud_warning_id"`
}

// Kind implements river.JobArgs.
func (refundFraudArgs) Kind() string { return "refund_fraud" }

const (
	// fraudWait is the pause before an order is looked at again whose walk has not ended.
	fraudWait = 2 * time.Second
	// fraudWaitMax is for how long; a person has the review case then.
	fraudWaitMax = time.Hour
)

// refundFraud refunds what is not used yet, before the event begins. It decides by what is known when it runs: a warning
// that can no longer be acted on, a dispute, an event that began, tickets that were used or refunded meanwhile leave it
// to a person. Twice: the refund is there.
func (s *Service) refundFraud(ctx context.Context, job *river.Job[refundFraudArgs]) error {
	var wait bool
	warning, err := s.q.GetFraudWarning(ctx, s.Pool, job.Args.FraudWarningID)
	if errors.Is(err, pgx.ErrNoRows) {
		return jobs.Cancel(errors.New("there is no such fraud warning"))
	}
	if err != nil {
		return fmt.Errorf("get fraud warning: %w", err)
	}
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		o, err := lockOrderForUpdate(ctx, tx, orderKey{ID: warning.OrderID})
		if err != nil {
			return err
		}
		// Read again under the lock: what changed meanwhile counts.
		if warning, err = s.q.GetFraudWarning(ctx, tx, warning.ID); err != nil {
			return fmt.Errorf("get fraud warning: %w", err)
		}
		event, err := s.q.GetEvent(ctx, tx, o.EventID)
		if err != nil {
			return fmt.Errorf("get event: %w", err)
		}
		if wait = !o.settled(); wait || !o.refundsFraud(warning, event, s.Clock.Now()) {
			return nil
		}
		return s.insertFraudRefund(ctx, tx, o)
	})
	if err == nil && wait && s.Clock.Now().Sub(job.CreatedAt) < fraudWaitMax {
		return jobs.Snooze(fraudWait)
	}
	return err
}

// refundsFraud says whether a warning still calls for a refund by itself.
func (o *order) refundsFraud(warning checkoutdb.FraudWarning, event checkoutdb.Event, now time.Time) bool {
	return warning.Actionable && o.Fulfilment == fulfilmentCompleted && deref(o.PayingIntent) == warning.PaymentIntent &&
		now.Before(event.StartTime) && len(o.Disputes) == 0 && o.refundable() > 0 &&
		!slices.ContainsFunc(o.Refunds, func(r checkoutdb.Refund) bool { return r.Reason == refundFraud })
}

// insertFraudRefund writes the refund of all tickets that are neither used nor void, and the job that makes it. When all
// of the order's tickets are among them, everything that is left goes back.
func (s *Service) insertFraudRefund(ctx context.Context, tx pgx.Tx, o *order) error {
	var ids []string
	var amount int64
	for _, t := range o.Tickets {
		if t.State != ticketValid && t.State != ticketSuspended {
			continue
		}
		snap, err := readSnapshot(t)
		if err != nil {
			return err
		}
		ids, amount = append(ids, t.ID), amount+snap.PriceMinorUnits
	}
	if len(ids) == 0 {
		return nil
	}
	if len(ids) == len(o.Tickets) || amount > o.refundable() {
		amount = o.refundable()
	}
	fee, taxes, err := o.refundShares(amount, s.Config.RefundApplicationFee)
	if err != nil {
		return err
	}
	w := s.newWrites(o)
	w.insertRefund(ctx, checkoutdb.Refund{
		ID: newID(), OrderID: o.ID, PaymentIntent: *o.PayingIntent, AmountMinorUnits: amount, ApplicationFeeMinorUnits: fee,
		Taxes: writeTaxes(taxes), Currency: o.Currency, State: refundRequested, Reason: refundFraud, TicketIds: ids, CreateTime: w.now,
	})
	r := o.Refunds[len(o.Refunds)-1]
	w.note(ctx, "refund_requested", r.ID)
	w.settleTickets(ctx)
	w.enqueue(sendRefundArgs{RefundID: r.ID})
	return w.flush(ctx, tx)
}
