package refund

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/devenv/idle"
	"github.com/dayof/dayof/e2e/e2etest"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
	"github.com/dayof/dayof/internal/chassis/clock"
)

// TestRefundInParts sends whole orders back in parts whose shares of fee and tax do not divide: every account of the order is
// where it was before the sale.
func TestRefundInParts(t *testing.T) {
	t.Parallel()
	m := e2etest.NewCluster(t, 1, map[string]string{"DAYOF_CHECKOUT_REFUND_APPLICATION_FEE": "true"})
	system := client.NewClient(m.File)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	parts := func(total, unit int64) []int64 {
		var out []int64
		for total > 0 {
			part := min(total, unit*(1+random.Int64N(max(total/unit/3, 1))))
			out, total = append(out, part), total-part
		}
		return out
	}
	for name, c := range map[string]struct {
		currency        string
		price, fee, tax int64
		parts           []int64
	}{
		"three parts of ten euro":      {"EUR", 1000, 0, 160, []int64{333, 333, 334}},
		"many parts of some euro":      {"EUR", 4451, 251, 711, parts(4451, 1)},
		"many parts of some yen":       {"JPY", 997, 13, 91, parts(997, 1)},
		"many parts of a dinar":        {"KWD", 12340, 617, 1770, parts(12340, 10)},
		"a cent at a time at the end":  {"EUR", 1009, 499, 499, []int64{1000, 1, 1, 1, 1, 1, 1, 1, 1, 1}},
		"a share that is the smallest": {"EUR", 503, 1, 1, parts(503, 1)},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := e2etest.Within(t, 2*time.Minute)
			event, err := system.Seed(ctx, clock.System{}.Now())
			if err != nil {
				t.Fatal(err)
			}
			variant, err := system.CreateVariant(ctx, "parts/"+client.NewKey(), event.GetId(), "Parts", name, 10, &checkoutv1.VariantVersion{
				Price: &moneyv1.Money{Currency: c.currency, MinorUnits: c.price}, ApplicationFeeMinorUnits: c.fee, TaxMinorUnits: c.tax, TaxCountry: "DE", TaxKind: "vat",
			})
			if err != nil {
				t.Fatal(err)
			}
			sale, err := system.Sell(ctx, client.Purchase{VariantID: variant.GetId(), Tickets: 1, Via: client.ViaBoth})
			if err != nil {
				t.Fatal(err)
			}
			for _, part := range c.parts {
				if _, err := system.Orders.RefundOrder(e2etest.Keyed(ctx), &checkoutv1.RefundOrderRequest{
					OrderId: sale.OrderID, Amount: &moneyv1.Money{Currency: c.currency, MinorUnits: part},
				}); err != nil {
					t.Fatalf("refund %d of %v: %v", part, c.parts, err)
				}
			}
			e2etest.AwaitIdle(t, system, idle.Scope{})
			o := e2etest.Order(t, system, sale.OrderID)
			net := map[string]int64{}
			for _, p := range o.Postings {
				// A sum that Stripe reports before its refunds is booked and reversed.
				kind, _, _ := strings.Cut(p.Reference, ":")
				if kind == "capture" || kind == "refund" || kind == "refund-fail" {
					amount, err := p.Amount.Int64()
					if err != nil {
						t.Fatal(err)
					}
					net[account(p.Source)] -= amount
					net[account(p.Destination)] += amount
				}
			}
			for name, sum := range net {
				if sum != 0 {
					t.Errorf("refunded in parts of %v: %s is left with %d", c.parts, name, sum)
				}
			}
			if o.PaymentState != "refunded" || len(net) == 0 {
				t.Errorf("the order is %s with %d accounts", o.PaymentState, len(net))
			}
		})
	}
	e2etest.AssertClean(t, m)
}

// account is where the money of one owner lies: what an organiser is owed, and what was advanced to them, are one.
func account(address string) string {
	if organizer, advanced := strings.CutSuffix(address, ":receivable"); advanced {
		return organizer + ":payable"
	}
	return address
}
