package payment

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/orderstore"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/idem"
)

// The fingerprints cover what each request reports.

func warningFingerprint(req *checkoutv1.RecordFraudWarningRequest) []byte {
	return idem.Fingerprint(1, req.GetStripeAccount(), req.GetFraudWarningId(), req.GetPaymentIntentId(), req.GetChargeId(),
		req.GetActionable(), req.GetFraudType(), req.GetObservedTime().AsTime())
}

func reviewFingerprint(req *checkoutv1.RecordReviewRequest) []byte {
	return idem.Fingerprint(1, req.GetStripeAccount(), req.GetReviewId(), req.GetPaymentIntentId(), req.GetChargeId(),
		req.GetOpen(), req.GetClosedReason(), req.GetObservedTime().AsTime())
}

func sessionEndFingerprint(req *checkoutv1.RecordSessionEndRequest) []byte {
	return idem.Fingerprint(1, req.GetStripeAccount(), req.GetSessionId(), req.GetPaymentIntentId(), req.GetOrderId(),
		req.GetObservedTime().AsTime())
}

// RecordFraudWarning implements PaymentService.
func (s *Service) RecordFraudWarning(ctx context.Context, req *checkoutv1.RecordFraudWarningRequest) (*checkoutv1.RecordFraudWarningResponse, error) {
	key, err := s.orderOfCharge(ctx, req.GetStripeAccount(), req.GetPaymentIntentId(), req.GetChargeId())
	if err != nil {
		return nil, err
	}
	o, _, err := s.Orders.Observe(ctx, key, warningFingerprint(req), order.FraudWarningObserved{
		ID: req.GetFraudWarningId(), IntentID: key.StripeID, ChargeID: req.GetChargeId(), FraudType: req.GetFraudType(),
		Actionable: req.GetActionable(),
	})
	if err != nil {
		return nil, err
	}
	return &checkoutv1.RecordFraudWarningResponse{OrderId: o.ID}, nil
}

// RecordReview implements PaymentService.
func (s *Service) RecordReview(ctx context.Context, req *checkoutv1.RecordReviewRequest) (*checkoutv1.RecordReviewResponse, error) {
	key, err := s.orderOfCharge(ctx, req.GetStripeAccount(), req.GetPaymentIntentId(), req.GetChargeId())
	if err != nil {
		return nil, err
	}
	o, _, err := s.Orders.Observe(ctx, key, reviewFingerprint(req), order.ReviewObserved{
		ID: req.GetReviewId(), IntentID: key.StripeID, Open: req.GetOpen(), ClosedReason: req.GetClosedReason(),
	})
	if err != nil {
		return nil, err
	}
	return &checkoutv1.RecordReviewResponse{OrderId: o.ID, DeliveryHeld: o.DeliveryHeld()}, nil
}

// orderOfCharge finds the order by the intent, else by a charge that we know. It may be known a moment later.
func (s *Service) orderOfCharge(ctx context.Context, account, intentID, chargeID string) (orderstore.Key, error) {
	if intentID != "" {
		return orderstore.Key{StripeAccount: account, StripeID: intentID}, nil
	}
	found, err := s.q.FindIntentOfCharge(ctx, s.Orders.Pool, chargeID, account)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && found == nil {
		return orderstore.Key{}, orderstore.ErrNotFound
	}
	if err != nil {
		return orderstore.Key{}, fmt.Errorf("find intent of charge: %w", err)
	}
	return orderstore.Key{StripeAccount: account, StripeID: *found}, nil
}

// RecordSessionEnd implements PaymentService.
func (s *Service) RecordSessionEnd(ctx context.Context, req *checkoutv1.RecordSessionEndRequest) (*checkoutv1.RecordSessionEndResponse, error) {
	key := orderstore.Key{ID: req.GetOrderId(), StripeAccount: req.GetStripeAccount(), StripeID: req.GetPaymentIntentId()}
	o, _, err := s.Orders.Observe(ctx, key, sessionEndFingerprint(req), order.SessionEnd{
		Account: req.GetStripeAccount(), SessionID: req.GetSessionId(),
	})
	if err != nil {
		return nil, err
	}
	return &checkoutv1.RecordSessionEndResponse{
		OrderId: o.ID, HoldEnded: o.Hold.State == order.HoldExpired || o.Hold.State == order.HoldReleased,
	}, nil
}
