// Package checkout implements CheckoutService: what a buyer's browser does between a cart and its tickets.
package checkout

import (
	"context"
	"time"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	"github.com/dayof/dayof/checkoutsvc/orderproto"
	"github.com/dayof/dayof/checkoutsvc/orderstore"
	"github.com/dayof/dayof/checkoutsvc/ordertoken"
	"github.com/dayof/dayof/checkoutsvc/payment"
	"github.com/dayof/dayof/checkoutsvc/ticketcode"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
)

// Service implements CheckoutService. All exported fields are required.
type Service struct {
	Orders       *orderstore.Store
	Payments     *payment.Payments
	Codes        ticketcode.Keys
	Tokens       ordertoken.Keys
	HoldDuration time.Duration // for how long stock is kept for an unpaid order
	// ProcessingHoldMax is for how long a payment on its way keeps a hold that has run out.
	ProcessingHoldMax time.Duration

	q      checkoutdb.Queries
	claims claimLimit
	// failedHolds are orders whose hold could not be ended, and when to try again. Only the sweep uses it.
	failedHolds map[string]time.Time
}

// GetOrder implements CheckoutService.
func (s *Service) GetOrder(ctx context.Context, req *checkoutv1.GetOrderRequest) (*checkoutv1.GetOrderResponse, error) {
	if !s.Tokens.Admits(ctx, req.GetOrderId()) {
		return nil, orderstore.ErrNotFound // as much as about an order that does not exist
	}
	o, err := s.Orders.Read(ctx, orderstore.Key{ID: req.GetOrderId()})
	if err != nil {
		return nil, err
	}
	if s.Tokens.Expired(ctx, o.CreateTime, s.Orders.Clock.Now()) {
		return nil, orderstore.ErrNotFound
	}
	return &checkoutv1.GetOrderResponse{Order: orderproto.BuyerOrderToProto(&o, s.Codes)}, nil
}
