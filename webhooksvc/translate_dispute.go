package webhooksvc

import (
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
)

// dispute is what we read of Stripe's Dispute.
type dispute struct {
	ID                  string                   `json:"id"`
	Amount              int64                    `json:"amount"`
	BalanceTransactions list[balanceTransaction] `json:"balance_transactions"`
	Charge              reference                `json:"charge"`
	Currency            text                     `json:"currency"`
	EvidenceDetails     struct {
		DueBy seconds `json:"due_by"`
	} `json:"evidence_details"`
	PaymentIntent reference `json:"payment_intent"`
	Reason        text      `json:"reason"`
	Status        text      `json:"status"`
}

func disputeHandlers() []handler {
	return []handler{
		{
			"charge.dispute.created", "The buyer's bank asks for the money back, or inquires. May come after closed.",
			"RecordDispute: a dispute suspends tickets by policy, an inquiry only tells staff.", "(dispute, rank of status)", translateDispute,
		},
		{
			"charge.dispute.updated", "Evidence or status changed.",
			"RecordDispute: the status with the highest rank counts.", "(dispute, rank of status)", translateDispute,
		},
		{
			"charge.dispute.funds_withdrawn", "Stripe took amount and fee from our balance.",
			"RecordDispute: posts each balance transaction once.", "balance transaction", translateDispute,
		},
		{
			"charge.dispute.funds_reinstated", "Stripe gave money back; possible after a lost dispute too.",
			"RecordDispute: posts each balance transaction once.", "balance transaction", translateDispute,
		},
		{
			"charge.dispute.closed", "Won, lost, or the inquiry ended; final.",
			"RecordDispute: lost voids the tickets and books the loss, won lifts the suspension.",
			"(dispute, status)", translateDispute,
		},
	}
}

func translateDispute(e event) (translation, error) {
	d, err := decodeObject[dispute](e)
	if err != nil {
		return translation{}, err
	}
	status, known := disputeStatus(string(d.Status))
	if !known {
		return translation{refusal: refusalUnknownStatus, alert: "dispute has an unknown status"}, nil
	}
	request := &checkoutv1.RecordDisputeRequest{
		StripeAccount:   e.account,
		DisputeId:       d.ID,
		PaymentIntentId: string(d.PaymentIntent),
		ChargeId:        string(d.Charge),
		Status:          status,
		Amount:          money(d.Amount, d.Currency),
		DisputeReason:   string(d.Reason),
		EvidenceDueTime: d.EvidenceDetails.DueBy.timestamp(),
		ObservedTime:    timestamppb.New(e.created),
	}
	result := translation{calls: []call{{
		request: request, prepare: intentOfCharge(e.account, d.Charge, &request.PaymentIntentId),
		ours: ofOurs(e.account, "", d.Charge, d.PaymentIntent),
	}}}
	for _, txn := range d.BalanceTransactions.items {
		funds := &checkoutv1.DisputeFunds{
			BalanceTransactionId: txn.ID,
			MinorUnits:           txn.Amount,
			FeeMinorUnits:        txn.Fee,
			Time:                 txn.Created.timestamp(),
		}
		if !strings.EqualFold(string(txn.Currency), string(d.Currency)) {
			funds.Currency = strings.ToUpper(string(txn.Currency)) // disputed in one currency, withdrawn in that of the balance
		}
		request.Funds = append(request.Funds, funds)
	}
	return result, nil
}

func disputeStatus(status string) (checkoutv1.DisputeStatus, bool) {
	switch status {
	case "warning_needs_response":
		return checkoutv1.DisputeStatus_DISPUTE_STATUS_WARNING_NEEDS_RESPONSE, true
	case "warning_under_review":
		return checkoutv1.DisputeStatus_DISPUTE_STATUS_WARNING_UNDER_REVIEW, true
	case "warning_closed":
		return checkoutv1.DisputeStatus_DISPUTE_STATUS_WARNING_CLOSED, true
	case "needs_response":
		return checkoutv1.DisputeStatus_DISPUTE_STATUS_NEEDS_RESPONSE, true
	case "under_review":
		return checkoutv1.DisputeStatus_DISPUTE_STATUS_UNDER_REVIEW, true
	case "won":
		return checkoutv1.DisputeStatus_DISPUTE_STATUS_WON, true
	case "lost":
		return checkoutv1.DisputeStatus_DISPUTE_STATUS_LOST, true
	case "prevented":
		return checkoutv1.DisputeStatus_DISPUTE_STATUS_PREVENTED, true
	default:
		return checkoutv1.DisputeStatus_DISPUTE_STATUS_UNSPECIFIED, false
	}
}
