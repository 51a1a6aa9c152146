package e2e

import (
	"testing"
	"time"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/e2e/e2etest"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// newFreeVariant puts tickets on sale that cost nothing.
func newFreeVariant(t *testing.T, system *client.Client, capacity int64) *checkoutv1.Variant {
	t.Helper()
	ctx := e2etest.Within(t, 30*time.Second)
	event, err := system.Seed(ctx, clock.System{}.Now())
	if err != nil {
		t.Fatal(err)
	}
	variant, err := system.CreateVariant(ctx, "free/"+client.NewKey(), event.GetId(), "Standing", "Children", capacity, &checkoutv1.VariantVersion{
		Price: &moneyv1.Money{Currency: "EUR"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return variant
}

// TestFreeSale sells what costs nothing: real passes and a real entry, no payment, and books that fit.
func TestFreeSale(t *testing.T) {
	t.Parallel()
	system := client.NewClient(shared.File)
	variant := newFreeVariant(t, system, 3)
	sale, err := system.Sell(e2etest.Within(t, time.Minute), client.Purchase{VariantID: variant.GetId(), Tickets: 3, Via: client.ViaBoth})
	if err != nil {
		t.Fatal(err)
	}
	if sale.PaymentState != "not_required" || len(sale.Tickets) != 3 {
		t.Errorf("the sale: %+v", sale)
	}
	o, err := system.Order(e2etest.Within(t, time.Minute), sale.OrderID)
	if err != nil || len(o.Postings) != 0 || len(o.Passes) != 3 {
		t.Errorf("the order: %+v, %v", o, err)
	}
	e2etest.AssertClean(t, shared)
	if _, err := system.Checkout.ReleaseTickets(rpc.WithIdempotencyKey(e2etest.Within(t, time.Minute), client.NewKey()),
		&checkoutv1.ReleaseTicketsRequest{OrderId: sale.OrderID, TicketIds: []string{sale.Tickets[0].ID}}); err != nil {
		t.Fatal(err)
	}
	if _, err := system.Sell(e2etest.Within(t, time.Minute), client.Purchase{VariantID: variant.GetId(), Tickets: 1, Via: client.ViaUI}); err != nil {
		t.Errorf("the seat that was released: %v", err)
	}
	e2etest.AssertClean(t, shared)
}
