package refund

import (
	"context"
	"errors"
	"time"

	"github.com/riverqueue/river"

	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/orderstore"
	"github.com/dayof/dayof/internal/chassis/jobs"
)

// MatchRefundsArgs names an intent of which more went back than its known refunds come to.
type MatchRefundsArgs struct {
	OrderID string `json:"order_id"`
	// PaymentIntentRow is the intent's id of ours.
	PaymentIntentRow string `json:"payment_intent_row"`
}

// Kind implements river.JobArgs.
func (MatchRefundsArgs) Kind() string { return string(order.WorkMatchRefunds) }

const (
	// matchWaitMin is the first pause before Stripe is asked again for the refunds behind a sum. Each is a quarter of the
	// time that the sum has waited, so that an hour takes about twenty questions.
	matchWaitMin = 10 * time.Second
	// matchWaitMax is for how long Stripe is asked before a person is.
	matchWaitMax = time.Hour
)

// MatchRefunds asks Stripe for the refunds behind a sum until they explain it. After an hour it is left to a person; a refund
// that is reported after that is matched all the same.
//
// Idempotent: the second time nothing changes.
func (r *Refunds) MatchRefunds(ctx context.Context, job *river.Job[MatchRefundsArgs]) error {
	o, err := r.Orders.Read(ctx, orderstore.Key{ID: job.Args.OrderID})
	if err != nil {
		return err
	}
	p := o.IntentByID(job.Args.PaymentIntentRow)
	if p == nil {
		return jobs.Cancel(errors.New("the order has no such payment intent"))
	}
	if o.UnmatchedRefund(p.StripeID) == nil {
		return nil
	}
	waited := r.Orders.Clock.Now().Sub(job.CreatedAt)
	if err := r.fetch(ctx, order.IntentRef{Account: p.StripeAccount, IntentID: p.StripeID}, waited >= matchWaitMax); err != nil {
		return err
	}
	if o, err = r.Orders.Read(ctx, orderstore.Key{ID: o.ID}); err != nil {
		return err
	}
	if o.UnmatchedRefund(p.StripeID) == nil || waited >= matchWaitMax {
		return nil
	}
	return jobs.Snooze(max(matchWaitMin, waited/4))
}
