package order

import (
	"slices"
	"time"
)

// Hold is stock kept for an unpaid order until a time. It ends by a state written under the order's lock, never by a
// reader's clock: a hold that is past its time but not ended yet still turns into tickets.
type Hold struct {
	State      HoldState  `json:"state"`
	ExpireTime time.Time  `json:"expire_time"`
	EndTime    *time.Time `json:"end_time"`
}

// HoldState is the state of a hold.
type HoldState string

// The states of a hold.
const (
	HoldActive   HoldState = "active"   // stock is kept
	HoldConsumed HoldState = "consumed" // it became tickets
	HoldReleased HoldState = "released" // the payment or the checkout was canceled; the stock is on sale again
	HoldExpired  HoldState = "expired"  // it ran out; the stock is on sale again
)

var holdTransitions = map[HoldState][]HoldState{
	HoldActive:   {HoldConsumed, HoldReleased, HoldExpired},
	HoldConsumed: {},
	HoldReleased: {HoldConsumed}, // late money that finds stock
	HoldExpired:  {HoldConsumed},
}

// endHold ends a hold. Stock goes back unless it became tickets.
func (d *decision) endHold(state HoldState) {
	now := d.now
	mustMove("hold", holdTransitions, d.order.Hold.State, state)
	d.order.Hold.State, d.order.Hold.EndTime = state, &now
	if state != HoldConsumed {
		d.changes.StockReturned = true
		d.note("hold_"+string(state), "")
	}
}

// HoldEnd is the fact that the time of an order's hold may be over. It changes nothing when it is not, by HoldDue, nor while a payment
// is on its way: the buyer has done all that was asked, and a bank debit takes days.
//
// Who observes it has asked Stripe before whether the buyer has paid: what we know may be behind. When Stripe did not answer, the hold
// is kept beyond its time, and not for too long.
type HoldEnd struct {
	Unanswered bool
}

func (f HoldEnd) observe(d *decision) error {
	if d.order.HoldDue && d.order.Hold.State == HoldActive && !d.paymentUnderWay() && !f.waits(d) {
		d.expireHold()
	}
	return nil
}

// waits says whether the hold is kept until Stripe answers.
func (f HoldEnd) waits(d *decision) bool {
	return f.Unanswered && d.order.HoldOverdue < d.policy.UnansweredHoldMax
}

// paymentUnderWay says whether a payment is on its way, and not for too long.
func (d *decision) paymentUnderWay() bool {
	longest := d.policy.ProcessingHoldMax
	return longest > 0 && slices.ContainsFunc(d.order.Intents, func(p PaymentIntent) bool {
		return p.Status == IntentProcessing && d.now.Sub(p.StatusTime) < longest
	})
}

// expireHold returns the stock and has the intents canceled, so that no money can come any more. Money that comes all the
// same is late money.
func (d *decision) expireHold() {
	d.endHold(HoldExpired)
	d.setPayment()
	d.enqueue(WorkCancelIntents, d.order.ID)
}

// CheckoutCanceled is the fact that the buyer gives an unpaid order up. An order whose hold has ended without a payment stays as it
// is. What we know may be behind: money that Stripe has by now is late money.
//
// Reasons: PAYMENT_UNDER_WAY, ORDER_ALREADY_PAID.
type CheckoutCanceled struct{}

func (CheckoutCanceled) observe(d *decision) error {
	o := &d.order
	switch {
	case o.Free():
		return &Refusal{Reason: ReasonOrderAlreadyPaid, Detail: "there is nothing to pay, and the tickets are the buyer's; release them instead"}
	case o.PayingIntent != "" || o.anyIntent(IntentSucceeded):
		return &Refusal{Reason: ReasonOrderAlreadyPaid, Detail: "the order is paid, or money for it has arrived; ask for a refund instead"}
	case o.Hold.State != HoldActive:
		return nil
	case o.anyIntent(IntentProcessing) || o.anyIntent(IntentRequiresCapture):
		return &Refusal{Reason: ReasonPaymentUnderWay, Detail: "the payment is on its way; wait until it has arrived or failed"}
	}
	d.endHold(HoldReleased)
	d.setPayment()
	d.enqueue(WorkCancelIntents, o.ID)
	return nil
}

// SessionEnd is the fact that a payment page of Stripe ended. What came as money, or is on its way, is not undone by it: the
// order's own facts decide, so the end may be reported before or after them.
type SessionEnd struct {
	Account, SessionID string
}

func (SessionEnd) observe(d *decision) error {
	o := &d.order
	if o.Hold.State == HoldActive && !o.anyIntent(IntentSucceeded) && !o.anyIntent(IntentProcessing) && !o.anyIntent(IntentRequiresCapture) {
		d.expireHold()
	}
	return nil
}
