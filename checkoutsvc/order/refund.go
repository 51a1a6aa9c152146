package order

import (
	"slices"
	"time"
)

// Refund is money of an intent that goes back.
type Refund struct {
	ID            string `json:"id"`             // ours
	PaymentIntent string `json:"payment_intent"` // at Stripe
	// StripeRefundID is empty while Stripe was not asked, or has not answered.
	StripeRefundID   string `json:"stripe_refund_id"`
	AmountMinorUnits int64  `json:"amount_minor_units"`
	Currency         string `json:"currency"`
	// The shares of the amount that the platform's fee and the taxes bear.
	ApplicationFeeMinorUnits int64        `json:"application_fee_minor_units"`
	Taxes                    []TaxShare   `json:"taxes"`
	State                    RefundState  `json:"state"`
	Reason                   RefundReason `json:"reason"`
	Note                     string       `json:"note"`
	// TicketIDs are the tickets that it voids.
	TicketIDs   []string   `json:"ticket_ids"`
	FailureCode string     `json:"failure_code"`
	RefundTime  *time.Time `json:"refund_time"` // when Stripe made it
	CreateTime  time.Time  `json:"create_time"`
	// Attempt counts the keys under which Stripe is asked, and AttemptTime is when the latest one began; nil is CreateTime.
	Attempt     int32      `json:"attempt"`
	AttemptTime *time.Time `json:"attempt_time"`
}

// RefundState is the state of a refund.
type RefundState string

// The states of a refund.
const (
	RefundRequested RefundState = "requested" // written down; Stripe did not answer yet
	RefundPending   RefundState = "pending"   // Stripe made it, the money is on its way
	RefundSucceeded RefundState = "succeeded" // the money is there; it may still come back
	RefundFailed    RefundState = "failed"    // the money came back to us, or Stripe refused
	RefundCanceled  RefundState = "canceled"  // it was canceled at Stripe
)

var refundTransitions = map[RefundState][]RefundState{
	RefundRequested: {RefundPending, RefundSucceeded, RefundFailed, RefundCanceled},
	RefundPending:   {RefundSucceeded, RefundFailed, RefundCanceled},
	RefundSucceeded: {RefundFailed, RefundCanceled},
	RefundFailed:    {},
	RefundCanceled:  {},
}

// refundRank orders the states of a refund: the higher one wins whatever arrives first. Failed and canceled are both
// final, and Stripe never reports both of one refund.
var refundRank = map[RefundState]int{RefundRequested: 0, RefundPending: 1, RefundSucceeded: 2, RefundCanceled: 3, RefundFailed: 3}

// LedgerID is what the ledger knows a refund by: Stripe's id, or ours while Stripe reports only a sum; empty for one that
// Stripe never made.
func (r *Refund) LedgerID() string {
	if r.StripeRefundID == "" && r.Reason == RefundUnmatched {
		return r.ID
	}
	return r.StripeRefundID
}

// Moved says whether the money of a refund is on its way to the buyer or there.
func (s RefundState) Moved() bool { return s == RefundPending || s == RefundSucceeded }

// CameBack says whether a refund has ended without its money: nothing left, or it came back to us.
func (s RefundState) CameBack() bool { return s == RefundFailed || s == RefundCanceled }

// RefundStateOf turns Stripe's word for a refund's status into ours. Words that are not known, such as requires_action (the
// buyer must tell where to), mean that it is on its way.
func RefundStateOf(stripe string) RefundState {
	if _, known := refundRank[RefundState(stripe)]; known {
		return RefundState(stripe)
	}
	return RefundPending
}

// RefundReason is why money goes back.
type RefundReason string

// The reasons of refunds.
const (
	RefundByRequest        RefundReason = "requested"         // staff asked for it
	RefundDuplicatePayment RefundReason = "duplicate_payment" // a second payment for one order
	RefundLate             RefundReason = "late"              // the payment came after the hold, and the stock was gone
	RefundGivenUp          RefundReason = "given_up"          // the tickets could not be made valid in time
	RefundExternal         RefundReason = "external"          // made at Stripe, such as in its dashboard
	RefundFraud            RefundReason = "fraud"             // an early fraud warning, by policy
	RefundUnmatched        RefundReason = "unmatched"         // Stripe reports only a sum; the refund behind it is not known yet
)

// refundUnwanted writes down that what is left of money which buys nothing goes back, and the work that sends it and that books it as
// a bare receipt. Neither waits for the other: a ledger that is away keeps no buyer from their money, and the refund is
// posted once what it leaves from is. There is one such refund per intent, kept by the database.
func (d *decision) refundUnwanted(p *PaymentIntent, reason RefundReason) {
	o := &d.order
	if slices.ContainsFunc(o.Refunds, func(r Refund) bool { return r.PaymentIntent == p.StripeID && r.Reason == reason }) {
		return
	}
	left := o.left(p.StripeID, "")
	if left == 0 { // all of it went back already: the books still need the receipt that it left from
		for _, r := range o.Refunds {
			if r.PaymentIntent == p.StripeID && r.State.Moved() {
				d.enqueue(WorkSettleReceipt, r.ID)
				return
			}
		}
	}
	r := Refund{
		ID: d.policy.NewID(), PaymentIntent: p.StripeID, AmountMinorUnits: left, Currency: o.Currency,
		State: RefundRequested, Reason: reason, CreateTime: d.now, Attempt: 1,
	}
	d.shareOwed(&r)
	o.Refunds = append(o.Refunds, r)
	d.note("refund_requested", string(reason))
	d.enqueue(WorkSettleReceipt, r.ID)
	d.enqueue(WorkSendRefund, r.ID)
}

