package order_test

import (
	"math/rand/v2"
	"testing"

	"github.com/dayof/dayof/checkoutsvc/order"
)

// Whole refunds in parts give each share back to the last minor unit, whatever the amounts, the parts, and the refunds between
// that fail; and no part gives more back than it is.
func TestSharesOfPartsAddUp(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(seed(t), 0))
	for n := range 3000 {
		l := newLife(t)
		l.policy.RefundApplicationFee = r.IntN(4) > 0
		drawShares(&l.order, r)
		l.sold()
		total := l.order.TotalMinorUnits
		for l.order.Refundable() > 0 {
			left := l.order.Refundable()
			if len(l.order.Refunds) > 100 {
				t.Fatalf("case %d: after 100 refunds %d are left", n, left)
			}
			f := order.RefundRequest{ID: l.policy.NewID(), Amount: &order.Amount{Currency: "EUR", MinorUnits: 1 + r.Int64N(left)}}
			if len(l.order.Refunds) > 12 {
				f.Amount = nil
			}
			l.observe(f)
			made := l.order.Refund(f.ID)
			sum := made.ApplicationFeeMinorUnits
			for _, tax := range made.Taxes {
				sum += tax.MinorUnits
			}
			if sum > made.AmountMinorUnits || made.ApplicationFeeMinorUnits < 0 {
				t.Fatalf("case %d: refund of %d gives %d of fee and taxes back: %+v", n, made.AmountMinorUnits, sum, made)
			}
			if r.IntN(5) == 0 {
				l.observe(order.RefundRefused{RefundID: f.ID, Attempt: 1, Code: "charge_disputed"})
			}
		}
		fee, taxes := int64(0), map[string]int64{}
		for _, made := range l.order.Refunds {
			if made.State == order.RefundFailed {
				continue
			}
			fee += made.ApplicationFeeMinorUnits
			for _, tax := range made.Taxes {
				taxes[tax.Kind] += tax.MinorUnits
			}
		}
		want := l.order.ApplicationFeeMinorUnits
		if !l.policy.RefundApplicationFee {
			want = 0
		}
		if fee != want {
			t.Errorf("case %d: of %d, fee %d, went back %d", n, total, want, fee)
		}
		for _, tax := range l.order.Taxes {
			if taxes[tax.Kind] != tax.MinorUnits {
				t.Errorf("case %d: of %d, tax %s %d, went back %d", n, total, tax.Kind, tax.MinorUnits, taxes[tax.Kind])
			}
		}
	}
}

// The shares of refunds that stand are those of their sum: no order of parts matters, and each is at its proportion.
func TestSharesAreThoseOfTheSum(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(seed(t), 1))
	for n := range 2000 {
		one, other := newLife(t), newLife(t)
		drawShares(&one.order, r)
		other.order = one.order
		one.sold()
		other.sold()
		sum := 1 + r.Int64N(one.order.TotalMinorUnits)
		other.observe(order.RefundRequest{ID: "whole", Amount: &order.Amount{Currency: "EUR", MinorUnits: sum}})
		want := other.order.Refunds[0]
		got := order.Refund{}
		taxes := int64(0)
		for left := sum; left > 0; {
			part := 1 + r.Int64N(left)
			if len(one.order.Refunds) > 8 {
				part = left
			}
			left -= part
			id := one.policy.NewID()
			one.observe(order.RefundRequest{ID: id, Amount: &order.Amount{Currency: "EUR", MinorUnits: part}})
			made := one.order.Refund(id)
			got.ApplicationFeeMinorUnits += made.ApplicationFeeMinorUnits
			for _, tax := range made.Taxes {
				taxes += tax.MinorUnits
			}
		}
		wantTaxes := int64(0)
		for _, tax := range want.Taxes {
			wantTaxes += tax.MinorUnits
		}
		if got.ApplicationFeeMinorUnits != want.ApplicationFeeMinorUnits || taxes != wantTaxes {
			t.Fatalf("case %d: %d of %d in parts gives fee %d and taxes %d back, at once %d and %d", n, sum, one.order.TotalMinorUnits,
				got.ApplicationFeeMinorUnits, taxes, want.ApplicationFeeMinorUnits, wantTaxes)
		}
		exact := float64(one.order.ApplicationFeeMinorUnits) * float64(sum) / float64(one.order.TotalMinorUnits)
		if off := float64(want.ApplicationFeeMinorUnits) - exact; off < -2 || off > 2 {
			t.Fatalf("case %d: the fee's share of %d of %d is %d, exactly %.2f", n, sum, one.order.TotalMinorUnits, want.ApplicationFeeMinorUnits, exact)
		}
	}
}

