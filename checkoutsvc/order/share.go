package order

import (
	"math/big"
	"math/bits"
	"slices"
)

// refundShares says what of a refund of an intent the platform's fee, if the platform gives it back at all, and the taxes
// bear. The organiser bears the rest.
//
// Shares of all refunds together are those of their sum, whatever the parts: when all of the money went back, each share did,
// to the last minor unit. A refund that failed leaves its shares to the next one; where the next one is reported before that
// failure, a share may stay off by a minor unit.
func (o *Order) refundShares(intentID string, amount int64, withFee bool) (fee int64, taxes []TaxShare) {
	return o.sharesBeside(intentID, "", amount, withFee)
}

// sharesBeside is refundShares for a refund of that id that is written down already; empty for one that is not.
func (o *Order) sharesBeside(intentID, id string, amount int64, withFee bool) (fee int64, taxes []TaxShare) {
	// The last share is the organiser's, which is not written down.
	shares, given := make([]int64, len(o.Taxes)+2), make([]int64, len(o.Taxes)+2)
	rest := len(o.Taxes) + 1
	if withFee {
		shares[0] = o.ApplicationFeeMinorUnits
	}
	shares[rest] = o.TotalMinorUnits - shares[0]
	for i, t := range o.Taxes {
		shares[i+1] = t.MinorUnits
		shares[rest] -= t.MinorUnits
	}
	sum := amount
	for _, r := range o.standingRefunds(intentID, id, o.TotalMinorUnits-amount) {
		sum += r.AmountMinorUnits
		given[rest] += r.AmountMinorUnits
		if withFee {
			given[0] += r.ApplicationFeeMinorUnits
			given[rest] -= r.ApplicationFeeMinorUnits
		}
		for i, t := range o.Taxes {
			minorUnits := taxOf(r.Taxes, t)
			given[i+1] += minorUnits
			given[rest] -= minorUnits
		}
	}
	back := restOfShares(shareOut(shares, o.TotalMinorUnits, min(sum, o.TotalMinorUnits)), given)
	for i, t := range o.Taxes {
		if t.MinorUnits = back[i+1]; t.MinorUnits > 0 {
			taxes = append(taxes, t)
		}
	}
	return back[0], taxes
}

// standingRefunds are the refunds of an intent, but for that of a given id, that have not failed, the latest ones, as far as they come
// to at most limit. Where they come to more, one has failed at Stripe and it is not reported yet: mostly the oldest, for which the
// latest is made.
func (o *Order) standingRefunds(intentID, except string, limit int64) []Refund {
	var standing []Refund
	for _, r := range slices.Backward(o.Refunds) {
		if r.PaymentIntent != intentID || r.ID == except && except != "" || r.State.CameBack() {
			continue
		}
		if limit -= r.AmountMinorUnits; limit < 0 {
			break
		}
		standing = append(standing, r)
	}
	return standing
}

// returnsFee says whether the platform's fee goes back with the money: as the policy says, and always of an order that was given up, whose
// sale is undone, should the ledger have it.
func (d *decision) returnsFee() bool {
	return d.policy.RefundApplicationFee || d.order.Fulfilment == FulfilmentUnfulfillable
}

// shareOwed brings the shares of a refund that we owe to its amount. Only money that would have bought tickets may be booked as a
// sale, which the refund then undoes with its splits; of a bare receipt the books take none.
func (d *decision) shareOwed(r *Refund) {
	if r.PaymentIntent == d.order.PayingIntent {
		r.ApplicationFeeMinorUnits, r.Taxes = d.order.sharesBeside(r.PaymentIntent, r.ID, r.AmountMinorUnits, d.returnsFee())
	}
}

// taxOf is the tax of t's country and kind among taxes.
func taxOf(taxes []TaxShare, t TaxShare) int64 {
	for _, x := range taxes {
		if x.Country == t.Country && x.Kind == t.Kind {
			return x.MinorUnits
		}
	}
	return 0
}

// restOfShares is what is wanted beyond what was given. Where more was given than is wanted, which refunds that failed later
// leave behind, the others get less, the last ones first; so no rest is negative and their sum is the same.
func restOfShares(wanted, given []int64) []int64 {
	rest := make([]int64, len(wanted))
	var excess int64
	for i := range wanted {
		rest[i] = max(wanted[i]-given[i], 0)
		excess += max(given[i]-wanted[i], 0)
	}
	for i := len(rest) - 1; i >= 0; i-- {
		less := min(rest[i], excess)
		rest[i], excess = rest[i]-less, excess-less
	}
	return rest
}

// shareOut says how many of the first part units of a whole belong to each share; the shares sum to the whole. The n-th unit of
// a share s lies at (n - 1/2) / s of the whole, so each share gets its proportion to within a few units, never fewer for a larger part, and
// all of it for the whole. Units at one place are ordered by their shares.
// Source: the divisor method of Webster (Sainte-Laguë), whose seats are those of the shares.
func shareOut(shares []int64, whole, part int64) []int64 {
	units := make([]int64, len(shares))
	missing := part
	for i, s := range shares {
		units[i] = roundedShare(s, whole, part)
		missing -= units[i]
	}
	for ; missing > 0; missing-- {
		next := -1
		for i, s := range shares {
			if units[i] < s && (next < 0 || before(units[i]+1, s, units[next]+1, shares[next])) {
				next = i
			}
		}
		units[next]++
	}
	for ; missing < 0; missing++ {
		last := -1
		for i, s := range shares {
			if units[i] > 0 && (last < 0 || !before(units[i], s, units[last], shares[last])) {
				last = i
			}
		}
		units[last]--
	}
	return units
}

// before says whether the n-th unit of share s lies before the m-th unit of share t: (2n-1)/s < (2m-1)/t.
func before(n, s, m, t int64) bool {
	leftHigh, left := bits.Mul64(uint64(2*n-1), uint64(t))
	rightHigh, right := bits.Mul64(uint64(2*m-1), uint64(s))
	return leftHigh < rightHigh || leftHigh == rightHigh && left < right
}

// roundedShare is share * part / whole, rounded to the nearest, half up.
func roundedShare(share, whole, part int64) int64 {
	n := new(big.Int).Mul(big.NewInt(2*share), big.NewInt(part))
	n.Add(n, big.NewInt(whole))
	return n.Quo(n, big.NewInt(2*whole)).Int64()
}
