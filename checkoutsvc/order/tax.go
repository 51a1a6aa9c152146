package order

import "math/big"

// TaxShare is a tax contained in an order's total.
type TaxShare struct {
	Country    string `json:"country"` // ISO 3166-1 alpha-2
	Kind       string `json:"kind"`    // such as vat
	MinorUnits int64  `json:"minor_units"`
}

// refundShares says what of a refund the platform's fee and the taxes bear: taxes pro rata, the fee pro rata if the
// platform gives it back at all. Rounded down, so that the organiser never gets back more than the rest.
func (o *Order) refundShares(amount int64, withFee bool) (fee int64, taxes []TaxShare) {
	if withFee {
		fee = proRata(o.ApplicationFeeMinorUnits, amount, o.TotalMinorUnits)
	}
	for _, t := range o.Taxes {
		if t.MinorUnits = proRata(t.MinorUnits, amount, o.TotalMinorUnits); t.MinorUnits > 0 {
			taxes = append(taxes, t)
		}
	}
	return fee, taxes
}

// proRata is share * part / whole, rounded down, without overflow.
func proRata(share, part, whole int64) int64 {
	n := new(big.Int).Mul(big.NewInt(share), big.NewInt(min(part, whole)))
	return n.Quo(n, big.NewInt(whole)).Int64()
}
