// Package checkout implements CheckoutService: what a buyer's browser does between a cart and its tickets.
package checkout

import (
	"time"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	"github.com/dayof/dayof/checkoutsvc/orderstore"
	"github.com/dayof/dayof/checkoutsvc/ordertoken"
	"github.com/dayof/dayof/checkoutsvc/payment"
	"github.com/dayof/dayof/checkoutsvc/ticketcode"
	"github.com/dayof/dayof/gen/dayof/pass/v1/passv1connect"
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
	Orders       *orderstore.Store
	Passes       passv1connect.PassServiceClient
	Payments     *payment.Payments
	Codes        ticketcode.Keys
	Tokens       ordertoken.Keys
	HoldDuration time.Duration // for how long stock is kept for an unpaid order
	// ProcessingHoldMax is for how long a payment on its way keeps a hold that has run out.
	ProcessingHoldMax time.Duration
}

// New returns a Service.
func New(d Deps) *Service {
	return &Service{Deps: d, watches: watches{read: d.Orders.ReadMarkers}, waits: make(chan struct{}, watchesMax)}
}
