package order

import (
	"slices"
	"strconv"
	"time"
)

// PaymentState is the state of an order's payment. It is derived from facts whenever one of them changes.
type PaymentState string

// The states of an order's payment.
const (
	PaymentAwaiting          PaymentState = "awaiting_payment"   // the hold is alive and no money came
	PaymentProcessing        PaymentState = "processing"         // the money is on its way
	PaymentAuthorized        PaymentState = "authorized"         // the money is authorised and not captured
	PaymentPartiallyCaptured PaymentState = "partially_captured" // less than the total is captured; a person decides
	PaymentPaid              PaymentState = "paid"               // all of the total is captured
	PaymentPartiallyRefunded PaymentState = "partially_refunded" // some of it went back, or is on its way
	PaymentRefunded          PaymentState = "refunded"           // all of it went back, or is on its way
	PaymentDisputed          PaymentState = "disputed"           // the buyer's bank asks for the money, undecided
	PaymentChargedBack       PaymentState = "charged_back"       // a dispute was lost
	PaymentCanceled          PaymentState = "canceled"           // the hold was released without money
	PaymentExpired           PaymentState = "expired"            // the hold ran out without money
	PaymentFailed            PaymentState = "failed"             // the hold ran out after a payment that failed
	PaymentNotRequired       PaymentState = "not_required"       // the order is free, from its start and for good
)

// withMoney are the states of captured money. It may come in any state before: late money.
var withMoney = []PaymentState{PaymentPartiallyCaptured, PaymentPaid, PaymentPartiallyRefunded, PaymentRefunded, PaymentDisputed, PaymentChargedBack}

var paymentTransitions = map[PaymentState][]PaymentState{
	PaymentAwaiting:          or(withMoney, PaymentProcessing, PaymentAuthorized, PaymentCanceled, PaymentExpired, PaymentFailed),
	PaymentProcessing:        or(withMoney, PaymentAwaiting, PaymentAuthorized, PaymentCanceled, PaymentExpired, PaymentFailed),
	PaymentAuthorized:        or(withMoney, PaymentAwaiting, PaymentProcessing, PaymentCanceled, PaymentExpired, PaymentFailed),
	PaymentCanceled:          or(withMoney, PaymentProcessing, PaymentAuthorized), // the hold has ended for good
	PaymentExpired:           or(withMoney, PaymentProcessing, PaymentAuthorized, PaymentFailed),
	PaymentFailed:            or(withMoney, PaymentProcessing, PaymentAuthorized, PaymentExpired),
	PaymentPartiallyCaptured: {PaymentPaid, PaymentPartiallyRefunded, PaymentRefunded, PaymentDisputed, PaymentChargedBack},
	PaymentPaid:              {PaymentPartiallyRefunded, PaymentRefunded, PaymentDisputed, PaymentChargedBack},
	PaymentPartiallyRefunded: {PaymentPartiallyCaptured, PaymentPaid, PaymentRefunded, PaymentDisputed, PaymentChargedBack}, // back to paid when the refund fails
	PaymentRefunded:          {PaymentPartiallyCaptured, PaymentPaid, PaymentPartiallyRefunded, PaymentDisputed, PaymentChargedBack},
	PaymentDisputed:          {PaymentPartiallyCaptured, PaymentPaid, PaymentPartiallyRefunded, PaymentRefunded, PaymentChargedBack},
	// Lost is the highest rank of a dispute: only another intent's money, after a part of the total was charged back, leads on.
	PaymentChargedBack: {PaymentPaid, PaymentPartiallyRefunded, PaymentRefunded, PaymentDisputed},
	PaymentNotRequired: {},
}

func or(states []PaymentState, more ...PaymentState) []PaymentState {
	return slices.Concat(states, more)
}

// Captured and Refunded are the sums of the intent whose money the order is about; money of a duplicate payment never counts.
func (o *Order) Captured() int64 {
	if p := o.Funding(); p != nil {
		return p.CapturedMinorUnits
	}
	return 0
}

