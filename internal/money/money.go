// Package money is an amount in minor units with its currency.
//
// It is never a float: amounts come from Stripe as integers, go through the
// database, the wire and the ledger as integers, and only Format puts a decimal
// point into them.
package money

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
)

// ErrOverflow is returned when a result does not fit into 64 bits.
var ErrOverflow = errors.New("amount overflows")

// ErrCurrencyMismatch is returned when two currencies meet in one calculation.
var ErrCurrencyMismatch = errors.New("currencies differ")

// Money is an amount. The zero Money has no currency and fits no other; make
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

// Add returns m + other, ErrCurrencyMismatch or ErrOverflow.
func (m Money) Add(other Money) (Money, error) {
	if err := m.matches(other); err != nil {
		return Money{}, err
	}
	sum := m.MinorUnits + other.MinorUnits
	// Overflow turns the sign: adding something positive must not decrease.
	if (other.MinorUnits > 0) != (sum > m.MinorUnits) && other.MinorUnits != 0 {
		return Money{}, fmt.Errorf("%w: %s + %s", ErrOverflow, m.Format(), other.Format())
	}
	return Money{Currency: m.Currency, MinorUnits: sum}, nil
}

// Sub returns m - other, ErrCurrencyMismatch or ErrOverflow.
func (m Money) Sub(other Money) (Money, error) {
	if err := m.matches(other); err != nil {
		return Money{}, err
	}
	difference := m.MinorUnits - other.MinorUnits
	if (other.MinorUnits > 0) != (difference < m.MinorUnits) && other.MinorUnits != 0 {
		return Money{}, fmt.Errorf("%w: %s - %s", ErrOverflow, m.Format(), other.Format())
	}
	return Money{Currency: m.Currency, MinorUnits: difference}, nil
}

// Mul returns m times count, such as a price times a quantity, or ErrOverflow.
func (m Money) Mul(count int64) (Money, error) {
	product := new(big.Int).Mul(big.NewInt(m.MinorUnits), big.NewInt(count))
	if !product.IsInt64() {
		return Money{}, fmt.Errorf("%w: %s x %d", ErrOverflow, m.Format(), count)
	}
	return Money{Currency: m.Currency, MinorUnits: product.Int64()}, nil
}

// Split divides m into n parts that sum back to m and differ by at most one
// minor unit, the larger ones first. Splitting into less than one part is a
// mistake of the caller's and panics.
func (m Money) Split(n int) []Money {
	if n < 1 {
		panic(fmt.Sprintf("money: split into %d parts", n))
	}
	quotient, rest := m.MinorUnits/int64(n), m.MinorUnits%int64(n)
	parts := make([]Money, n)
	for i := range parts {
		parts[i] = Money{Currency: m.Currency, MinorUnits: quotient}
		switch {
		case rest > 0 && int64(i) < rest:
			parts[i].MinorUnits++
		case rest < 0 && int64(i) < -rest:
			parts[i].MinorUnits--
		}
	}
	return parts
}

// Compare returns -1, 0 or 1 as m is less than, equal to or greater than
// other, or ErrCurrencyMismatch.
func (m Money) Compare(other Money) (int, error) {
	if err := m.matches(other); err != nil {
		return 0, err
	}
	switch {
	case m.MinorUnits < other.MinorUnits:
		return -1, nil
	case m.MinorUnits > other.MinorUnits:
		return 1, nil
	}
	return 0, nil
}

// Format writes the amount for people, without regard to their language:
// "89.00 EUR", "500 JPY", "-1.500 KWD".
func (m Money) Format() string {
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
	return digits + " " + m.Currency
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

func (m Money) matches(other Money) error {
	if m.Currency != other.Currency {
		return fmt.Errorf("%w: %s and %s", ErrCurrencyMismatch, m.Currency, other.Currency)
	}
	return nil
}
