package order

import (
	"time"

	amounts "github.com/dayof/dayof/internal/money" // money is a word of the rules themselves
)

// FulfilmentState is the state of an order's way from captured money, or from its start if it is free, to valid tickets.
type FulfilmentState string

// The states of an order's fulfilment.
const (
	FulfilmentNone          FulfilmentState = "none"           // money is missing
	FulfilmentInProgress    FulfilmentState = "in_progress"    // passes and ledger entry are being made
	FulfilmentLedgerBlocked FulfilmentState = "ledger_blocked" // the same, failing at the ledger for over a minute
	FulfilmentCompleted     FulfilmentState = "completed"      // the tickets are valid
	FulfilmentUnfulfillable FulfilmentState = "unfulfillable"  // there are no tickets; money that came goes back
)

var fulfilmentTransitions = map[FulfilmentState][]FulfilmentState{
	FulfilmentNone:          {FulfilmentInProgress, FulfilmentUnfulfillable},
	FulfilmentInProgress:    {FulfilmentLedgerBlocked, FulfilmentCompleted, FulfilmentUnfulfillable},
	FulfilmentLedgerBlocked: {FulfilmentCompleted, FulfilmentUnfulfillable},
	FulfilmentCompleted:     {},
	FulfilmentUnfulfillable: {},
}

// BeingFulfilled says whether an attempt may be under way.
func (o *Order) BeingFulfilled() bool {
	return o.Fulfilment == FulfilmentInProgress || o.Fulfilment == FulfilmentLedgerBlocked
}

// Settled says whether fulfilment has ended, one way or the other.
func (o *Order) Settled() bool {
	return o.Fulfilment == FulfilmentCompleted || o.Fulfilment == FulfilmentUnfulfillable
}

func (d *decision) setFulfilment(state FulfilmentState) {
	mustMove("fulfilment", fulfilmentTransitions, d.order.Fulfilment, state)
	d.order.Fulfilment = state
}

// startFulfilment sets the paying intent, makes the tickets and gives the order to its first attempt.
func (d *decision) startFulfilment(p *PaymentIntent, captureTime time.Time) {
	d.order.PayingIntent, d.order.CaptureTime = p.StripeID, &captureTime
	d.beginFulfilment()
}

// beginFulfilment makes the tickets and gives the order to its first attempt.
func (d *decision) beginFulfilment() {
	d.setFulfilment(FulfilmentInProgress)
	d.order.Attempt = 1
	d.endHold(HoldConsumed)
	d.makeTickets()
	lease := d.policy.Lease
	d.changes.NextAttempt, d.changes.FulfilmentStarted = &lease, true
}

// AttemptSucceeded is the fact that the passes of an order are issued and its sale is posted.
type AttemptSucceeded struct {
	Attempt              int32
	PassSerials          map[string]string // by ticket id
	PassesTook, SaleTook time.Duration
	// FeePosted says that Stripe's fee was posted with the sale.
	FeePosted bool
}

// observe derives each ticket's state from the facts known by now and completes the order. A ticket that was refunded
// meanwhile becomes void, never valid.
func (f AttemptSucceeded) observe(d *decision) error {
	o := &d.order
	if o.Attempt != f.Attempt || !o.BeingFulfilled() {
		return ErrFenced
	}
	if o.Fulfilment == FulfilmentLedgerBlocked {
		d.alert(Alert{Kind: AlertOrderBlocked, Subject: o.ID, Resolved: true})
	}
	now := d.now
	d.setFulfilment(FulfilmentCompleted)
	o.CompleteTime, o.LastError = &now, ""
	for i := range o.Tickets {
		t := &o.Tickets[i]
		t.PassSerial = f.PassSerials[t.ID]
		d.moveTicket(t, o.deriveTicket(*t)) // also where it stays: a ticket on hold or void has a pass to show it only now
	}
	d.setPayment()
	o.IssuePassesMs, o.RecordSaleMs = f.PassesTook.Milliseconds(), f.SaleTook.Milliseconds()
	d.changes.NextAttempt = new(time.Duration)
	if !f.FeePosted && !o.Free() {
		d.enqueue(WorkRecordFee, o.Paying().ID)
	}
	d.enqueue(WorkSendReceipt, o.ID)
	return nil
}

