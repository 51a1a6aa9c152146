package e2etest

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dayof/dayof/devenv/client"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// NewVariant puts tickets of an event of their own on sale, so that tests do not take each other's stock.
func NewVariant(t *testing.T, system *client.Client, price, capacity int64) *checkoutv1.Variant {
	t.Helper()
	ctx := Within(t, 30*time.Second)
	event, err := system.Seed(ctx, clock.System{}.Now())
	if err != nil {
		t.Fatal(err)
	}
	variant, err := system.CreateVariant(ctx, "e2e/"+client.NewKey(), event.GetId(), "Standing", "Floor", capacity, &checkoutv1.VariantVersion{
		Price:                    &moneyv1.Money{Currency: "EUR", MinorUnits: price},
		ApplicationFeeMinorUnits: 250, TaxMinorUnits: 120, TaxCountry: "DE", TaxKind: "vat",
		Terms: "No returns. Bring good shoes.",
	})
	if err != nil {
		t.Fatal(err)
	}
	return variant
}

// Start begins a checkout.
func Start(t *testing.T, system *client.Client, variant *checkoutv1.Variant, tickets int32) client.Cart {
	t.Helper()
	cart, err := system.Start(Within(t, 30*time.Second), variant, tickets)
	if err != nil {
		t.Fatal(err)
	}
	return cart
}

// Order reads an order with all that belongs to it.
func Order(t *testing.T, system *client.Client, id string) client.Order {
	t.Helper()
	o, err := system.Order(Within(t, 10*time.Second), id)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// Await waits until an order is as wished.
func Await(t *testing.T, system *client.Client, id, what string, done func(*checkoutv1.Order) bool) *checkoutv1.Order {
	t.Helper()
	o, err := system.Await(Within(t, time.Minute), id, done)
	if err != nil {
		t.Fatalf("order %s is not %s: it is %s and %s", id, what, o.GetPaymentState(), o.GetFulfilmentState())
	}
	return o
}

// Completed says whether the fulfilment of an order has ended with its tickets.
func Completed(o *checkoutv1.Order) bool {
	return o.GetFulfilmentState() == checkoutv1.FulfilmentState_FULFILMENT_STATE_COMPLETED
}

// Captures counts the ledger's captures of an order.
func Captures(o client.Order) map[string]int {
	counted := map[string]int{}
	for _, p := range o.Postings {
		if p.Destination == "orders:"+o.OrderID+":payment" {
			counted[p.Reference]++
		}
	}
	return counted
}

// Refunded says whether an order was given up and its money sent back.
func Refunded(o *checkoutv1.Order) bool {
	return o.GetFulfilmentState() == checkoutv1.FulfilmentState_FULFILMENT_STATE_UNFULFILLABLE &&
		o.GetPaymentState() == checkoutv1.PaymentState_PAYMENT_STATE_REFUNDED
}

// AwaitEntries waits until the books of an order have a reference that begins so, and returns the order as it is then.
func AwaitEntries(t *testing.T, system *client.Client, orderID, prefix string) client.Order {
	t.Helper()
	if _, err := system.AwaitPosting(Within(t, time.Minute), orderID, prefix); err != nil {
		t.Fatal(err)
	}
	return Order(t, system, orderID) // what was read with the books may be older than they are
}

// Capture is the reference of the entry of an order's money.
func Capture(o client.Order) string { return "capture:" + o.Payment.PayingIntentID }

// SellIn sells one ticket in a currency and waits until its fee is booked.
func SellIn(t *testing.T, system *client.Client, currency string, price int64) client.Order {
	t.Helper()
	ctx := Within(t, 2*time.Minute)
	event, err := system.Seed(ctx, clock.System{}.Now())
	if err != nil {
		t.Fatal(err)
	}
	variant, err := system.CreateVariant(ctx, "e2e/"+client.NewKey(), event.GetId(), "Standing", "Floor", 10, &checkoutv1.VariantVersion{
		Price: &moneyv1.Money{Currency: currency, MinorUnits: price}, ApplicationFeeMinorUnits: price / 20, TaxMinorUnits: price / 10,
		TaxCountry: "DE", TaxKind: "vat",
	})
	if err != nil {
		t.Fatal(err)
	}
	sale, err := system.Sell(ctx, client.Purchase{VariantID: variant.GetId(), Tickets: 1, Via: client.ViaBoth})
	if err != nil {
		t.Fatal(err)
	}
	o, err := system.AwaitFee(ctx, sale.OrderID)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// AssertOneSale checks that an order was completed once: one set of valid tickets, a pass each, one sale in the books.
func AssertOneSale(t *testing.T, o client.Order, tickets int) {
	t.Helper()
	if o.PaymentState != "paid" || o.FulfilmentState != "completed" {
		t.Errorf("order %s is %s and %s", o.OrderID, o.PaymentState, o.FulfilmentState)
	}
	if len(o.Tickets) != tickets || len(o.Passes) != tickets {
		t.Errorf("order %s has %d tickets and %d passes, want %d", o.OrderID, len(o.Tickets), len(o.Passes), tickets)
	}
	for _, ticket := range o.Tickets {
		if ticket.State != "valid" || ticket.PassSerial == "" || ticket.AuthenticationToken == "" || ticket.DownloadURL == "" {
			t.Errorf("ticket %s is %s, its pass %q", ticket.ID, ticket.State, ticket.PassSerial)
		}
	}
	want := map[string]int{"capture:" + o.Payment.PayingIntentID: 1}
	if diff := cmp.Diff(want, Captures(o)); diff != "" {
		t.Errorf("captures in the ledger of order %s: %s", o.OrderID, diff)
	}
}

// Keyed gives a call a key of its own.
func Keyed(ctx context.Context) context.Context {
	return rpc.WithIdempotencyKey(ctx, "e2e/"+client.NewKey())
}

// AtOnce runs all functions from one starting shot and returns the first error.
func AtOnce(functions []func() error) error {
	shot := make(chan struct{})
	errs := make(chan error, len(functions))
	for _, f := range functions {
		go func() {
			<-shot
			errs <- f()
		}()
	}
	close(shot)
	var first error
	for range functions {
		if err := <-errs; err != nil && first == nil {
			first = err
		}
	}
	return first
}
