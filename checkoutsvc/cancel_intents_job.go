package checkoutsvc

import (
	"context"
	"fmt"

	"github.com/riverqueue/river"
)

// cancelIntentsArgs names an order whose hold has ended, so that its intents should not take money any more.
type cancelIntentsArgs struct {
	OrderID string `json:"order_id"`
}

// Kind implements river.JobArgs.
func (cancelIntentsArgs) Kind() string { return "cancel_intents" }

// cancelIntents cancels the order's open intents at Stripe. One that turns out to be paid is recorded like any other
// payment: it is late money. Twice: Stripe refuses, and the intent is looked at.
func (s *Service) cancelIntents(ctx context.Context, job *river.Job[cancelIntentsArgs]) error {
	// An intent whose id we never learned may exist: ask for it with its key, to cancel it.
	o, err := s.linkIntents(ctx, job.Args.OrderID)
	if err != nil {
		return err
	}
	for _, p := range o.Intents {
		if p.Succeeded || p.Canceled {
			continue
		}
		pi, err := s.stripe.cancelIntent(ctx, p.StripeAccount, *p.StripeID)
		if err != nil && !stripeAway(err) {
			pi, err = s.stripe.getIntent(ctx, p.StripeAccount, *p.StripeID)
		}
		if err != nil {
			return fmt.Errorf("cancel payment intent: %w", err)
		}
		if err := s.observeOurselves(ctx, observed(pi, p.StripeAccount, s.Clock.Now())); err != nil {
			return fmt.Errorf("record canceled intent: %w", err)
		}
	}
	return nil
}
