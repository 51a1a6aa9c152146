package webhooksvc

import (
	"cmp"
	"strings"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
)

// refund is what we read of Stripe's Refund.
type refund struct {
	ID                 string    `json:"id"`
	Amount             int64     `json:"amount"`
	BalanceTransaction reference `json:"balance_transaction"`
	Charge             reference `json:"charge"`
	Created            seconds   `json:"created"`
	Currency           text      `json:"currency"`
	FailureReason      text      `json:"failure_reason"`
	Metadata           metadata  `json:"metadata"`
	PaymentIntent      reference `json:"payment_intent"`
	Status             text      `json:"status"`
}

func refundHandlers() []handler {
	const action = "RecordRefund: the state with the highest rank counts; "
	return []handler{
		{
			"refund.created", "A refund was made, by us or in Stripe's dashboard.",
			action + "its money is posted once and its tickets become void.", "(refund, created)", translateRefund,
		},
		{
			"refund.updated", "The status or the bank's reference of a refund changed.",
			action + "mostly nothing changes.", "(refund, status)", translateRefund,
		},
		{
			"refund.failed", "The money of a refund came back to us; legal after succeeded.",
			action + "the posting is reversed and a review case raised; void tickets stay void.",
			"(refund, failed)", translateRefund,
		},
		{
			"charge.refund.updated", "The older name of refund.updated and refund.failed.",
			action + "as refund.updated.", "(refund, status)", translateRefund,
		},
	}
}

func translateRefund(e event) (translation, error) {
	r, err := decodeObject[refund](e)
	if err != nil {
		return translation{}, err
	}
	if r.PaymentIntent == "" && r.Charge == "" {
		return refused(refusalNoCharge) // a refund of a cash balance: no order is behind it
	}
	state, known := refundState(e.typ, string(r.Status))
	if !known {
		return translation{refusal: refusalUnknownStatus, alert: "refund has an unknown status"}, nil
	}
	request := &checkoutv1.RecordRefundRequest{
		StripeAccount:        e.account,
		StripeRefundId:       r.ID,
		RefundId:             refundID(r.Metadata),
		PaymentIntentId:      string(r.PaymentIntent),
		ChargeId:             string(r.Charge),
		OrderId:              r.Metadata.orderID(),
		State:                state,
		Amount:               money(r.Amount, r.Currency),
		TicketIds:            ticketIDs(r.Metadata),
		BalanceTransactionId: string(r.BalanceTransaction),
		RefundTime:           r.Created.timestamp(),
	}
	if state == checkoutv1.RefundState_REFUND_STATE_FAILED {
		request.FailureCode = string(r.FailureReason)
	}
	return translation{calls: []call{{
		request: request, prepare: intentOfCharge(e.account, r.Charge, &request.PaymentIntentId),
		ours: ofOurs(e.account, cmp.Or(request.GetOrderId(), request.GetRefundId()), r.Charge, r.PaymentIntent),
	}}}, nil
}

// refundState reads Stripe's status. A buyer who must act, as for a refund by bank transfer, has no money yet.
func refundState(eventType, status string) (checkoutv1.RefundState, bool) {
	if eventType == "refund.failed" {
		return checkoutv1.RefundState_REFUND_STATE_FAILED, true
	}
	switch status {
	case "pending", "requires_action", "": // Stripe's schema allows null; the lowest rank claims the least
		return checkoutv1.RefundState_REFUND_STATE_PENDING, true
	case "succeeded":
		return checkoutv1.RefundState_REFUND_STATE_SUCCEEDED, true
	case "failed":
		return checkoutv1.RefundState_REFUND_STATE_FAILED, true
	case "canceled":
		return checkoutv1.RefundState_REFUND_STATE_CANCELED, true
	default:
		return checkoutv1.RefundState_REFUND_STATE_UNSPECIFIED, false
	}
}

// refundID is our own id of a refund that we asked for.
func refundID(m metadata) string {
	if id := m["refund_request_id"]; id != "" {
		return string(id)
	}
	return string(m["refund_id"])
}

// ticketIDs are the tickets that a refund is for, separated by commas or blanks.
func ticketIDs(m metadata) []string {
	return strings.FieldsFunc(string(m["ticket_ids"]), func(r rune) bool { return r == ',' || r == ' ' })
}
