package order

import (
	"math/big"
	"math/bits"
	"slices"
)

// split is an amount by who bears it: the platform's fee, the taxes in the order of Order.Taxes, and the organiser, who bears the rest.
type split []int64

// splitOf splits an amount of the order. A fee that the platform keeps in refunds is the organiser's to bear.
func (o *Order) splitOf(amount, fee int64, taxes []TaxShare, withFee bool) split {
	s := make(split, len(o.Taxes)+2)
	if withFee {
		s[0] = fee
	}
	rest := amount - s[0]
	for i, t := range o.Taxes {
		s[i+1] = taxOf(taxes, t)
		rest -= s[i+1]
	}
	s[len(s)-1] = rest
	return s
}

func (s split) sum() (sum int64) {
	for _, share := range s {
		sum += share
	}
	return sum
}

func (s split) add(more split) {
	for i := range s {
		s[i] += more[i]
	}
}

// less is what is left of each share; where more was taken than it has, nothing.
func (s split) less(taken split) split {
	left := make(split, len(s))
	for i := range s {
		left[i] = max(s[i]-taken[i], 0)
	}
	return left
}

// refundShares says what of a refund of an intent the platform's fee, if the platform gives it back at all, and the taxes
// bear. The organiser bears the rest.
//
// A refund of tickets gives back their own shares. What names no ticket is shared in proportion to what no refund of tickets took;
// such refunds together give back the shares of their sum, whatever the parts. No share gives back more than is left of it, so the
// last refund takes the rest of each, to the last minor unit. A refund that failed leaves its shares to the next one; where the
// next one is reported before that failure, a share may stay off by a minor unit.
func (o *Order) refundShares(intentID string, ticketIDs []string, amount int64, withFee bool) (fee int64, taxes []TaxShare) {
	return o.sharesBeside(intentID, "", ticketIDs, amount, withFee)
}

// sharesBeside is refundShares for a refund of that id that is written down already; empty for one that is not.
func (o *Order) sharesBeside(intentID, id string, ticketIDs []string, amount int64, withFee bool) (fee int64, taxes []TaxShare) {
	sale := o.splitOf(o.TotalMinorUnits, o.ApplicationFeeMinorUnits, o.Taxes, withFee)
	byTicket := o.ticketShares(sale, withFee)
	named, unnamed := make(split, len(sale)), make(split, len(sale)) // what went back
	for _, r := range o.standingRefunds(intentID, id, o.TotalMinorUnits-amount) {
		given := o.splitOf(r.AmountMinorUnits, r.ApplicationFeeMinorUnits, r.Taxes, withFee)
		if partsOf(byTicket, r.TicketIDs) != nil {
			named.add(given)
		} else {
			unnamed.add(given)
		}
	}
	wanted := make(split, len(sale))
	if parts := partsOf(byTicket, ticketIDs); parts != nil {
		wanted = shareOut(parts, parts.sum(), min(amount, parts.sum()))
	}
	// What is beyond the price of the tickets, or all of it.
	if beyond := amount - wanted.sum(); beyond > 0 {
		pool := sale.less(named).less(wanted)
		wanted.add(restOfShares(shareOut(pool, pool.sum(), min(unnamed.sum()+beyond, pool.sum())), unnamed))
	}
	named.add(unnamed)
	back := within(wanted, sale.less(named))
	for i, t := range o.Taxes {
		if t.MinorUnits = back[i+1]; t.MinorUnits > 0 {
			taxes = append(taxes, t)
		}
	}
	return back[0], taxes
}

// ticketShares are the shares of each ticket, by its id. There are none where they do not come to the order's: orders of before the
// parts of a price were kept, and those of which less was captured than they were sold for.
func (o *Order) ticketShares(sale split, withFee bool) map[string]split {
	shares, sum := map[string]split{}, make(split, len(sale))
	for _, t := range o.Tickets {
		l, k := o.sold(&t)
		if l == nil {
			return nil
		}
		parts := l.partsOf(k)
		if parts == nil {
			return nil
		}
		shares[t.ID] = o.splitOf(l.ticketPrice(k), parts.ApplicationFeeMinorUnits, parts.Taxes, withFee)
		if o.Replacement(t.ID) == nil { // one that was replaced is the same admission
			sum.add(shares[t.ID])
		}
	}
	if !slices.Equal(sum, sale) {
		return nil
	}
	return shares
}

// sold is the line that a ticket, or the one that it replaces, was sold with, and which of its tickets that is, from 0; nil when there is none.
func (o *Order) sold(t *Ticket) (l *Line, k int64) {
	for t.Replaces != "" {
		t = o.Ticket(t.Replaces)
	}
	i := slices.IndexFunc(o.Lines, func(l Line) bool { return l.VariantID == t.VariantID }) // each variant is one line
	if i < 0 {
		return nil, 0
	}
	for _, other := range o.Tickets {
		if other.ID == t.ID {
			break
		}
		if other.VariantID == t.VariantID && other.Replaces == "" {
			k++
		}
	}
	return &o.Lines[i], k
}

// partsOf are the shares of tickets together; nil where none are named, or not all are known.
func partsOf(byTicket map[string]split, ticketIDs []string) split {
	var parts split
	for _, id := range ticketIDs {
		ticket := byTicket[id]
		if ticket == nil {
			return nil
		}
		if parts == nil {
			parts = make(split, len(ticket))
		}
		parts.add(ticket)
	}
	return parts
}

// within brings wanted shares to at most what is left of each. The others bear what is too much, the organiser first.
func within(wanted, left split) split {
	back := make(split, len(wanted))
	for i := range wanted {
		back[i] = min(wanted[i], left[i])
	}
	excess := wanted.sum() - back.sum()
	for i := len(back) - 1; i >= 0; i-- {
		more := min(left[i]-back[i], excess)
		back[i], excess = back[i]+more, excess-more
	}
	return back
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

// returnsFee says whether the platform's fee goes back with the money: as the policy says that the order was sold under, or else the
// platform's, and always of an order that was given up, whose sale is undone, should the ledger have it.
func (d *decision) returnsFee() bool {
	if d.order.Fulfilment == FulfilmentUnfulfillable {
		return true
	}
	switch fee := d.order.refundPolicy().ApplicationFee; fee {
	case ApplicationFeeReturned, ApplicationFeeKept:
		return fee == ApplicationFeeReturned
	case ApplicationFeeAsConfigured:
	}
	return d.policy.RefundApplicationFee
}

// shareOwed brings the shares of a refund that we owe to its amount. Only money that would have bought tickets may be booked as a
// sale, which the refund then undoes with its splits; of a bare receipt the books take none.
func (d *decision) shareOwed(r *Refund) {
	if r.PaymentIntent == d.order.PayingIntent {
		r.ApplicationFeeMinorUnits, r.Taxes = d.order.sharesBeside(r.PaymentIntent, r.ID, r.TicketIDs, r.AmountMinorUnits, d.returnsFee())
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
func restOfShares(wanted, given split) split {
	rest := make(split, len(wanted))
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
func shareOut(shares split, whole, part int64) split {
	units := make(split, len(shares))
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

// roundedShare is share * part / whole, rounded to the nearest, half up; of nothing it is nothing.
func roundedShare(share, whole, part int64) int64 {
	if whole == 0 {
		return 0
	}
	n := new(big.Int).Mul(big.NewInt(2*share), big.NewInt(part))
	n.Add(n, big.NewInt(whole))
	return n.Quo(n, big.NewInt(2*whole)).Int64()
}
