package order

import (
	"slices"
	"time"
)

// A capture below the order's total buys nothing by itself. It ends the hold, unless the policy keeps it, and a person decides:
// the money goes back (RefundRequest), or the order is completed for what was captured (PaymentAccepted).

// partialCapture returns the intent of which less than the total was captured, while no other has paid; nil when there is none.
func (o *Order) partialCapture() *PaymentIntent {
	if o.PayingIntent != "" {
		return nil
	}
	return findIntent(o.Intents, func(p PaymentIntent) bool {
		return p.Mismatch == MismatchAmount && p.CapturedMinorUnits > 0 && p.CapturedMinorUnits < o.TotalMinorUnits
	})
}

// Funding returns the intent whose money the order is about: the paying one, else one of which a part was captured; nil when
// there is no money.
func (o *Order) Funding() *PaymentIntent {
	if p := o.Paying(); p != nil {
		return p
	}
	return o.partialCapture()
}

// fundedBy says whether an intent is the one whose money the order is about.
func (o *Order) fundedBy(intentID string) bool {
	p := o.Funding()
	return p != nil && p.StripeID == intentID
}

// acceptable returns the intent whose partial capture may be accepted: nothing of it went back or is about to.
func (o *Order) acceptable(intentID string) *PaymentIntent {
	p := o.partialCapture()
	if p == nil || p.StripeID != intentID || slices.ContainsFunc(o.Refunds, func(r Refund) bool {
		return r.PaymentIntent == intentID && (r.StripeRefundID != "" || r.State == RefundRequested || r.State.Moved())
	}) {
		return nil
	}
	return p
}

// mismatchSubject is the subject of the review case about an intent's money.
func mismatchSubject(intentID string, m Mismatch) string { return intentID + "/" + string(m) }

// PaymentAccepted is the fact that staff take what was captured as the whole payment.
type PaymentAccepted struct {
	IntentID string // at Stripe
	By       string // who decided, for the timeline
	Note     string
	Stock    Stock // answers what WantsStock asked
}

// observe lowers the total to what was captured, fee and taxes in proportion, and starts fulfilment. Money of which a part
// went back, or is disputed, is in the books as a bare receipt and buys nothing any more.
//
// Reasons: ORDER_DISPUTED, PAYMENT_NOT_ACCEPTABLE, SALE_NOT_OPEN, SOLD_OUT.
func (f PaymentAccepted) observe(d *decision) error {
	o := &d.order
	p := o.acceptable(f.IntentID)
	switch {
	case p == nil:
		return &Refusal{Reason: ReasonPaymentNotAcceptable, Detail: "no capture below the total waits for a decision under this intent, or its money is going back"}
	case slices.ContainsFunc(o.Disputes, func(dispute Dispute) bool { return dispute.PaymentIntent == f.IntentID }):
		return &Refusal{Reason: ReasonOrderDisputed, Detail: "the payment is or was disputed; refund what is left"}
	case o.eventOver(d.now):
		return &Refusal{Reason: ReasonSaleNotOpen, Detail: "the event is over; refund the payment"}
	case o.Hold.State != HoldActive && f.Stock != StockTaken:
		return &Refusal{Reason: ReasonSoldOut, Detail: "the hold has ended and not enough tickets are left; refund the payment"}
	}
	shares := []int64{o.ApplicationFeeMinorUnits, o.TotalMinorUnits - o.ApplicationFeeMinorUnits}
	for _, t := range o.Taxes {
		shares = append(shares, t.MinorUnits)
		shares[1] -= t.MinorUnits
	}
	parts := shareOut(shares, o.TotalMinorUnits, p.CapturedMinorUnits)
	taxes := o.Taxes
	o.TotalMinorUnits, o.ApplicationFeeMinorUnits, o.Taxes = p.CapturedMinorUnits, parts[0], nil
	for i, t := range taxes {
		if t.MinorUnits = parts[i+2]; t.MinorUnits > 0 {
			o.Taxes = append(o.Taxes, t)
		}
	}
	p.Mismatch = MismatchNone
	d.changes.Total = true
	d.startFulfilment(p, p.CreateTime)         // the capture's own time is not known
	d.changes.NextAttempt = new(time.Duration) // no attempt is under way: it is due
	d.setPayment()
	d.noteBy(f.By, "payment_accepted_in_part", f.Note)
	d.resolve(CasePaymentMismatch, mismatchSubject(p.StripeID, MismatchAmount), "Accepted as the whole payment.")
	return nil
}
