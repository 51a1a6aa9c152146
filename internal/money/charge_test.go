package money_test

import (
	"testing"

	"github.com/dayof/dayof/internal/money"
)

func TestChargeMin(t *testing.T) {
	t.Parallel()
	for currency, want := range map[string]string{"EUR": "0.50 EUR", "HUF": "175.00 HUF", "JPY": "50 JPY", "KWD": "0.001 KWD"} {
		if got := money.ChargeMin(currency).Format(); got != want {
			t.Errorf("%s: %s, want %s", currency, got, want)
		}
		if !money.Supported(currency) {
			t.Errorf("%s is not supported", currency)
		}
	}
	for _, currency := range []string{"XTS", "eur", "", "BTC"} {
		if money.Supported(currency) {
			t.Errorf("%q is supported", currency)
		}
	}
}
