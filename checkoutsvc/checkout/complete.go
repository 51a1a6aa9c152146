package checkout

import (
	"context"
	"fmt"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/orderproto"
	"github.com/dayof/dayof/checkoutsvc/stripecalls"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/idem"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/chassis/stripeapi"
)

// CompleteCheckout implements CheckoutService. The browser's claim starts nothing by itself: the intent is fetched from
// Stripe, and what Stripe reports is observed like a webhook's report.
func (s *Service) CompleteCheckout(ctx context.Context, req *checkoutv1.CompleteCheckoutRequest) (*checkoutv1.CompleteCheckoutResponse, error) {
	o, err := s.orderOfToken(ctx, req.GetOrderId())
	if err != nil {
		return nil, err
	}
	fingerprint := idem.Fingerprint(1, req.GetOrderId(), req.GetPaymentIntentId())
	switch intentID := req.GetPaymentIntentId(); {
	case o.Free() && intentID != "":
		err = errNotOurIntent
	case !o.Free() && intentID == "":
		err = problem.InvalidField("payment_intent_id", "is required: the order is not free")
	case o.PayingIntent == intentID:
		o, err = s.join(ctx, o, fingerprint)
	default:
		o, err = s.complete(ctx, o, intentID, fingerprint)
	}
	if err != nil {
		return nil, err
	}
	return &checkoutv1.CompleteCheckoutResponse{Order: orderproto.BuyerOrderToProto(&o, s.Codes)}, nil
}

// join stores the key of a claim that is known to be true already, and waits for the attempt if one is under way.
func (s *Service) join(ctx context.Context, o order.Order, fingerprint []byte) (order.Order, error) {
	var b pgx.Batch
	if _, err := idem.QueueClaim(ctx, &b, s.Orders.Clock.Now(), fingerprint, o.ID); err != nil {
		return o, err
	}
	if err := s.Orders.Pool.SendBatch(ctx, &b).Close(); err != nil {
		return o, err
	}
	if o.BeingFulfilled() {
		return s.Payments.Fulfilment.AttemptOrJoin(ctx, o, false), nil
	}
	return o, nil
}

// complete checks the claim that an intent of the order succeeded and goes on with the order. Each claim may cost a call at
// Stripe, so the order's own intents are looked at first, and others, which staff may have made for the order there, a few
// times only.
func (s *Service) complete(ctx context.Context, o order.Order, intentID string, fingerprint []byte) (order.Order, error) {
	now := s.Orders.Clock.Now()
	own := o.IntentByStripeID(intentID) != nil
	if !s.claims.take(claimed{orderID: o.ID, own: own}, now) {
		return o, errTooManyClaims()
	}
	account := o.StripeAccount()
	pi, err := s.Payments.Stripe.GetIntent(ctx, account, intentID)
	if stripeapi.NotFound(err) {
		return o, errNotOurIntent
	}
	if err != nil {
		return o, stripecalls.Problem(fmt.Errorf("get payment intent: %w", err))
	}
	f := stripecalls.ObservedPayment(pi, account, now)
	if f.OrderID != o.ID {
		return o, errNotOurIntent
	}
	if !f.Captured() {
		return o, claimProblem("PAYMENT_NOT_SUCCEEDED", "the payment is %s at Stripe; confirm it, or wait for it, and try again", f.Status)
	}
	if m := o.MismatchOf(f, f.ReceivedMinorUnits, s.Orders.Policy.Livemode); m != order.MismatchNone {
		return o, claimProblem("PAYMENT_MISMATCH", "the payment's %s does not fit the order; staff will look at it", m)
	}
	return s.Payments.Await(ctx, f, fingerprint)
}

// errNotOurIntent hides whether somebody else's intent exists.
var errNotOurIntent = problem.New(connect.CodeNotFound, "PAYMENT_INTENT_NOT_FOUND", "the order has no such payment intent")

// claimProblem is the answer to a claim that does not hold.
func claimProblem(reason, detail string, args ...any) error {
	return problem.New(connect.CodeFailedPrecondition, reason, fmt.Sprintf(detail, args...))
}
