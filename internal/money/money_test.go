package money_test

import (
	"math"
	"testing"

	"github.com/dayof/dayof/internal/money"
)

func eur(minorUnits int64) money.Money { return money.Money{Currency: "EUR", MinorUnits: minorUnits} }

func TestNew(t *testing.T) {
	t.Parallel()
	for _, currency := range []string{"", "eur", "EURO", "E1R", "EU", "ÄÖÜ"} {
		if _, err := money.New(currency, 1); err == nil {
			t.Errorf("currency %q was accepted", currency)
		}
	}
	if got, err := money.New("EUR", -5); err != nil || got != eur(-5) {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestFormat(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		amount      money.Money
		want, asset string
		notAccepted bool
	}{
		"two decimals":          {amount: eur(8900), want: "89.00 EUR", asset: "EUR/2"},
		"less than one":         {amount: eur(5), want: "0.05 EUR", asset: "EUR/2"},
		"negative":              {amount: eur(-5), want: "-0.05 EUR", asset: "EUR/2"},
		"smallest":              {amount: eur(math.MinInt64), want: "-92233720368547758.08 EUR", asset: "EUR/2"},
		"no decimals":           {amount: money.Money{Currency: "JPY", MinorUnits: 500}, want: "500 JPY", asset: "JPY"},
		"three decimals":        {amount: money.Money{Currency: "KWD", MinorUnits: 1500}, want: "1.500 KWD", asset: "KWD/3"},
		"three decimals, not 0": {amount: money.Money{Currency: "KWD", MinorUnits: 1501}, want: "1.501 KWD", asset: "KWD/3", notAccepted: true},
		"Stripe's krona":        {amount: money.Money{Currency: "ISK", MinorUnits: 50000}, want: "500.00 ISK", asset: "ISK/2"},
		"Stripe's krona, not 0": {amount: money.Money{Currency: "ISK", MinorUnits: 50001}, want: "500.01 ISK", asset: "ISK/2", notAccepted: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := tc.amount.Format(); got != tc.want {
				t.Errorf("format: got %q, want %q", got, tc.want)
			}
			if got := tc.amount.FormanceAsset(); got != tc.asset {
				t.Errorf("asset: got %q, want %q", got, tc.asset)
			}
			if got := tc.amount.Chargeable(); got == tc.notAccepted {
				t.Errorf("chargeable: got %v", got)
			}
			back, err := money.FromFormanceAsset(tc.asset, tc.amount.MinorUnits)
			if err != nil || back != tc.amount {
				t.Errorf("from asset: got %v, %v", back, err)
			}
		})
	}
	for _, asset := range []string{"EUR", "EUR/3", "JPY/0", "JPY/2", "eur/2", "EUR/2/2", ""} {
		if got, err := money.FromFormanceAsset(asset, 1); err == nil {
			t.Errorf("asset %q was taken for %v", asset, got)
		}
	}
}
