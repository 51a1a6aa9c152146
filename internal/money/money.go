// Package money is an amount in minor units with its currency.
//
// It is never a float: amounts come from Stripe as integers, go through the
// database, the wire and the ledger as integers, and only Format puts a decimal
// point into them.
package money

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Money is an amount. The zero Money has no currency; make
// one with New where the parts come from outside.
type Money struct {
	Currency   string // ISO 4217, upper case
	MinorUnits int64  // 8900 EUR is 89.00 euro, 500 JPY is 500 yen
}

// New checks that currency looks like an ISO 4217 code in upper case.
func New(currency string, minorUnits int64) (Money, error) {
	if !isCurrency(currency) {
		return Money{}, fmt.Errorf("currency %q is not three upper case letters", currency)
	}
	return Money{Currency: currency, MinorUnits: minorUnits}, nil
}

func isCurrency(s string) bool {
	if len(s) != 3 {
		return false
	}
	for _, r := range s {
		if r < 'A' || r > 'Z' {
			return false
		}
	}
	return true
}

// Format writes the amount for people, without regard to their language:
// "89.00 EUR", "500 JPY", "-1.500 KWD".
func (m Money) Format() string { return m.Decimal() + " " + m.Currency }

// Decimal writes the amount in its currency's unit, from its digits: "89.00",
// "500", "-1.500".
func (m Money) Decimal() string {
	exponent := Exponent(m.Currency)
	digits := strconv.FormatUint(magnitude(m.MinorUnits), 10)
	if missing := exponent + 1 - len(digits); missing > 0 {
		digits = strings.Repeat("0", missing) + digits
	}
	if exponent > 0 {
		whole := len(digits) - exponent
		digits = digits[:whole] + "." + digits[whole:]
	}
	if m.MinorUnits < 0 {
		digits = "-" + digits
	}
	return digits
}

// String is Format.
func (m Money) String() string { return m.Format() }

func magnitude(n int64) uint64 {
	if n == math.MinInt64 {
		return 1 << 63
	}
	if n < 0 {
		n = -n
	}
	return uint64(n)
}
