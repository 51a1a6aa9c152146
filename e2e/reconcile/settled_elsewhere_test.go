package reconcile

import (
	"maps"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/devenv/idle"
	"github.com/dayof/dayof/e2e/e2etest"
)

// TestSettledInAnotherCurrency sells in EUR on a balance that Stripe keeps in USD, and refunds, loses and wins disputes and pays out at
// other rates. The books have what Stripe has, in each currency, no conversion is left of what went back whole, and
// reconciliation agrees.
func TestSettledInAnotherCurrency(t *testing.T) {
	t.Parallel()
	m := e2etest.NewCluster(t, 1, e2etest.OnDemand)
	system := client.NewClient(m.File)
	set := func(settings map[string]any) {
		t.Helper()
		if _, err := system.Stripe.Control(e2etest.Within(t, time.Minute), http.MethodPatch, "/_sandbox/settings", settings); err != nil {
			t.Fatal(err)
		}
	}
	set(map[string]any{
		"available_delay_seconds": 0, "settlement_currency": "usd", "settlement_rate_ppm": 1_100_000, "settlement_return_rate_ppm": 1_130_000,
	})
	var whole []string
	refundPart(t, system, e2etest.SellIn(t, system, "EUR", 4450), "EUR", 1000)
	all := refundPart(t, system, e2etest.SellIn(t, system, "EUR", 4450), "EUR", 4450)
	set(map[string]any{"settlement_return_rate_ppm": 1_070_000})
	gain := refundPart(t, system, e2etest.SellIn(t, system, "EUR", 4450), "EUR", 4450)
	whole = append(whole, all.OrderID, gain.OrderID)
	failed := refundPart(t, system, e2etest.SellIn(t, system, "EUR", 4450), "EUR", 2000)
	set(map[string]any{"settlement_return_rate_ppm": 1_050_000})
	e2etest.Control(t, system, "/_sandbox/refunds/"+failed.Payment.Refunds[0].StripeRefundID+"/fail", map[string]any{})
	e2etest.AwaitEntries(t, system, failed.OrderID, "refund-fail:")
	for _, outcome := range []string{"won", "lost"} {
		o := e2etest.SellIn(t, system, "EUR", 4450)
		dispute := e2etest.Control(t, system, "/_sandbox/disputes", map[string]any{"payment_intent": o.Payment.PayingIntentID})
		e2etest.AwaitEntries(t, system, o.OrderID, "dispute-w:")
		set(map[string]any{"settlement_return_rate_ppm": 1_120_000})
		e2etest.Control(t, system, "/_sandbox/disputes/"+dispute+"/close", map[string]any{"status": outcome})
		e2etest.AwaitEntries(t, system, o.OrderID, map[string]string{"won": "dispute-r:", "lost": "dispute-lost:"}[outcome])
	}
	bounced := e2etest.Control(t, system, "/_sandbox/payouts", map[string]any{"currency": "usd"})
	e2etest.Control(t, system, "/_sandbox/payouts/"+bounced+"/paid", map[string]any{})
	awaitEntry(t, system, "payout:"+bounced)
	e2etest.Control(t, system, "/_sandbox/payouts/"+bounced+"/fail", map[string]any{})
	awaitEntry(t, system, "payout-fail:"+bounced)
	e2etest.AwaitIdle(t, system, idle.Scope{})

	books := volumes(t, system)
	clearing, atStripe := map[string]*big.Int{}, stripeBalance(t, system)
	for account, balances := range books {
		if strings.HasPrefix(account, "stripe:platform:") {
			for asset, b := range balances {
				clearing[asset] = new(big.Int).Add(orZero(clearing[asset]), b)
			}
		}
	}
	for asset, b := range clearing {
		if got := new(big.Int).Neg(b); got.Cmp(orZero(atStripe[asset])) != 0 {
			t.Errorf("the books have %s %s at Stripe, which has %s", got, asset, orZero(atStripe[asset]))
		}
	}
	if orZero(atStripe["USD/2"]).Sign() == 0 || orZero(atStripe["EUR/2"]).Sign() != 0 {
		t.Errorf("Stripe has %v, want USD only", atStripe)
	}
	if cost := books["platform:costs:exchange"]; orZero(cost["USD/2"]).Sign() == 0 || len(cost) != 1 {
		t.Errorf("gains and losses by rates: %v", cost)
	}
	for _, id := range whole {
		for _, p := range e2etest.Order(t, system, id).Postings {
			if account := p.Source; strings.HasPrefix(account, "fx:") {
				for asset, b := range books[account] {
					if b.Sign() != 0 {
						t.Errorf("%s of order %s, all of whose money went back, still holds %s %s", account, id, b, asset)
					}
				}
			}
		}
	}
	assertAgree(t, system)
	e2etest.AssertClean(t, m)
}

func orZero(n *big.Int) *big.Int {
	if n == nil {
		return new(big.Int)
	}
	return n
}

// stripeBalance is what Stripe has of the platform's money, by asset with two decimals.
func stripeBalance(t *testing.T, system *client.Client) map[string]*big.Int {
	t.Helper()
	type funds []struct {
		Amount   int64  `json:"amount"`
		Currency string `json:"currency"`
	}
	var balance struct {
		Available funds `json:"available"`
		Pending   funds `json:"pending"`
	}
	if err := system.Stripe.Get(e2etest.Within(t, time.Minute), "/v1/balance", &balance); err != nil {
		t.Fatal(err)
	}
	sums := map[string]*big.Int{}
	for _, f := range append(balance.Available, balance.Pending...) {
		asset := strings.ToUpper(f.Currency) + "/2"
		sums[asset] = new(big.Int).Add(orZero(sums[asset]), big.NewInt(f.Amount))
	}
	maps.DeleteFunc(sums, func(_ string, n *big.Int) bool { return n.Sign() == 0 })
	return sums
}

// volumes are the balances of all accounts in the books, by account and asset.
func volumes(t *testing.T, system *client.Client) map[string]map[string]*big.Int {
	t.Helper()
	statement, err := system.Statement(e2etest.Within(t, time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	balances := map[string]map[string]*big.Int{}
	move := func(account, asset string, amount *big.Int) {
		if balances[account] == nil {
			balances[account] = map[string]*big.Int{}
		}
		balances[account][asset] = new(big.Int).Add(orZero(balances[account][asset]), amount)
	}
	for _, p := range statement.Postings {
		amount, ok := new(big.Int).SetString(string(p.Amount), 10)
		if !ok {
			t.Fatalf("a posting of %s", p.Amount)
		}
		move(p.Source, p.Asset, new(big.Int).Neg(amount))
		move(p.Destination, p.Asset, amount)
	}
	return balances
}