// drawShares draws an order's total, fee and up to three taxes within it.
func drawShares(o *order.Order, r *rand.Rand) {
	left := 1 + r.Int64N([]int64{20, 2000, 1e6, 1e12}[r.IntN(4)])
	o.TotalMinorUnits, o.Intents[0].AmountMinorUnits = left, left
	take := func() int64 { share := r.Int64N(left + 1); left -= share; return share }
	o.ApplicationFeeMinorUnits, o.Taxes = take(), nil
	for _, kind := range []string{"vat", "city", "sst"}[:r.IntN(4)] {
		if tax := take(); tax > 0 {
			o.Taxes = append(o.Taxes, order.TaxShare{Country: "DE", Kind: kind, MinorUnits: tax})
		}
	}
}

// A refund that is made anew because one failed is reported before the failure: it bears the same shares all the same.
func TestSharesBeforeAFailureIsReported(t *testing.T) {
	t.Parallel()
	l := newLife(t).sold()
	refund := func(id string, amount int64, state order.RefundState) {
		l.observe(order.RefundObserved{IntentID: "pi_1", StripeID: id, State: state, Currency: "EUR", Amount: amount, Time: l.now})
	}
	refund("re_1", 100, order.RefundSucceeded) // which failed since
	refund("re_2", 3*price, order.RefundSucceeded)
	refund("re_1", 100, order.RefundFailed)
	if got := l.order.Refunds[1]; got.ApplicationFeeMinorUnits != 900 || got.Taxes[0].MinorUnits != 870 {
		t.Errorf("shares of a whole refund: fee %d, taxes %v", got.ApplicationFeeMinorUnits, got.Taxes)
	}
}

// An order that is given up gives all of its shares back, also where the platform keeps its fee else, and after a part went back already:
// the ledger may have the sale, which is undone with its splits.
func TestGivenUpGivesAllSharesBack(t *testing.T) {
	t.Parallel()
	for _, part := range []int64{0, 1, 1000, 3*price - 1} {
		l := newLife(t)
		l.policy.RefundApplicationFee = false
		l.observe(l.paid("pi_1"))
		if part > 0 {
			l.observe(order.RefundRequest{ID: "part", Amount: &order.Amount{Currency: "EUR", MinorUnits: part}})
			if fee := l.order.Refunds[0].ApplicationFeeMinorUnits; fee != 0 {
				t.Errorf("a part of %d gives %d of the fee back, by the policy none", part, fee)
			}
		}
		l.order.FulfillingFor = l.policy.GiveUpAfter
		l.observe(order.AttemptFailed{Attempt: 1, Failure: "unavailable"})
		owed := l.order.Refunds[len(l.order.Refunds)-1]
		if part > 0 { // Stripe has made another refund meanwhile: less is left to ask for
			l.observe(order.RefundObserved{IntentID: "pi_1", StripeID: "re_1", RefundID: "part", State: order.RefundSucceeded, Currency: "EUR", Amount: part, Time: l.now})
			l.observe(order.RefundAttemptLost{RefundID: owed.ID, Attempt: owed.Attempt})
		}
		var fee, tax, amount int64
		for _, r := range l.order.Refunds {
			fee, amount = fee+r.ApplicationFeeMinorUnits, amount+r.AmountMinorUnits
			for _, share := range r.Taxes {
				tax += share.MinorUnits
			}
		}
		if o := &l.order; amount != o.TotalMinorUnits || tax != o.Taxes[0].MinorUnits || fee > o.ApplicationFeeMinorUnits || part < 1001 && fee != o.ApplicationFeeMinorUnits {
			t.Errorf("after a part of %d: %d of %d, with %d of the fee and %d of the tax", part, amount, o.TotalMinorUnits, fee, tax)
		}
	}
}
