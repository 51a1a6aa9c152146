package checkoutsvc

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/idem"
)

// How a review holds an order's tickets back; empty: it does not.
const (
	reviewOpen     = "open"
	reviewRefunded = "refunded" // it ended in a refund or dispute, which may not be told yet
)

// reviewEndsInRefund are Stripe's words for reviews that ended with the money going back.
// Source: Stripe API reference, Review.closed_reason.
var reviewEndsInRefund = []string{"refunded", "refunded_as_fraud", "disputed"}

// RecordFraudWarning implements PaymentService. Warnings merge: what cannot be acted on once cannot be acted on again.
func (s *Service) RecordFraudWarning(ctx context.Context, req *checkoutv1.RecordFraudWarningRequest) (*checkoutv1.RecordFraudWarningResponse, error) {
	key, err := s.orderOfCharge(ctx, req.GetStripeAccount(), req.GetPaymentIntentId(), req.GetChargeId())
	if err != nil {
		return nil, err
	}
	fingerprint := idem.Fingerprint(1, req.GetStripeAccount(), req.GetFraudWarningId(), req.GetPaymentIntentId(), req.GetChargeId(),
		req.GetActionable(), req.GetFraudType(), req.GetObservedTime().AsTime())
	var o *order
	err = s.inTx(ctx, func(tx pgx.Tx) (err error) {
		if o, err = lockOrderForUpdate(ctx, tx, key); err != nil {
			return err
		}
		w := s.newWrites(o)
		if _, err := idem.QueueClaim(ctx, w.pipe.Batch(), w.now, fingerprint, o.ID); err != nil {
			return err
		}
		_, err = s.q.GetFraudWarning(ctx, tx, req.GetFraudWarningId())
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return fmt.Errorf("get fraud warning: %w", err)
		}
		if err != nil { // the first time
			w.note(ctx, "fraud_warning", req.GetFraudWarningId())
			if s.Config.FraudWarningRefunds {
				w.enqueue(refundFraudArgs{FraudWarningID: req.GetFraudWarningId()})
			}
		}
		must(w.q.MergeFraudWarning(ctx, &w.pipe, checkoutdb.MergeFraudWarningParams{
			ID: req.GetFraudWarningId(), OrderID: o.ID, PaymentIntent: key.StripeID, ChargeID: req.GetChargeId(),
			FraudType: req.GetFraudType(), Actionable: req.GetActionable(), CreateTime: w.now,
		}))
		w.raise(ctx, reviewCase{
			Kind: "fraud_warning", Subject: req.GetFraudWarningId(), Intent: key.StripeID,
			Facts: map[string]string{"fraud_warning_id": req.GetFraudWarningId(), "fraud_type": req.GetFraudType(), "charge_id": req.GetChargeId()},
			Action: "The card's issuer suspects fraud. A refund before the buyer's bank asks for the money back saves the dispute fee; " +
				"look at the order and refund what is not used.",
		})
		return w.flush(ctx, tx)
	})
	if err != nil {
		return nil, err
	}
	return &checkoutv1.RecordFraudWarningResponse{OrderId: o.ID}, nil
}

// RecordReview implements PaymentService. Closed wins, whatever arrives first.
func (s *Service) RecordReview(ctx context.Context, req *checkoutv1.RecordReviewRequest) (*checkoutv1.RecordReviewResponse, error) {
	key, err := s.orderOfCharge(ctx, req.GetStripeAccount(), req.GetPaymentIntentId(), req.GetChargeId())
	if err != nil {
		return nil, err
	}
	fingerprint := idem.Fingerprint(1, req.GetStripeAccount(), req.GetReviewId(), req.GetPaymentIntentId(), req.GetChargeId(),
		req.GetOpen(), req.GetClosedReason(), req.GetObservedTime().AsTime())
	var o *order
	err = s.inTx(ctx, func(tx pgx.Tx) (err error) {
		if o, err = lockOrderForUpdate(ctx, tx, key); err != nil {
			return err
		}
		w := s.newWrites(o)
		if _, err := idem.QueueClaim(ctx, w.pipe.Batch(), w.now, fingerprint, o.ID); err != nil {
			return err
		}
		err = s.q.MergeReview(ctx, tx, checkoutdb.MergeReviewParams{
			ID: req.GetReviewId(), OrderID: o.ID, PaymentIntent: key.StripeID, Open: req.GetOpen(), ClosedReason: req.GetClosedReason(), CreateTime: w.now,
		})
		if err != nil {
			return fmt.Errorf("merge review: %w", err)
		}
		reviews, err := s.q.ListReviews(ctx, tx, o.ID)
		if err != nil {
			return fmt.Errorf("list reviews: %w", err)
		}
		if review := s.reviewHold(reviews); review != o.Review {
			o.Review = review
			must(w.q.SetReview(ctx, &w.pipe, o.ID, review))
			w.note(ctx, "review_hold_"+review, req.GetReviewId())
		}
		w.settleTickets(ctx)
		return w.flush(ctx, tx)
	})
	if err != nil {
		return nil, err
	}
	return &checkoutv1.RecordReviewResponse{OrderId: o.ID, DeliveryHeld: o.deliveryHeld()}, nil
}

