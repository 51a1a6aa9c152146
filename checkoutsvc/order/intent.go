package order

import (
	"strconv"
	"time"
)

// PaymentIntent is our request for money at Stripe, and what is known of it.
type PaymentIntent struct {
	ID            string `json:"id"` // ours
	Number        int32  `json:"number"`
	StripeAccount string `json:"stripe_account"` // connected account; empty for the platform's own
	// StripeID is empty while Stripe's answer to our create call is awaited.
	StripeID         string `json:"stripe_id"`
	ClientSecret     string `json:"client_secret"`
	Currency         string `json:"currency"`
	AmountMinorUnits int64  `json:"amount_minor_units"`
	// Facts that merge in any order.
	Status             IntentStatus `json:"status"`
	StatusTime         time.Time    `json:"status_time"`
	CapturedMinorUnits int64        `json:"captured_minor_units"`
	// RefundedMinorUnits is the largest sum of its refunds that Stripe reported, without naming them.
	RefundedMinorUnits   int64  `json:"refunded_minor_units"`
	Succeeded            bool   `json:"succeeded"`
	Canceled             bool   `json:"canceled"`
	ChargeID             string `json:"charge_id"`
	BalanceTransactionID string `json:"balance_transaction_id"`
	FailureCode          string `json:"failure_code"`
	// Fee is what Stripe kept of it, by its balance transaction. It is not stored: only who has just observed it knows it.
	Fee *StripeFee `json:"-"`
	// Duplicate says that its money is a second payment for the order, and goes back.
	Duplicate bool `json:"duplicate"`
	// Mismatch says why captured money does not fit the order; empty when it does.
	Mismatch   Mismatch  `json:"mismatch"`
	CreateTime time.Time `json:"create_time"`
	// Attempt is the number of the key under which Stripe is asked to make the intent, from 1; AttemptTime is when the latest one
	// began, nil for the first.
	Attempt     int32      `json:"attempt"`
	AttemptTime *time.Time `json:"attempt_time"`
}

// Began is when the latest attempt to make the intent began.
func (p *PaymentIntent) Began() time.Time {
	if p.AttemptTime != nil {
		return *p.AttemptTime
	}
	return p.CreateTime
}

// IntentAttemptLost is the fact that Stripe keeps a failure of its own under the key of an attempt to make an intent, and that the
// attempt made none.
type IntentAttemptLost struct {
	PaymentIntentRow string // ours
	Attempt          int32
}

// observe begins the next attempt, which is written before Stripe is asked.
func (f IntentAttemptLost) observe(d *decision) error {
	p := d.order.IntentByID(f.PaymentIntentRow)
	if p == nil || p.StripeID != "" || p.Canceled || p.Attempt != f.Attempt {
		return nil
	}
	now := d.now
	d.note("payment_attempt_lost", strconv.Itoa(int(p.Attempt)))
	p.Attempt++
	p.AttemptTime = &now
	return nil
}

// Refused says whether Stripe refused for good to make the intent; FailureCode says why.
func (p *PaymentIntent) Refused() bool { return p.Canceled && p.StripeID == "" }

// IntentRefused is the fact that Stripe will not make an intent, whatever is repeated: the amount or the currency is none that
// it charges.
type IntentRefused struct {
	PaymentIntentRow string // ours
	Code             string // Stripe's
}

// observe ends the intent and, when it is the order's current one, the hold: the stock is on sale again. There is nothing to
// cancel at Stripe. An intent that is known at Stripe meanwhile stays as it is.
func (f IntentRefused) observe(d *decision) error {
	p := d.order.IntentByID(f.PaymentIntentRow)
	if p == nil || p.StripeID != "" || p.Canceled {
		return nil
	}
	mustMove("payment intent", intentTransitions, p.Status, IntentCanceled)
	p.Status, p.Canceled, p.FailureCode = IntentCanceled, true, f.Code
	d.note("payment_refused", f.Code)
	d.endWithoutMoney(p)
	d.setPayment()
	return nil
}

// IntentStatus is the status of a payment intent at Stripe. The final ones are facts of their own: succeeded and canceled.
type IntentStatus string

// The statuses of a payment intent.
const (
	IntentRequiresPaymentMethod IntentStatus = "requires_payment_method" // the buyer has not paid yet
	IntentRequiresAction        IntentStatus = "requires_action"         // the buyer must confirm, such as by 3-D Secure
	IntentProcessing            IntentStatus = "processing"              // the money is on its way, such as a bank debit
	IntentRequiresCapture       IntentStatus = "requires_capture"        // the money is authorised and not captured
	IntentSucceeded             IntentStatus = "succeeded"               // the money is captured; final
	IntentFailed                IntentStatus = "failed"                  // one attempt failed; the buyer may try again
	IntentCanceled              IntentStatus = "canceled"                // no money will come; a capture reported all the same counts
)

