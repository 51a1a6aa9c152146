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
	"github.com/dayof/dayof/internal/chassis/stripeapi"
)

// SendRefundArgs names a refund that Stripe shall make.
type SendRefundArgs struct {
	RefundID string `json:"refund_id"`
}

// Kind implements river.JobArgs.
func (SendRefundArgs) Kind() string { return string(order.WorkSendRefund) }

// stripeKeyLifetime is for how long a repeat with the same key surely returns the first answer, an hour less than
// Stripe promises.
const stripeKeyLifetime = 23 * time.Hour

// SendRefund asks Stripe for a refund whose row exists and has the order observe the answer. Idempotent: a repeat within a
// day is the same refund by its key; later, Stripe's refunds are searched for the row's id first.
func (r *Refunds) SendRefund(ctx context.Context, job *river.Job[SendRefundArgs]) error {
	o, wanted, p, err := r.Orders.ReadRefund(ctx, job.Args.RefundID)
	if err != nil {
		return err
	}
	if wanted.StripeRefundID != "" {
		return nil
	}
	var made *stripe.Refund
	if r.Orders.Clock.Now().Sub(wanted.CreateTime) > stripeKeyLifetime {
		if made, err = r.find(ctx, p, wanted); err != nil {
			return err
		}
	}
	if made == nil {
		made, err = r.Stripe.CreateRefund(ctx, p.StripeAccount, o.ID, wanted)
		if err != nil && !stripeapi.Away(err) {
			// Stripe refuses: perhaps because this very refund exists, else for good.
			found, findErr := r.find(ctx, p, wanted)
			if findErr != nil {
				return findErr
			}
			if found == nil {
				return r.refused(ctx, &o, p, wanted, err)
			}
			made, err = found, nil
		}
		if err != nil {
			return fmt.Errorf("create refund: %w", err)
		}
	}
	crash.At(crash.CheckoutRefundSent)
	_, err = r.Observe(ctx, stripecalls.ObservedRefund(made, p.StripeAccount), nil)
	return err
}

// refused has the order observe that Stripe will not make a refund, after the refunds that Stripe has: they may be why.
func (r *Refunds) refused(ctx context.Context, o *order.Order, p *order.PaymentIntent, wanted *order.Refund, refusal error) error {
	if err := r.Fetch(ctx, order.IntentRef{Account: p.StripeAccount, IntentID: p.StripeID}); err != nil {
		return err
	}
	_, _, err := r.Orders.Observe(ctx, orderstore.Key{ID: o.ID}, nil,
		order.RefundRefused{RefundID: wanted.ID, Code: string(stripeapi.Code(refusal))})
	return err
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