// reviewHold says how an order's reviews hold its tickets back.
func (s *Service) reviewHold(reviews []checkoutdb.Review) string {
	if !s.Config.ReviewHoldsDelivery {
		return ""
	}
	hold := ""
	for _, r := range reviews {
		switch {
		case r.Open:
			return reviewOpen
		case slices.Contains(reviewEndsInRefund, r.ClosedReason):
			hold = reviewRefunded
		}
	}
	return hold
}

// deliveryHeld says whether a review holds the tickets back: while one is open, and after one that ended in a refund or
// dispute until the first of these is told, which then decides.
func (o *order) deliveryHeld() bool {
	return o.Review == reviewOpen || o.Review == reviewRefunded && len(o.Refunds) == 0 && len(o.Disputes) == 0
}

// orderOfCharge finds the order by the intent, else by a charge that we know. It may be known a moment later.
func (s *Service) orderOfCharge(ctx context.Context, account, intentID, chargeID string) (orderKey, error) {
	if intentID != "" {
		return orderKey{StripeAccount: account, StripeID: intentID}, nil
	}
	found, err := s.q.FindIntentOfCharge(ctx, s.Pool, chargeID, account)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && found == nil {
		return orderKey{}, errNoOrder
	}
	if err != nil {
		return orderKey{}, fmt.Errorf("find intent of charge: %w", err)
	}
	return orderKey{StripeAccount: account, StripeID: *found}, nil
}

// RecordSessionEnd implements PaymentService. What came as money, or is on its way, is not undone by a page that ended:
// the order's own facts decide, so the end may be told before or after them.
func (s *Service) RecordSessionEnd(ctx context.Context, req *checkoutv1.RecordSessionEndRequest) (*checkoutv1.RecordSessionEndResponse, error) {
	fingerprint := idem.Fingerprint(1, req.GetStripeAccount(), req.GetSessionId(), req.GetPaymentIntentId(), req.GetOrderId(), req.GetObservedTime().AsTime())
	var o *order
	err := s.inTx(ctx, func(tx pgx.Tx) (err error) {
		o, err = lockOrderForUpdate(ctx, tx, orderKey{ID: req.GetOrderId(), StripeAccount: req.GetStripeAccount(), StripeID: req.GetPaymentIntentId()})
		if err != nil {
			return err
		}
		w := s.newWrites(o)
		if _, err := idem.QueueClaim(ctx, w.pipe.Batch(), w.now, fingerprint, o.ID); err != nil {
			return err
		}
		if o.Hold.State == holdActive && !o.anyIntent(intentSucceeded) && !o.anyIntent(intentProcessing) && !o.anyIntent(intentRequiresCapture) {
			w.endHold(ctx, holdExpired)
			w.setPayment(ctx)
			w.enqueue(cancelIntentsArgs{OrderID: o.ID})
		}
		return w.flush(ctx, tx)
	})
	if err != nil {
		return nil, err
	}
	return &checkoutv1.RecordSessionEndResponse{
		OrderId: o.ID, HoldEnded: o.Hold.State == holdExpired || o.Hold.State == holdReleased,
	}, nil
}
