package order

import (
	"slices"
	"strconv"
)

// Stripe reports what of a charge went back also as a sum, and may list the refunds later. The sum is a fact: what of it no
// known refund explains is counted as a refund of its own, of the reason unmatched, until the refunds are known that explain it.
// Refunds that failed explain sums as well: these may have been reported before the failure.

// unmatchedSum is what of an intent's reported sum no known refund explains.
func (o *Order) unmatchedSum(p *PaymentIntent) int64 {
	sum := p.RefundedMinorUnits
	for _, r := range o.Refunds {
		if r.PaymentIntent == p.StripeID && r.StripeRefundID != "" {
			sum -= r.AmountMinorUnits
		}
	}
	return max(sum, 0)
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

// countUnmatched brings what is counted as unmatched to what no known refund explains.
func (d *decision) countUnmatched(p *PaymentIntent) {
	o := &d.order
	wanted := o.unmatchedSum(p)
	if counted := o.UnmatchedRefund(p.StripeID); counted != nil {
		if counted.AmountMinorUnits == wanted {
			return
		}
		d.endUnmatched(counted)
	}
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

// matchRefund makes room for a refund that becomes known: what was counted for it ends before it is added, so that shares and sums
// never count it twice. It reports whether anything was counted.
func (d *decision) matchRefund(intentID string) bool {
	counted := d.order.UnmatchedRefund(intentID)
	if counted == nil {
		return false
	}
	d.endUnmatched(counted)
	return true
}

// settleUnmatched counts again what is left unexplained after matchRefund, and closes the case when nothing is.
func (d *decision) settleUnmatched(intentID string) {
	d.countUnmatched(d.order.IntentByStripeID(intentID))
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
	d.countUnmatched(p)
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
