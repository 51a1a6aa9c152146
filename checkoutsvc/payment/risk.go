package payment

import (
	"context"
	"fmt"

	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/orderstore"
	"github.com/dayof/dayof/checkoutsvc/stripecalls"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/idem"
	"github.com/dayof/dayof/internal/chassis/stripeapi"
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

// orderOfCharge finds the order by the intent, else by that of the charge, which Stripe is asked for: reports nearly always name the
// intent, and an index of charges would be written to in every sale.
func (s *Service) orderOfCharge(ctx context.Context, account, intentID, chargeID string) (orderstore.Key, error) {
	if intentID != "" {
		return orderstore.Key{StripeAccount: account, StripeID: intentID}, nil
	}
	intentID, err := s.Payments.Stripe.IntentOfCharge(ctx, account, chargeID)
	switch {
	case stripeapi.NotFound(err), err == nil && intentID == "":
		return orderstore.Key{}, orderstore.ErrNotFound
	case err != nil:
		return orderstore.Key{}, stripecalls.Problem(fmt.Errorf("get charge: %w", err))
	}
	return orderstore.Key{StripeAccount: account, StripeID: intentID}, nil
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
