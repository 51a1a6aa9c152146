package checkoutsvc

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	stripe "github.com/stripe/stripe-go/v76"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	"github.com/dayof/dayof/internal/chassis/crash"
)

// sendRefundArgs names a refund that Stripe shall make.
type sendRefundArgs struct {
	RefundID string `json:"refund_id"`
}

// Kind implements river.JobArgs.
func (sendRefundArgs) Kind() string { return "send_refund" }

// stripeKeyLifetime is for how long a repeat with the same key surely returns the first answer, an hour less than
// Stripe promises.
const stripeKeyLifetime = 23 * time.Hour

// sendRefund asks Stripe for a refund whose row exists and writes the answer down. A repeat within a day is the same
// refund by its key; later, Stripe's refunds are searched for the row's id first.
func (s *Service) sendRefund(ctx context.Context, job *river.Job[sendRefundArgs]) error {
	r, _, p, err := s.readRefund(ctx, job.Args.RefundID)
	if err != nil {
		return err
	}
	if r.StripeRefundID != nil {
		return nil
	}
	var made *stripe.Refund
	if s.Clock.Now().Sub(r.CreateTime) > stripeKeyLifetime {
		if made, err = s.findRefund(ctx, p, r); err != nil {
			return err
		}
	}
	if made == nil {
		made, err = s.stripe.createRefund(ctx, p.StripeAccount, r)
		if err != nil && !stripeAway(err) {
			// Stripe refuses: perhaps because this very refund exists, else for good.
			found, findErr := s.findRefund(ctx, p, r)
			if findErr != nil {
				return findErr
			}
			if found == nil {
				return s.refuseRefund(ctx, r, stripeCode(err))
			}
			made, err = found, nil
		}
		if err != nil {
			return fmt.Errorf("create refund: %w", err)
		}
	}
	crash.At(crash.CheckoutRefundSent)
	return s.mergeSeenRefund(ctx, seenRefund(made, p.StripeAccount))
}

// findRefund searches Stripe's refunds of the intent for the row's id; nil if there is none.
func (s *Service) findRefund(ctx context.Context, p *checkoutdb.PaymentIntent, r checkoutdb.Refund) (*stripe.Refund, error) {
	refunds, err := s.stripe.listRefunds(ctx, p.StripeAccount, r.PaymentIntent)
	if err != nil {
		return nil, fmt.Errorf("list refunds: %w", err)
	}
	i := slices.IndexFunc(refunds, func(made *stripe.Refund) bool { return made.Metadata["refund_id"] == r.ID })
	if i < 0 {
		return nil, nil //nolint:nilnil // none is an answer
	}
	return refunds[i], nil
}

// refuseRefund ends a refund that Stripe will not make and asks an operator to decide.
func (s *Service) refuseRefund(ctx context.Context, r checkoutdb.Refund, code stripe.ErrorCode) error {
	return s.inTx(ctx, func(tx pgx.Tx) error {
		o, err := lockOrderForUpdate(ctx, tx, orderKey{ID: r.OrderID})
		if err != nil {
			return err
		}
		i := slices.IndexFunc(o.Refunds, func(known checkoutdb.Refund) bool { return known.ID == r.ID })
		if i < 0 || o.Refunds[i].StripeRefundID != nil {
			return nil
		}
		w := s.newWrites(o)
		o.Refunds[i].State, o.Refunds[i].FailureCode = refundFailed, string(code)
		w.setRefund(ctx, &o.Refunds[i])
		w.setPayment(ctx)
		w.note(ctx, "refund_refused", string(code))
		w.raise(ctx, reviewCase{
			Kind: "refund_refused", Subject: r.ID, Intent: r.PaymentIntent,
			Facts:  map[string]string{"refund_id": r.ID, "stripe_code": string(code)},
			Action: "Stripe refused the refund. Look at the payment there and settle with the buyer by other means if need be.",
		})
		return w.flush(ctx, tx)
	})
}
