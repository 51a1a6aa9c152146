package refund

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/riverqueue/river"
	stripe "github.com/stripe/stripe-go/v76"

	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/orderstore"
	"github.com/dayof/dayof/checkoutsvc/stripecalls"
	"github.com/dayof/dayof/internal/chassis/crash"
	"github.com/dayof/dayof/internal/chassis/jobs"
	"github.com/dayof/dayof/internal/chassis/stripeapi"
)

// SendRefundArgs names a refund that Stripe shall make.
type SendRefundArgs struct {
	RefundID string `json:"refund_id"`
}

// Kind implements river.JobArgs.
func (SendRefundArgs) Kind() string { return string(order.WorkSendRefund) }

const (
	// stripeKeyLifetime is for how long a repeat with the same key surely returns the first answer, an hour less than
	// Stripe promises.
	stripeKeyLifetime = 23 * time.Hour
	// listLag is how far Stripe's lists may be behind its answers.
	listLag = 30 * time.Second
	// delayMin and delayMax bound the pause before Stripe is asked again for what it refused. Between them it is a quarter of
	// the time that the refund has waited.
	delayMin, delayMax = 10 * time.Second, 6 * time.Hour
)

// SendRefund asks Stripe for a refund whose row exists and has the order observe the answer, until the refund is made or ends. It
// does not give up by itself. Idempotent: a repeat within a day is the same refund by its key; before another key is used,
// Stripe's refunds are searched for the row's id.
func (r *Refunds) SendRefund(ctx context.Context, job *river.Job[SendRefundArgs]) error {
	o, wanted, p, err := r.Orders.ReadRefund(ctx, job.Args.RefundID)
	if err != nil {
		return err
	}
	if wanted.StripeRefundID != "" || wanted.State != order.RefundRequested {
		return nil
	}
	age := r.Orders.Clock.Now().Sub(wanted.Began())
	if age > stripeKeyLifetime {
		return r.searchBeforeNextKey(ctx, &o, p, wanted)
	}
	made, err := r.Stripe.CreateRefund(ctx, p.StripeAccount, o.ID, wanted)
	switch {
	case err == nil:
		crash.At(crash.CheckoutRefundSent)
		_, err = r.Observe(ctx, stripecalls.ObservedRefund(made, p.StripeAccount), nil)
		return err
	case stripeapi.Stored(err):
		// Stripe keeps its failure under this key. Whether it made the refund is for its list to say, once that is surely complete.
		if age < listLag {
			return jobs.Snooze(listLag - age)
		}
		return r.searchBeforeNextKey(ctx, &o, p, wanted)
	case stripeapi.Away(err):
		return fmt.Errorf("create refund: %w", err)
	}
	return r.refused(ctx, &o, p, wanted, err)
}

// searchBeforeNextKey searches for the refund that the latest attempt may have made, and begins the next one if there is none.
func (r *Refunds) searchBeforeNextKey(ctx context.Context, o *order.Order, p *order.PaymentIntent, wanted *order.Refund) error {
	made, err := r.find(ctx, p, wanted)
	if err != nil {
		return err
	}
	if made != nil {
		_, err = r.Observe(ctx, stripecalls.ObservedRefund(made, p.StripeAccount), nil)
		return err
	}
	lost := order.RefundAttemptLost{RefundID: wanted.ID, Attempt: wanted.Attempt}
	if _, _, err = r.Orders.Observe(ctx, orderstore.Key{ID: o.ID}, nil, lost); err != nil {
		return err
	}
	return jobs.Snooze(time.Second)
}

// refused has the order observe that Stripe does not make a refund, after the refunds that Stripe has: this one may be among
// them, or others may be why. Stripe is asked again for what the order still waits for.
func (r *Refunds) refused(ctx context.Context, o *order.Order, p *order.PaymentIntent, wanted *order.Refund, refusal error) error {
	if err := r.Fetch(ctx, order.IntentRef{Account: p.StripeAccount, IntentID: p.StripeID}); err != nil {
		return err
	}
	code := stripecalls.CodeOf(refusal)
	fact := order.Fact(order.RefundRefused{RefundID: wanted.ID, Attempt: wanted.Attempt, Code: code})
	if stripecalls.Passes(refusal) {
		fact = order.RefundDelayed{RefundID: wanted.ID, Attempt: wanted.Attempt, Code: code}
	}
	after, _, err := r.Orders.Observe(ctx, orderstore.Key{ID: o.ID}, nil, fact)
	if err != nil {
		return err
	}
	now := after.Refund(wanted.ID)
	if now.StripeRefundID != "" || now.State != order.RefundRequested {
		return nil
	}
	if now.AmountMinorUnits < wanted.AmountMinorUnits {
		return jobs.Snooze(time.Second) // less was left than was asked for
	}
	waited := r.Orders.Clock.Now().Sub(wanted.CreateTime)
	return jobs.Snooze(min(max(waited/4, delayMin), delayMax))
}

// find searches Stripe's refunds of the intent for the row's id; nil if there is none.
func (r *Refunds) find(ctx context.Context, p *order.PaymentIntent, wanted *order.Refund) (*stripe.Refund, error) {
	refunds, err := r.Stripe.ListRefunds(ctx, p.StripeAccount, wanted.PaymentIntent)
	if err != nil {
		return nil, fmt.Errorf("list refunds: %w", err)
	}
	i := slices.IndexFunc(refunds, func(made *stripe.Refund) bool { return made.Metadata["refund_id"] == wanted.ID })
	if i < 0 {
		return nil, nil //nolint:nilnil // none is an answer
	}
	return refunds[i], nil
}