var intentTransitions = map[IntentStatus][]IntentStatus{
	IntentRequiresPaymentMethod: {IntentRequiresAction, IntentProcessing, IntentRequiresCapture, IntentFailed, IntentSucceeded, IntentCanceled},
	IntentRequiresAction:        {IntentRequiresPaymentMethod, IntentProcessing, IntentRequiresCapture, IntentFailed, IntentSucceeded, IntentCanceled},
	IntentProcessing:            {IntentRequiresPaymentMethod, IntentRequiresAction, IntentRequiresCapture, IntentFailed, IntentSucceeded, IntentCanceled},
	IntentRequiresCapture:       {IntentRequiresPaymentMethod, IntentRequiresAction, IntentProcessing, IntentFailed, IntentSucceeded, IntentCanceled},
	IntentFailed:                {IntentRequiresPaymentMethod, IntentRequiresAction, IntentProcessing, IntentRequiresCapture, IntentSucceeded, IntentCanceled},
	IntentCanceled:              {IntentSucceeded},
	IntentSucceeded:             {},
}

// statusRank decides between two non-final observations of one second; the order itself means nothing, it is only the
// same for every order of arrival.
var statusRank = map[IntentStatus]int{
	IntentRequiresPaymentMethod: 0, IntentRequiresAction: 1, IntentProcessing: 2, IntentRequiresCapture: 3, IntentFailed: 4,
	IntentSucceeded: 5, IntentCanceled: 5, // final, never compared
}

// IntentStatusOf turns Stripe's word for an intent's status into ours. Words that are not known, such as
// requires_confirmation, mean that there is no money yet.
func IntentStatusOf(stripe string) IntentStatus {
	if _, known := statusRank[IntentStatus(stripe)]; known {
		return IntentStatus(stripe)
	}
	return IntentRequiresPaymentMethod
}

// StatusTimeUnknown is earlier than anything that Stripe reports: the status time of an intent that was never observed.
var StatusTimeUnknown = time.Unix(0, 0).UTC()

// Payment is the fact that somebody observed a payment intent: a webhook, or we ourselves by fetching it.
type Payment struct {
	Account              string
	IntentID             string
	OrderID              string // of the metadata; empty when there is none
	Status               IntentStatus
	Currency             string
	AmountMinorUnits     int64
	ReceivedMinorUnits   int64
	Livemode             bool
	Time                 time.Time
	ChargeID             string
	BalanceTransactionID string
	Fee                  *StripeFee // of the balance transaction; nil where the observation does not tell it
	FailureCode          string
	// Adopt lets an intent that is not ours join the order.
	Adopt bool
	// Stock answers what [WantsStock] asked; the zero value is for payments of which it does not ask.
	Stock Stock
}

// StripeFee is what Stripe kept of a payment, in the payment's currency.
type StripeFee struct {
	MinorUnits int64
	Time       time.Time // when it was charged
}

// Stock says whether there was stock for money that came after the order's hold had ended.
type Stock int

// What became of the stock.
const (
	StockNotAsked Stock = iota // the hold still keeps it
	StockTaken                 // there was enough of everything, and it is taken
	StockGone                  // there was not enough; nothing is taken
)

// Captured says whether the observation reports money.
func (f Payment) Captured() bool { return f.Status == IntentSucceeded }

// merge merges an observation into an intent's facts. The result does not depend on the order of observations: final
// statuses stick, sums take their maximum, and of the rest the latest by Stripe's clock wins.
// Source: docs/design.md, "Payments are facts that commute".
func (p PaymentIntent) merge(f Payment) PaymentIntent {
	switch f.Status {
	case IntentSucceeded:
		p.Succeeded = true
	case IntentCanceled:
		p.Canceled = true
	default:
		later := f.Time.After(p.StatusTime) || f.Time.Equal(p.StatusTime) && statusRank[f.Status] > statusRank[p.Status]
		if later && !p.Succeeded && !p.Canceled {
			p.Status, p.StatusTime = f.Status, f.Time
		}
	}
	switch { // a final status hides what was observed before it
	case p.Succeeded:
		p.Status = IntentSucceeded
	case p.Canceled:
		p.Status = IntentCanceled
	}
	if f.Captured() {
		p.CapturedMinorUnits = max(p.CapturedMinorUnits, f.ReceivedMinorUnits)
	}
	if f.ChargeID != "" && (f.Captured() || p.ChargeID == "" || !p.Succeeded && f.Time.After(p.StatusTime)) {
		p.ChargeID = f.ChargeID
	}
	if f.FailureCode != "" {
		p.FailureCode = f.FailureCode
	}
	if f.BalanceTransactionID != "" && f.Captured() && f.BalanceTransactionID != p.BalanceTransactionID {
		p.BalanceTransactionID, p.Fee = f.BalanceTransactionID, f.Fee
	}
	return p
}

// Mismatch is why captured money does not fit an order.
type Mismatch string

// The mismatches, in the order in which they are tested.
const (
	MismatchNone     Mismatch = ""         // it fits
	MismatchOwner    Mismatch = "owner"    // the metadata names another order
	MismatchLivemode Mismatch = "livemode" // of Stripe's other mode
	MismatchCurrency Mismatch = "currency" // not the order's currency
	MismatchAmount   Mismatch = "amount"   // not the order's total
)

// MismatchOf says whether captured money fits the order. captured is the sum known of the intent.
func (o *Order) MismatchOf(f Payment, captured int64, livemode bool) Mismatch {
	switch {
	case f.OrderID != "" && f.OrderID != o.ID:
		return MismatchOwner
	case f.Livemode != livemode:
		return MismatchLivemode
	case f.Currency != o.Currency:
		return MismatchCurrency
	case o.Free():
		return MismatchAmount
	case captured != o.TotalMinorUnits:
		return MismatchAmount
	}
	return MismatchNone
}
