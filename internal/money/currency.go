package money

import (
	"fmt"
	"strconv"
	"strings"
)

// Exponent returns how many decimal digits the minor units of a currency are.
//
// This is Stripe's notion of minor units, because that is what amounts here are
// in. It differs from ISO 4217 for MGA (0 instead of 2) and for ISK and UGX,
// which Stripe charges as if they had two digits. Source: Stripe, "Supported
// currencies", zero-decimal, three-decimal and special cases.
func Exponent(currency string) int {
	switch currency {
	case "BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF":
		return 0
	case "BHD", "JOD", "KWD", "OMR", "TND":
		return 3
	}
	return 2
}

// Chargeable reports whether Stripe accepts such an amount: the last digit of
// three-decimal currencies, and both decimals of ISK and UGX, must be zero.
func (m Money) Chargeable() bool {
	switch {
	case Exponent(m.Currency) == 3:
		return m.MinorUnits%10 == 0
	case m.Currency == "ISK" || m.Currency == "UGX":
		return m.MinorUnits%100 == 0
	}
	return true
}

// FormanceAsset returns the ledger's name of the currency, which carries the
// exponent: "EUR/2", "JPY", "KWD/3". To the ledger "EUR" and "EUR/2" are
// different assets.
func (m Money) FormanceAsset() string {
	exponent := Exponent(m.Currency)
	if exponent == 0 {
		return m.Currency
	}
	return m.Currency + "/" + strconv.Itoa(exponent)
}

// FromFormanceAsset is the way back: the amount of an asset of the ledger. An
// asset that FormanceAsset would not have written is an error, since its amount
// would mean something else.
func FromFormanceAsset(asset string, amount int64) (Money, error) {
	currency, _, _ := strings.Cut(asset, "/")
	m, err := New(currency, amount)
	if err != nil || m.FormanceAsset() != asset {
		return Money{}, fmt.Errorf("asset %q is not a currency of ours", asset)
	}
	return m, nil
}