// Refunded is what went back of that intent, or is on its way.
func (o *Order) Refunded() int64 {
	var sum int64
	for _, r := range o.Refunds {
		if o.fundedBy(r.PaymentIntent) && r.State.Moved() {
			sum += r.AmountMinorUnits
		}
	}
	return sum
}

// refundedWhole says whether all that was captured went back, or is on its way.
func (o *Order) refundedWhole() bool { return o.Captured() > 0 && o.Refunded() >= o.Captured() }

// derivePayment derives the payment state from the facts; the first rule that holds decides.
// Source: docs/design.md, "Payments are facts that commute".
func (o *Order) derivePayment() PaymentState {
	if o.Free() {
		return PaymentNotRequired
	}
	captured, refunded := o.Captured(), o.Refunded()
	current := o.Intents[len(o.Intents)-1]
	switch {
	case o.disputeLost():
		return PaymentChargedBack
	case o.disputeOpen():
		return PaymentDisputed
	case o.refundedWhole():
		return PaymentRefunded
	case refunded > 0:
		return PaymentPartiallyRefunded
	case captured >= o.TotalMinorUnits:
		return PaymentPaid
	case captured > 0:
		return PaymentPartiallyCaptured
	case o.anyIntent(IntentRequiresCapture):
		return PaymentAuthorized
	case o.anyIntent(IntentProcessing):
		return PaymentProcessing
	case o.Hold.State == HoldActive:
		return PaymentAwaiting
	case o.Hold.State == HoldExpired && current.FailureCode != "":
		return PaymentFailed
	case o.Hold.State == HoldExpired:
		return PaymentExpired
	default:
		return PaymentCanceled
	}
}

func (o *Order) anyIntent(status IntentStatus) bool {
	return slices.ContainsFunc(o.Intents, func(p PaymentIntent) bool { return p.Status == status })
}

// setPayment brings the payment state to what follows from the facts.
func (d *decision) setPayment() {
	state := d.order.derivePayment()
	mustMove("payment", paymentTransitions, d.order.Payment, state)
	d.order.Payment = state
}

func (f Payment) observe(d *decision) error {
	p, err := d.mergePayment(f)
	if err != nil {
		return err
	}
	if p.Succeeded && f.Captured() {
		d.acceptMoney(p, f)
	}
	d.endWithoutMoney(p)
	d.setPayment()
	return nil
}

// mergePayment merges the observation into the facts of its intent and returns them.
func (d *decision) mergePayment(f Payment) (*PaymentIntent, error) {
	p := d.order.Intent(f.Account, f.IntentID)
	if p == nil {
		waiting := slices.ContainsFunc(d.order.Intents, func(p PaymentIntent) bool { return p.StripeID == "" && !p.Refused() })
		if waiting && !f.Adopt {
			return nil, ErrUnknownIntent
		}
		p = d.adoptIntent(f)
	}
	feeKnown := p.BalanceTransactionID != ""
	*p = p.merge(f)
	if !feeKnown && p.BalanceTransactionID != "" && d.order.Settled() { // otherwise the end of the fulfilment asks for the fee
		d.enqueue(WorkRecordFee, p.ID)
		d.resolve(CaseFeeUnmatched, p.StripeID, feeFound)
		d.resolve(CaseCaptureUnmatched, p.StripeID, feeFound)
	}
	if p.Succeeded && p.Canceled {
		d.raise(ReviewCase{
			Kind: CaseSucceededAndCanceled, Subject: f.IntentID, Intent: f.IntentID,
			Action: "Look at the payment intent in Stripe: it was reported as both captured and canceled. The capture counts.",
		})
	}
	return p, nil
}

// adoptIntent adds an intent to the order that we did not make ourselves, such as one made in Stripe's dashboard with
// the order's id. It can pay like any other: what counts is that the money fits.
func (d *decision) adoptIntent(f Payment) *PaymentIntent {
	o, number := &d.order, int32(1)
	if len(o.Intents) > 0 {
		number = o.Intents[len(o.Intents)-1].Number + 1
	}
	o.Intents = append(o.Intents, PaymentIntent{
		ID: d.policy.NewID(), Number: number, StripeAccount: f.Account, StripeID: f.IntentID,
		Currency: f.Currency, AmountMinorUnits: f.AmountMinorUnits,
		Status: IntentRequiresPaymentMethod, StatusTime: StatusTimeUnknown, CreateTime: d.now, Attempt: 1,
	})
	return &o.Intents[len(o.Intents)-1]
}

