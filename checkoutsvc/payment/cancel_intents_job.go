package payment

import (
	"context"
	"fmt"

	"github.com/riverqueue/river"

	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/stripecalls"
	"github.com/dayof/dayof/internal/chassis/stripeapi"
)

// CancelIntentsArgs names an order whose hold has ended, so that its intents should not take money any more.
type CancelIntentsArgs struct {
	OrderID string `json:"order_id"`
}

// Kind implements river.JobArgs.
func (CancelIntentsArgs) Kind() string { return string(order.WorkCancelIntents) }

// CancelIntents cancels the order's open intents at Stripe. One that turns out to be paid is observed like any other
// payment: it is late money. Idempotent: the second time Stripe refuses, and the intent is fetched.
func (p *Payments) CancelIntents(ctx context.Context, job *river.Job[CancelIntentsArgs]) error {
	// An intent whose id we never learned may exist: ask for it with its key, to cancel it.
	o, err := p.LinkIntents(ctx, job.Args.OrderID)
	if err != nil {
		return err
	}
	for _, intent := range o.Intents {
		if intent.Succeeded || intent.Canceled {
			continue
		}
		pi, err := p.Stripe.CancelIntent(ctx, intent.StripeAccount, intent.StripeID)
		if err != nil && !stripeapi.Away(err) {
			pi, err = p.Stripe.GetIntent(ctx, intent.StripeAccount, intent.StripeID)
		}
		if err != nil {
			return fmt.Errorf("cancel payment intent: %w", err)
		}
		f := stripecalls.ObservedPayment(pi, intent.StripeAccount, p.Orders.Clock.Now())
		o, c, err := p.Orders.Observe(ctx, keyOf(f), nil, f)
		if err != nil {
			return fmt.Errorf("observe canceled intent: %w", err)
		}
		if c.FulfilmentStarted {
			p.Fulfilment.Attempt(context.WithoutCancel(ctx), o)
		}
	}
	return nil
}