// RefundObserved is the fact that somebody observed a refund: a webhook, or we ourselves.
type RefundObserved struct {
	Account     string
	IntentID    string
	OrderID     string // of the metadata; empty when there is none
	RefundID    string // ours, of the metadata; empty when it was made elsewhere
	StripeID    string
	State       RefundState
	Currency    string
	Amount      int64 // in minor units
	TicketIDs   []string
	FailureCode string
	Time        time.Time
}

// observe merges the refund into its row, or adopts one that was made elsewhere. An order that is not paid yet keeps the
// fact: refunds may be reported before the payment.
func (f RefundObserved) observe(d *decision) error {
	o := &d.order
	i := slices.IndexFunc(o.Refunds, func(r Refund) bool {
		return r.StripeRefundID == f.StripeID || r.StripeRefundID == "" && r.ID == f.RefundID
	})
	switch {
	case i >= 0 && o.Refunds[i].StripeRefundID != "":
		d.mergeRefund(&o.Refunds[i], f)
	case i >= 0:
		intentID := o.Refunds[i].PaymentIntent
		counted := d.matchRefund(intentID)
		d.mergeRefund(&o.Refunds[i], f)
		d.settleUnmatched(intentID, counted, f.Amount)
	case f.IntentID == "":
		return ErrNoOrder
	default:
		counted := d.matchRefund(f.IntentID)
		d.adoptRefund(f)
		d.settleUnmatched(f.IntentID, counted, f.Amount)
	}
	d.setPayment()
	d.settleTickets()
	d.closeRefundCases()
	return nil
}

// refundsOf are what of an intent went back, or is on its way, and the refunds at Stripe.
func (o *Order) refundsOf(intentID string) (sum int64, ids []string) {
	for _, r := range o.Refunds {
		if r.PaymentIntent == intentID && r.State.Moved() {
			sum += r.AmountMinorUnits
			if r.StripeRefundID != "" {
				ids = append(ids, r.StripeRefundID)
			}
		}
	}
	return sum, ids
}

// wentBack says whether all that was captured by an intent went back, or is on its way.
func (o *Order) wentBack(intentID string) bool {
	sum, _ := o.refundsOf(intentID)
	p := o.IntentByStripeID(intentID)
	return p != nil && p.CapturedMinorUnits > 0 && sum >= p.CapturedMinorUnits
}

// closeRefundCases closes the cases of refunds that failed or were refused, once all of their payment's money went back in another
// way.
func (d *decision) closeRefundCases() {
	o := &d.order
	for _, r := range o.Refunds {
		if !r.State.CameBack() || !o.wentBack(r.PaymentIntent) {
			continue
		}
		kind := CaseRefundFailed
		if r.StripeRefundID == "" {
			kind = CaseRefundRefused
		}
		d.resolve(kind, r.ID, "All of the money went back by other refunds.")
	}
	if p := o.partialCapture(); p != nil && o.wentBack(p.StripeID) {
		d.resolve(CasePaymentMismatch, mismatchSubject(p.StripeID, MismatchAmount), "All that was captured went back.")
	}
}

// RefundOf returns the refund that an observation was merged into; nil if it was not.
func (o *Order) RefundOf(f RefundObserved) *Refund {
	if i := slices.IndexFunc(o.Refunds, func(r Refund) bool { return r.StripeRefundID == f.StripeID }); i >= 0 {
		return &o.Refunds[i]
	}
	return nil
}

// mergeRefund merges an observation into a refund that is known: the state of the higher rank wins.
func (d *decision) mergeRefund(r *Refund, f RefundObserved) {
	before := *r
	if r.StripeRefundID == "" {
		at := f.Time
		r.StripeRefundID, r.RefundTime = f.StripeID, &at
		d.refundMade(r, f)
	}
	if refundRank[f.State] > refundRank[r.State] {
		mustMove("refund", refundTransitions, r.State, f.State)
		r.State = f.State
	}
	if f.FailureCode != "" {
		r.FailureCode = f.FailureCode
	}
	if len(r.TicketIDs) == 0 {
		r.TicketIDs = f.TicketIDs
	}
	if r.State != before.State || r.StripeRefundID != before.StripeRefundID || r.FailureCode != before.FailureCode ||
		len(r.TicketIDs) != len(before.TicketIDs) {
		d.refundMoved(r, before.State)
	}
}