// moneyRole is what captured money is to an order.
type moneyRole int

const (
	moneyKnown      moneyRole = iota // of the paying intent
	moneyMismatched                  // does not fit the order
	moneyDuplicate                   // another intent paid already
	moneyInTime                      // the hold is alive: it buys the tickets
	moneyLate                        // the hold is gone, or the event canceled: it buys them if there is stock left
)

// classifyMoney says what captured money is to the order.
func (o *Order) classifyMoney(p *PaymentIntent, f Payment, livemode bool) moneyRole {
	switch {
	case o.MismatchOf(f, p.CapturedMinorUnits, livemode) != MismatchNone:
		return moneyMismatched
	case o.PayingIntent == f.IntentID:
		return moneyKnown
	case o.PayingIntent != "":
		return moneyDuplicate
	case o.Hold.State == HoldActive && !o.Schedule.Canceled():
		return moneyInTime
	}
	return moneyLate
}

// WantsStock says whether a fact reports money that would buy tickets whose hold has ended, so that their stock must be
// taken once more before it is observed: see [WithStock]. Once the event is over it buys none.
func WantsStock(o Order, f Fact, p Policy, now time.Time) bool {
	var payment Payment
	switch f := f.(type) {
	case PaymentAccepted:
		return o.Hold.State != HoldActive && !o.eventOver(now) && o.acceptable(f.IntentID) != nil
	case Payment:
		payment = f
	case Charge:
		payment = f.Payment()
	default:
		return false
	}
	if payment.Account != o.StripeAccount() || !payment.Captured() || o.PayingIntent != "" || o.eventOver(now) || o.Hold.State == HoldActive {
		return false
	}
	d := &decision{order: o.clone(), policy: p}
	intent, err := d.mergePayment(payment)
	return err == nil && d.order.classifyMoney(intent, payment, p.Livemode) == moneyLate
}

// WithStock returns the fact with the answer to WantsStock.
func WithStock(f Fact, s Stock) Fact {
	switch f := f.(type) {
	case Payment:
		f.Stock = s
		return f
	case Charge:
		f.Stock = s
		return f
	case PaymentAccepted:
		f.Stock = s
		return f
	}
	panic("only payments want stock")
}

// acceptMoney decides what captured money buys.
//
//	of the paying intent           nothing
//	does not fit the order         nothing; a review case; so all money for a free order
//	another intent paid            a duplicate payment: receipt and refund
//	hold alive                     tickets
//	hold gone, stock left          tickets
//	hold gone, stock gone          unfulfillable: receipt and refund; so once the event is over or canceled
func (d *decision) acceptMoney(p *PaymentIntent, f Payment) {
	kind := d.order.classifyMoney(p, f, d.policy.Livemode)
	if kind == moneyMismatched {
		d.refuseMoney(p, f)
		return
	}
	if kind != moneyKnown && !p.Duplicate {
		p.Mismatch = MismatchNone // what was known before did not fit
	}
	switch {
	case kind == moneyKnown:
	case kind == moneyDuplicate:
		if !p.Duplicate {
			p.Duplicate = true
			d.refundUnwanted(p, RefundDuplicatePayment)
			d.enqueue(WorkRecordFee, p.ID)
		}
	case kind == moneyLate && f.Stock != StockTaken:
		d.endHoldOfCanceled()
		d.refundAndFail(p, f.Time, RefundLate)
	default:
		d.startFulfilment(p, f.Time)
	}
}

