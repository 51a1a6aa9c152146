package client

import (
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
)

// WaitsFor names what an order waits for by itself, in a few words; "" when it waits for nothing.
func WaitsFor(o *checkoutv1.Order) string {
	switch o.GetFulfilmentState() {
	case checkoutv1.FulfilmentState_FULFILMENT_STATE_IN_PROGRESS:
		return "its passes and its entry in the ledger"
	case checkoutv1.FulfilmentState_FULFILMENT_STATE_LEDGER_BLOCKED:
		return "the ledger, which does not answer"
	case checkoutv1.FulfilmentState_FULFILMENT_STATE_NONE:
		if o.GetHoldState() == checkoutv1.HoldState_HOLD_STATE_ACTIVE {
			if o.GetPaymentState() == checkoutv1.PaymentState_PAYMENT_STATE_PROCESSING {
				return "the payment, which Stripe is processing"
			}
			return "the payment, until " + instant(o.GetHoldExpireTime())
		}
		return ""
	}
	for _, r := range o.GetRefunds() {
		switch r.GetState() {
		case checkoutv1.RefundState_REFUND_STATE_REQUESTED:
			return "Stripe to make refund " + r.GetId()
		case checkoutv1.RefundState_REFUND_STATE_PENDING:
			return "the money of refund " + r.GetId() + " to arrive"
		}
	}
	for _, d := range o.GetDisputes() {
		switch Word(d.GetStatus()) {
		case "needs_response", "under_review", "warning_needs_response", "warning_under_review":
			return "dispute " + d.GetId() + " to end"
		}
	}
	return ""
}

// lastFailure is the latest error of a timeline that no attempt has overcome; "" if there is none.
func lastFailure(timeline []*checkoutv1.TimelineEntry) string {
	for i := len(timeline) - 1; i >= 0; i-- {
		if e := timeline[i].GetError(); e != "" {
			return e
		}
	}
	return ""
}
