package order

import (
	"slices"
	"time"
)

// FraudWarning is an early fraud warning of a card's issuer.
type FraudWarning struct {
	ID            string    `json:"id"` // at Stripe
	PaymentIntent string    `json:"payment_intent"`
	ChargeID      string    `json:"charge_id"`
	FraudType     string    `json:"fraud_type"`
	Actionable    bool      `json:"actionable"` // false once, false for good
	CreateTime    time.Time `json:"create_time"`
}

// Review is an examination of a payment by Stripe.
type Review struct {
	ID            string    `json:"id"` // at Stripe
	PaymentIntent string    `json:"payment_intent"`
	Open          bool      `json:"open"` // false once, false for good
	ClosedReason  string    `json:"closed_reason"`
	CreateTime    time.Time `json:"create_time"`
}

// ReviewHold says how reviews hold an order's tickets back.
type ReviewHold string

// How reviews hold tickets back.
const (
	ReviewHoldNone     ReviewHold = ""         // they do not
	ReviewHoldOpen     ReviewHold = "open"     // one is open
	ReviewHoldRefunded ReviewHold = "refunded" // one ended in a refund or dispute, which may not be reported yet
)

// reviewEndsInRefund are Stripe's words for reviews that ended with the money going back.
// Source: Stripe API reference, Review.closed_reason.
var reviewEndsInRefund = []string{"refunded", "refunded_as_fraud", "disputed"}

// DeliveryHeld says whether a review holds the tickets back: while one is open, and after one that ended in a refund or
// dispute until the first of these is reported, which then decides.
func (o *Order) DeliveryHeld() bool {
	return o.Review == ReviewHoldOpen || o.Review == ReviewHoldRefunded && len(o.Refunds) == 0 && len(o.Disputes) == 0
}

// reviewHold says how the order's reviews hold its tickets back.
func (o *Order) reviewHold() ReviewHold {
	hold := ReviewHoldNone
	for _, r := range o.Reviews {
		switch {
		case r.Open:
			return ReviewHoldOpen
		case slices.Contains(reviewEndsInRefund, r.ClosedReason):
			hold = ReviewHoldRefunded
		}
	}
	return hold
}

// ReviewObserved is the fact that a review was opened or closed. Closed wins, whatever arrives first.
type ReviewObserved struct {
	ID           string
	IntentID     string
	Open         bool
	ClosedReason string
}

func (f ReviewObserved) observe(d *decision) error {
	o := &d.order
	i := slices.IndexFunc(o.Reviews, func(r Review) bool { return r.ID == f.ID })
	if i < 0 {
		o.Reviews = append(o.Reviews, Review{ID: f.ID, PaymentIntent: f.IntentID, Open: true, CreateTime: d.now})
		i = len(o.Reviews) - 1
	}
	r := &o.Reviews[i]
	r.Open = r.Open && f.Open
	if f.ClosedReason != "" {
		r.ClosedReason = f.ClosedReason
	}
	hold := ReviewHoldNone
	if d.policy.ReviewHoldsDelivery {
		hold = o.reviewHold()
	}
	if hold != o.Review {
		o.Review = hold
		d.note("review_hold_"+string(hold), f.ID)
	}
	d.settleTickets()
	return nil
}

// FraudWarningObserved is the fact that a card's issuer suspects fraud. Warnings merge: what cannot be acted on once cannot
// be acted on again.
type FraudWarningObserved struct {
	ID         string
	IntentID   string
	ChargeID   string
	FraudType  string
	Actionable bool
}

func (f FraudWarningObserved) observe(d *decision) error {
	o := &d.order
	i := slices.IndexFunc(o.Warnings, func(w FraudWarning) bool { return w.ID == f.ID })
	if i < 0 {
		o.Warnings = append(o.Warnings, FraudWarning{
			ID: f.ID, PaymentIntent: f.IntentID, ChargeID: f.ChargeID, FraudType: f.FraudType, Actionable: true, CreateTime: d.now,
		})
		i = len(o.Warnings) - 1
		d.note("fraud_warning", f.ID)
		if d.policy.FraudWarningRefunds {
			d.enqueue(WorkRefundFraud, f.ID)
		}
	}
	o.Warnings[i].Actionable = o.Warnings[i].Actionable && f.Actionable
	d.raise(ReviewCase{
		Kind: CaseFraudWarning, Subject: f.ID, Intent: f.IntentID,
		Facts: map[string]string{"fraud_warning_id": f.ID, "fraud_type": f.FraudType, "charge_id": f.ChargeID},
		Action: "The card's issuer suspects fraud. A refund before the buyer's bank asks for the money back saves the dispute fee; " +
			"look at the order and refund what is not used.",
	})
	return nil
}