// refuseMoney leaves money that does not fit the order to a person. A capture of less than the total ends the hold.
func (d *decision) refuseMoney(p *PaymentIntent, f Payment) {
	o := &d.order
	mismatch := o.MismatchOf(f, p.CapturedMinorUnits, d.policy.Livemode)
	if p.Mismatch == MismatchNone && o.PayingIntent != f.IntentID {
		p.Mismatch = mismatch
	}
	action := "Compare the payment with the order in Stripe, then refund it there. No ticket was issued for it."
	if o.partialCapture() == p {
		action = "Less than the total was captured, and no ticket was issued. Refund the order, or accept the payment to complete it for what was captured."
		if o.Hold.State == HoldActive && !d.policy.PartialCaptureKeepsHold {
			d.endHold(HoldReleased)
		}
	}
	d.raise(ReviewCase{
		Kind: CasePaymentMismatch, Subject: mismatchSubject(f.IntentID, mismatch), Intent: f.IntentID,
		Facts: map[string]string{
			"mismatch": string(mismatch), "received_minor_units": strconv.FormatInt(f.ReceivedMinorUnits, 10), "currency": f.Currency,
			"order_total_minor_units": strconv.FormatInt(o.TotalMinorUnits, 10), "order_currency": o.Currency,
		},
		Action: action,
	})
}

// endWithoutMoney releases the hold when the order's current intent was canceled and nothing was captured.
func (d *decision) endWithoutMoney(p *PaymentIntent) {
	o := &d.order
	current := &o.Intents[len(o.Intents)-1]
	if p == current && p.Canceled && !p.Succeeded && o.PayingIntent == "" && o.Hold.State == HoldActive {
		d.endHold(HoldReleased)
	}
}

// Charge is the fact that somebody observed a charge. A captured charge is the same fact as a succeeded intent; a failed one
// is one failed attempt; one that is pending is money on its way.
type Charge struct {
	Account                           string
	IntentID                          string
	OrderID                           string // of the metadata; empty when there is none
	ChargeID                          string
	Succeeded, Captured               bool
	Currency                          string
	AmountMinorUnits                  int64
	CapturedMinorUnits                int64
	RefundedMinorUnits                int64 // of all refunds of the charge together
	Livemode                          bool
	Time                              time.Time
	BalanceTransactionID, FailureCode string
	Adopt                             bool
	Stock                             Stock
}

// Payment returns what the charge reports of its intent.
func (f Charge) Payment() Payment {
	p := Payment{
		Account: f.Account, IntentID: f.IntentID, OrderID: f.OrderID, Status: IntentProcessing, Currency: f.Currency,
		AmountMinorUnits: f.AmountMinorUnits, Livemode: f.Livemode, Time: f.Time, ChargeID: f.ChargeID,
		BalanceTransactionID: f.BalanceTransactionID, FailureCode: f.FailureCode, Adopt: f.Adopt, Stock: f.Stock,
	}
	switch {
	case f.Succeeded && f.Captured:
		p.Status, p.ReceivedMinorUnits = IntentSucceeded, f.CapturedMinorUnits
	case f.Succeeded:
		p.Status = IntentRequiresCapture
	case f.FailureCode != "":
		p.Status = IntentFailed
	}
	return p
}

func (f Charge) observe(d *decision) error {
	p := f.Payment()
	if p.Status == IntentFailed { // one attempt's: the intent may have gone on with another, as its own events say
		p.Status, p.Time = IntentRequiresPaymentMethod, StatusTimeUnknown
	}
	if err := p.observe(d); err != nil {
		return err
	}
	if !p.Captured() || f.RefundedMinorUnits == 0 {
		return nil
	}
	// What of an authorisation was not captured counts as refunded at Stripe, and is no customer's money.
	refunded := f.RefundedMinorUnits - (f.AmountMinorUnits - f.CapturedMinorUnits)
	intent := d.order.IntentByStripeID(f.IntentID)
	intent.RefundedMinorUnits = max(intent.RefundedMinorUnits, min(refunded, intent.CapturedMinorUnits))
	var known int64
	for _, r := range d.order.Refunds {
		if r.PaymentIntent == f.IntentID && r.State.Moved() {
			known += r.AmountMinorUnits
		}
	}
	if refunded > known { // counted already or not: the refunds may be listed by now
		d.changes.FetchRefunds = &IntentRef{Account: f.Account, IntentID: f.IntentID}
	}
	return nil
}
