// Package checkout implements CheckoutService: what a buyer's browser does between a cart and its tickets.
package checkout

import (
	"context"
	"time"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/orderproto"
	"github.com/dayof/dayof/checkoutsvc/orderstore"
	"github.com/dayof/dayof/checkoutsvc/ordertoken"
	"github.com/dayof/dayof/checkoutsvc/payment"
	"github.com/dayof/dayof/checkoutsvc/ticketcode"
	"github.com/dayof/dayof/checkoutsvc/waitingroom"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/gen/dayof/pass/v1/passv1connect"
	"github.com/dayof/dayof/internal/chassis/idem"
)

// Service implements CheckoutService. Make one with New.
type Service struct {
	Deps

	q       checkoutdb.Queries
	claims  claimLimit
	watches watches
	waits   chan struct{} // calls of GetOrder that wait
	// failedHolds are orders whose hold could not be ended, and when to try again. Only the sweep uses it.
	failedHolds map[string]time.Time
}

// Deps is what a Service stands on. All fields are required.
type Deps struct {
	Orders    *orderstore.Store
	Passes    passv1connect.PassServiceClient
	Payments  *payment.Payments
	Codes     ticketcode.Keys
	Tokens    ordertoken.Keys
	Places    waitingroom.Keys
	HoldTerms orderstore.HoldTerms // of unpaid orders
	// ProcessingHoldMax is for how long a payment on its way keeps a hold that has run out.
	ProcessingHoldMax time.Duration
}

// New returns a Service.
func New(d Deps) *Service {
	return &Service{Deps: d, watches: watches{read: d.Orders.ReadMarkers}, waits: make(chan struct{}, watchesMax)}
}

// CancelCheckout implements CheckoutService. The fact and the job that cancels at Stripe are written in one transaction; what Stripe has
// by then, the job finds out.
func (s *Service) CancelCheckout(ctx context.Context, req *checkoutv1.CancelCheckoutRequest) (*checkoutv1.CancelCheckoutResponse, error) {
	if _, err := s.orderOfToken(ctx, req.GetOrderId()); err != nil {
		return nil, err
	}
	o, _, err := s.Orders.Observe(ctx, orderstore.Key{ID: req.GetOrderId()}, idem.Fingerprint(1, req.GetOrderId()), order.CheckoutCanceled{})
	if err != nil {
		return nil, err
	}
	return &checkoutv1.CancelCheckoutResponse{Order: orderproto.BuyerOrderToProto(&o, s.Codes)}, nil
}

// orderOfToken loads the order that the caller's token opens.
//
// Problems: ORDER_NOT_FOUND, as much as about an order that does not exist.
func (s *Service) orderOfToken(ctx context.Context, orderID string) (order.Order, error) {
	if !s.Tokens.Admits(ctx, orderID) {
		return order.Order{}, orderstore.ErrNotFound
	}
	o, err := s.Orders.Read(ctx, orderstore.Key{ID: orderID})
	if err == nil && s.Tokens.Expired(ctx, o.CreateTime, s.Orders.Clock.Now()) {
		return order.Order{}, orderstore.ErrNotFound
	}
	return o, err
}
