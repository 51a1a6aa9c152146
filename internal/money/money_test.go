package money_test

import (
	"errors"
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"

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

func TestCurrenciesDoNotMix(t *testing.T) {
	t.Parallel()
	usd := money.Money{Currency: "USD", MinorUnits: 1}
	_, addErr := eur(1).Add(usd)
	_, subErr := eur(1).Sub(usd)
	_, compareErr := eur(1).Compare(usd)
	for _, err := range []error{addErr, subErr, compareErr} {
		if !errors.Is(err, money.ErrCurrencyMismatch) {
			t.Errorf("got %v, want ErrCurrencyMismatch", err)
		}
	}
}

// The exact result, by arbitrary precision, is either returned or refused.
func TestArithmeticIsExactOrRefused(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		extreme := rapid.SampledFrom([]int64{0, 1, -1, math.MaxInt64, math.MinInt64, math.MaxInt64 - 1, math.MinInt64 + 1})
		number := rapid.OneOf(rapid.Int64(), extreme)
		a, b := number.Draw(t, "a"), number.Draw(t, "b")
		check := func(operation string, got money.Money, err error, exact *big.Int) {
			if exact.IsInt64() != (err == nil) {
				t.Fatalf("%d %s %d: error %v, exact result %v", a, operation, b, err, exact)
			}
			if err == nil && got != eur(exact.Int64()) {
				t.Fatalf("%d %s %d: got %v, want %v", a, operation, b, got, exact)
			}
			if err != nil && !errors.Is(err, money.ErrOverflow) {
				t.Fatalf("%d %s %d: got %v, want ErrOverflow", a, operation, b, err)
			}
		}
		x, y := big.NewInt(a), big.NewInt(b)
		sum, err := eur(a).Add(eur(b))
		check("+", sum, err, new(big.Int).Add(x, y))
		difference, err := eur(a).Sub(eur(b))
		check("-", difference, err, new(big.Int).Sub(x, y))
		product, err := eur(a).Mul(b)
		check("x", product, err, new(big.Int).Mul(x, y))
		if order, err := eur(a).Compare(eur(b)); err != nil || order != x.Cmp(y) {
			t.Fatalf("compare %d with %d: got %d, %v", a, b, order, err)
		}
	})
}

func TestSplitSumsBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		whole := eur(rapid.Int64().Draw(t, "amount"))
		parts := whole.Split(rapid.IntRange(1, 50).Draw(t, "parts"))
		sum := eur(0)
		least, most := parts[0].MinorUnits, parts[0].MinorUnits
		for _, part := range parts {
			var err error
			if sum, err = sum.Add(part); err != nil {
				t.Fatal(err)
			}
			least, most = min(least, part.MinorUnits), max(most, part.MinorUnits)
		}
		if sum != whole {
			t.Fatalf("parts sum to %v, want %v", sum, whole)
		}
		if most-least > 1 {
			t.Fatalf("parts differ by %d", most-least)
		}
	})
}
