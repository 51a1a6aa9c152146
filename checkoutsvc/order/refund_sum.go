package order

import (
	"slices"
	"strconv"
)

// Stripe reports what of a charge went back also as a sum, and may list the refunds later. The sum is a fact: what of it no
// refund explains is counted as a refund of its own, of the reason unmatched, until the refunds are known that explain it.
// Refunds that failed explain sums as well: these may have been reported before the failure. So does a refund that Stripe is
// being asked for, since the sum may be known before the answer; it explains nothing that was counted before it was asked for.

// unmatchedSum is what of an intent's reported sum no refund explains, where so much was counted before. The attempt of the refund
// of a given id made none.
func (o *Order) unmatchedSum(p *PaymentIntent, counted int64, notMade string) int64 {
	sum, asked := p.RefundedMinorUnits, int64(0)
	for _, r := range o.Refunds {
		switch {
		case r.PaymentIntent != p.StripeID:
		case r.StripeRefundID != "":
			sum -= r.AmountMinorUnits
		case r.State == RefundRequested && r.ID != notMade:
			asked += r.AmountMinorUnits
		}
	}
	return max(min(counted, sum), sum-asked, 0)
}

// UnmatchedRefund returns the refund that counts what no known refund of an intent explains; nil when there is none.
func (o *Order) UnmatchedRefund(intentID string) *Refund {
	i := slices.IndexFunc(o.Refunds, func(r Refund) bool {
		return r.PaymentIntent == intentID && r.Reason == RefundUnmatched && r.State.Moved()
	})
	if i < 0 {
		return nil
	}
	return &o.Refunds[i]
}

// countUnmatched brings what is counted as unmatched to what no refund explains. notMade is as of unmatchedSum.
func (d *decision) countUnmatched(p *PaymentIntent, notMade string) {
	counted := d.order.UnmatchedRefund(p.StripeID)
	if counted == nil {
		d.count(p, d.order.unmatchedSum(p, 0, notMade))
		return
	}
	if wanted := d.order.unmatchedSum(p, counted.AmountMinorUnits, notMade); wanted != counted.AmountMinorUnits {
		d.endUnmatched(counted)
		d.count(p, wanted)
	}
}

// count counts so much as unmatched.
func (d *decision) count(p *PaymentIntent, wanted int64) {
	o := &d.order
	if wanted == 0 {
		return
	}
	r := Refund{
		ID: d.policy.NewID(), PaymentIntent: p.StripeID, AmountMinorUnits: wanted, Currency: p.Currency, State: RefundPending,
		Reason: RefundUnmatched, CreateTime: d.now, Attempt: 1,
	}
	if o.PayingIntent == p.StripeID {
		r.ApplicationFeeMinorUnits, r.Taxes = o.refundShares(p.StripeID, nil, wanted, d.returnsFee())
	}
	o.Refunds = append(o.Refunds, r)
	d.refundMoved(&r, "")
	d.enqueue(WorkMatchRefunds, p.ID)
}

// endUnmatched ends the refund that counted a sum: a known one takes its place.
func (d *decision) endUnmatched(counted *Refund) {
	before := counted.State
	mustMove("refund", refundTransitions, before, RefundCanceled)
	counted.State = RefundCanceled
	d.refundMoved(counted, before)
}

// attemptNotMade counts what a refund explained while Stripe was asked for it: its attempt made none. It returns the refund anew, as rows
// are added.
func (d *decision) attemptNotMade(r *Refund) *Refund {
	if p := d.order.IntentByStripeID(r.PaymentIntent); p != nil {
		d.countUnmatched(p, r.ID)
	}
	return d.order.Refund(r.ID)
}

// matchRefund makes room for a refund that becomes known: what was counted for it ends before it is added, so that shares and sums
// never count it twice. It returns how much was counted.
func (d *decision) matchRefund(intentID string) (counted int64) {
	r := d.order.UnmatchedRefund(intentID)
	if r == nil {
		return 0
	}
	d.endUnmatched(r)
	return r.AmountMinorUnits
}

// settleUnmatched counts again what is left unexplained after matchRefund, by a refund of some amount that became known. It closes the
// case when nothing is.
func (d *decision) settleUnmatched(intentID string, counted, known int64) {
	if counted == 0 {
		return // it is counted once all that Stripe lists is known
	}
	p := d.order.IntentByStripeID(intentID)
	d.count(p, d.order.unmatchedSum(p, counted-known, ""))
	if d.order.UnmatchedRefund(intentID) == nil {
		d.resolve(CaseRefundUnmatched, intentID, "Stripe lists the refunds now.")
	}
}

// RefundsListed is the fact that the refunds of an intent that Stripe lists were all observed. What of the reported sum they do
// not explain counts from now on.
type RefundsListed struct {
	IntentID string
	// Overdue says that Stripe was asked for long enough.
	Overdue bool
}

func (f RefundsListed) observe(d *decision) error {
	o := &d.order
	p := o.IntentByStripeID(f.IntentID)
	if p == nil {
		return nil
	}
	d.countUnmatched(p, "")
	d.setPayment()
	d.settleTickets()
	d.closeRefundCases()
	if counted := o.UnmatchedRefund(p.StripeID); counted != nil && f.Overdue {
		d.raise(ReviewCase{
			Kind: CaseRefundUnmatched, Subject: p.StripeID, Intent: p.StripeID,
			Facts: map[string]string{
				"charge_id": p.ChargeID, "refunded_minor_units": strconv.FormatInt(p.RefundedMinorUnits, 10),
				"unmatched_minor_units": strconv.FormatInt(counted.AmountMinorUnits, 10), "currency": p.Currency,
			},
			Action: "Stripe says that more of the charge went back than its refunds come to. It is counted and booked as refunded; look at the charge at Stripe, and ask its support if no refund is there.",
		})
	}
	return nil
}