// refundMade ends what a refund waited for: Stripe made it, perhaps under an earlier attempt, whose amount counts.
func (d *decision) refundMade(r *Refund, f RefundObserved) {
	if r.Reason.Owed() {
		r.AmountMinorUnits = f.Amount
		d.shareOwed(r)
	}
	if r.FailureCode != "" {
		d.alert(Alert{Kind: AlertRefundDelayed, Subject: r.FailureCode, Resolved: true})
		d.resolve(CaseRefundRefused, r.ID, "Stripe made the refund after all.")
		r.FailureCode = ""
	}
}

// adoptRefund adds a refund that was made elsewhere.
func (d *decision) adoptRefund(f RefundObserved) {
	o, at := &d.order, f.Time
	r := Refund{
		ID: d.policy.NewID(), PaymentIntent: f.IntentID, StripeRefundID: f.StripeID, AmountMinorUnits: f.Amount, Currency: f.Currency,
		State: f.State, Reason: RefundExternal, TicketIDs: f.TicketIDs, FailureCode: f.FailureCode, RefundTime: &at, CreateTime: d.now, Attempt: 1,
	}
	if o.PayingIntent == "" || o.PayingIntent == f.IntentID {
		r.ApplicationFeeMinorUnits, r.Taxes = o.refundShares(f.IntentID, f.TicketIDs, f.Amount, d.returnsFee())
	}
	o.Refunds = append(o.Refunds, r)
	d.refundMoved(&r, "")
}

// refundMoved has the ledger follow a refund's new state, and a person decide about one that failed after it was sent.
func (d *decision) refundMoved(r *Refund, before RefundState) {
	d.enqueue(WorkPostRefund, r.ID)
	if r.State == before {
		return
	}
	d.note("refund_"+string(r.State), r.StripeRefundID)
	if r.State.Moved() && !before.Moved() {
		d.enqueue(WorkMailRefund, r.ID)
	}
	if r.State.CameBack() && r.StripeRefundID != "" {
		d.raise(ReviewCase{
			Kind: CaseRefundFailed, Subject: r.ID, Intent: r.PaymentIntent,
			Facts:  map[string]string{"stripe_refund_id": r.StripeRefundID, "failure_code": r.FailureCode, "state": string(r.State)},
			Action: d.order.actionAfter(r, "The money came back to us. ", "Tickets stay void; issue new ones if they are wanted."),
		})
	}
}

// actionAfter is what a person can do after a refund that failed or was refused, which what says. tickets is about those of the order.
func (o *Order) actionAfter(r *Refund, what, tickets string) string {
	if o.PayingIntent != "" && o.PayingIntent != r.PaymentIntent {
		return what + "The payment bought nothing: refund it again by its intent, or ask the buyer for another way to pay it out. The tickets of the order are another payment's."
	}
	return what + "Refund it again, or ask the buyer for another way to pay it out. " + tickets
}

// Stripe's codes of refusals: of a charge of which nothing is left, whatever Stripe lists, and of one that is disputed.
const (
	codeAlreadyRefunded = "charge_already_refunded"
	codeDisputed        = "charge_disputed"
)

// RefundRefused is the fact that Stripe will not make a refund, after all refunds that Stripe lists were observed.
type RefundRefused struct {
	RefundID string // ours
	Attempt  int32
	Code     string // Stripe's
}

// observe leaves the refund to a person. One that was asked for ends, and its tickets admit again; not when all of the money went
// back by refunds that are known meanwhile. One that is owed is asked for again: for what is left, where that is less than was
// asked for, and later where Stripe refuses that, too.
func (f RefundRefused) observe(d *decision) error {
	r := d.order.waitingRefund(f.RefundID)
	if r == nil || r.Attempt != f.Attempt {
		return nil
	}
	if p := d.order.IntentByStripeID(r.PaymentIntent); f.Code == codeAlreadyRefunded && p != nil {
		p.RefundedMinorUnits = p.CapturedMinorUnits
	}
	r = d.attemptNotMade(r)
	if r.Reason.Owed() {
		refused := r.AmountMinorUnits
		d.nextAttempt(r)
		if r.AmountMinorUnits < refused || r.State != RefundRequested {
			d.setPayment()
			d.settleTickets()
			d.closeRefundCases()
			return nil
		}
		d.noteRefusal(r, f.Code)
	} else {
		mustMove("refund", refundTransitions, r.State, RefundFailed)
		r.State, r.FailureCode = RefundFailed, f.Code
		d.note("refund_refused", f.Code)
	}
	d.setPayment()
	d.settleTickets()
	if d.order.wentBack(r.PaymentIntent) {
		return nil
	}
	action := "Stripe refuses the refund and is asked again by itself. Look at the payment there and settle with the buyer by other means if need be."
	if r.State.CameBack() {
		action = d.order.actionAfter(r, "Stripe refused the refund; look at the payment there. ", "Tickets that it named admit again.")
	}
	d.raise(ReviewCase{
		Kind: CaseRefundRefused, Subject: r.ID, Intent: r.PaymentIntent, Facts: map[string]string{"refund_id": r.ID, "stripe_code": f.Code},
		Action: action,
	})
	return nil
}
