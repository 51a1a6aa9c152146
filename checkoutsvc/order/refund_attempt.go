package order

import (
	"strconv"
	"time"
)

// A refund is asked for under one key at a time: the attempt. The next attempt begins only when it is known that the last one
// made no refund, or never will, and it is written before Stripe is asked. A refund that we owe is of what is left, and it
// ends only with its money.

// Owed says whether a refund of this reason gives back money that buys nothing. Nobody asked for it, so nobody would ask again.
func (r RefundReason) Owed() bool {
	return r == RefundDuplicatePayment || r == RefundLate || r == RefundGivenUp
}

// Began is when the latest attempt of a refund began.
func (r *Refund) Began() time.Time {
	if r.AttemptTime != nil {
		return *r.AttemptTime
	}
	return r.CreateTime
}

// left is what of an intent's money neither went back nor is about to, but by the refund of a given id.
func (o *Order) left(intentID, except string) int64 {
	p := o.IntentByStripeID(intentID)
	if p == nil {
		return 0
	}
	left := p.CapturedMinorUnits
	for _, r := range o.Refunds {
		if r.PaymentIntent == intentID && r.ID != except && !r.State.CameBack() {
			left -= r.AmountMinorUnits
		}
	}
	return max(left, 0)
}

// waitingRefund returns a refund that Stripe is still asked for; nil when there is none of that id.
func (o *Order) waitingRefund(id string) *Refund {
	if r := o.Refund(id); r != nil && r.StripeRefundID == "" && r.State == RefundRequested {
		return r
	}
	return nil
}

// nextAttempt has Stripe asked once more, under a key of its own: for what is left, if the refund is owed. Where nothing is, all
// of the money went back by other refunds, and there is nothing to ask for.
func (d *decision) nextAttempt(r *Refund) {
	now := d.now
	r.Attempt++
	r.AttemptTime = &now
	if !r.Reason.Owed() {
		return
	}
	if left := d.order.left(r.PaymentIntent, r.ID); left > 0 {
		r.AmountMinorUnits = left
		d.shareOwed(r)
	} else {
		d.endRefund(r, codeAlreadyRefunded)
	}
}

// noteRefusal writes down why Stripe does not make a refund yet.
func (d *decision) noteRefusal(r *Refund, code string) {
	if r.FailureCode != code {
		r.FailureCode = code
		d.note("refund_delayed", code)
	}
}

// endRefund ends a refund that Stripe was asked for and will not make.
func (d *decision) endRefund(r *Refund, code string) {
	mustMove("refund", refundTransitions, r.State, RefundCanceled)
	r.State, r.FailureCode = RefundCanceled, code
	d.note("refund_canceled", code)
	d.resolve(CaseRefundRefused, r.ID, "The buyer has the money by other means.")
}

// RefundAttemptLost is the fact that an attempt made no refund and never will: its key is too old, or Stripe keeps a failure of
// its own under it.
type RefundAttemptLost struct {
	RefundID string // ours
	Attempt  int32
}

func (f RefundAttemptLost) observe(d *decision) error {
	r := d.order.waitingRefund(f.RefundID)
	if r == nil || r.Attempt != f.Attempt {
		return nil
	}
	r = d.attemptNotMade(r)
	d.note("refund_attempt_lost", strconv.Itoa(int(r.Attempt)))
	d.nextAttempt(r)
	d.setPayment()
	d.settleTickets()
	d.closeRefundCases()
	return nil
}

// RefundDelayed is the fact that Stripe does not make a refund for a reason that passes: time or an operator ends it. The refund
// stays requested.
type RefundDelayed struct {
	RefundID string // ours
	Attempt  int32
	Code     string // Stripe's
}

// observe tells people, once per cause. A dispute that was lost gave the money back, so nothing is left to wait for; and a refund
// that somebody asked for and that is of more than is left by now is refused whatever time brings.
func (f RefundDelayed) observe(d *decision) error {
	o := &d.order
	r := o.waitingRefund(f.RefundID)
	if r == nil || r.Attempt != f.Attempt {
		return nil
	}
	r = d.attemptNotMade(r)
	if f.Code == codeDisputed && o.anyDispute(r.PaymentIntent, DisputeLost) {
		d.endRefund(r, f.Code)
		d.setPayment()
		d.settleTickets()
		return nil
	}
	if !r.Reason.Owed() && r.AmountMinorUnits > o.left(r.PaymentIntent, r.ID) {
		return RefundRefused(f).observe(d)
	}
	d.noteRefusal(r, f.Code)
	d.nextAttempt(r) // Stripe keeps refusals under their keys
	d.setPayment()
	d.settleTickets()
	if r.State != RefundRequested || f.Code == codeDisputed {
		return nil // the dispute has its own case
	}
	d.alert(Alert{Kind: AlertRefundDelayed, Subject: f.Code, Facts: map[string]any{
		"stripe_code": f.Code, "refund_id": r.ID, "amount_minor_units": r.AmountMinorUnits, "currency": r.Currency,
	}})
	return nil
}

// resumeRefunds has Stripe asked at once for refunds that waited for a dispute.
func (d *decision) resumeRefunds(intentID string) {
	for _, r := range d.order.Refunds {
		if r.PaymentIntent == intentID && r.State == RefundRequested && r.FailureCode == codeDisputed {
			d.enqueue(WorkSendRefund, r.ID)
		}
	}
}