// AttemptFailed is the fact that an attempt to fulfil an order did not get there. Failures are words that staff may read.
type AttemptFailed struct {
	Attempt                  int32
	Failure                  string
	PassFailure, SaleFailure string // empty: that step did not fail
	// ReceiptWon says that the ledger has the money as a bare receipt: the order was given up by somebody.
	ReceiptWon bool
	Took       time.Duration
	Backoff    time.Duration // until the next attempt
	RetryAfter time.Duration // that a dependency asked for; the next attempt never comes earlier
}

// observe writes down when to try again, and, once the order has waited for too long, that people must know. Past the
// deadline the order is given up. Another attempt's failure changes nothing.
func (f AttemptFailed) observe(d *decision) error {
	o := &d.order
	if o.Attempt != f.Attempt || !o.BeingFulfilled() {
		return nil
	}
	if o.FulfillingFor >= d.policy.GiveUpAfter || f.ReceiptWon {
		d.giveUp()
		return nil
	}
	if o.FulfillingFor >= d.policy.BlockedAfter {
		if f.SaleFailure != "" {
			d.setFulfilment(FulfilmentLedgerBlocked)
		}
		facts := map[string]any{"order_id": o.ID, "amount": amounts.Money{Currency: o.Currency, MinorUnits: o.Captured()}.Format()}
		if !o.Free() {
			facts["payment_intent_id"] = o.PayingIntent
		}
		if f.SaleFailure != "" {
			facts["record_sale"] = f.SaleFailure
		}
		if f.PassFailure != "" {
			facts["issue_passes"] = f.PassFailure
		}
		d.alert(Alert{Kind: AlertOrderBlocked, Subject: o.ID, Facts: facts})
	}
	o.LastError = f.Failure
	backoff, earliest := f.Backoff, f.RetryAfter
	d.changes.NextAttempt, d.changes.EarliestAttempt = &backoff, &earliest
	d.changes.Notes = append(d.changes.Notes, Note{Step: "attempt_failed", Attempt: o.Attempt, Took: f.Took, Failure: f.Failure})
	return nil
}

// giveUp ends an order whose tickets could not be made valid in time: raising the attempt fences off whoever still tries,
// the tickets become void, and the money goes back. The books are set right by whichever of sale and receipt the ledger
// has or gets.
func (d *decision) giveUp() {
	o := &d.order
	if o.Free() {
		d.fail()
		d.tellFailure("", RefundGivenUp, "The order was free, and the buyer was told by mail. Offer other tickets if there are any.")
	} else {
		d.refundAndFail(o.Paying(), *o.CaptureTime, RefundGivenUp)
	}
	d.settleTickets()
	for i := range o.Tickets {
		d.returnSeat(&o.Tickets[i])
	}
	d.alert(Alert{Kind: AlertOrderBlocked, Subject: o.ID, Resolved: true})
}

// refundAndFail makes an order unfulfillable and sends its money back.
func (d *decision) refundAndFail(p *PaymentIntent, captureTime time.Time, reason RefundReason) {
	o := &d.order
	o.PayingIntent, o.CaptureTime = p.StripeID, &captureTime
	d.fail()
	d.refundUnwanted(p, reason)
	d.enqueue(WorkRecordFee, p.ID)
	d.tellFailure(p.StripeID, reason, "The money is being refunded by itself, and the buyer was told by mail. Offer other tickets if there are any.")
}

// fail makes an order unfulfillable and fences off whoever attempts to fulfil it.
func (d *decision) fail() {
	d.setFulfilment(FulfilmentUnfulfillable)
	d.order.Attempt++
	d.changes.NextAttempt = new(time.Duration)
}

// tellFailure tells buyer and staff that an order is unfulfillable.
func (d *decision) tellFailure(intent string, reason RefundReason, action string) {
	d.enqueue(WorkMailGivenUp, d.order.ID)
	d.setPayment()
	d.note("unfulfillable", string(reason))
	d.raise(ReviewCase{
		Kind: CaseOrderUnfulfillable, Subject: d.order.ID, Intent: intent, Facts: map[string]string{"reason": string(reason)}, Action: action,
	})
}
