package stripe

import "encoding/json"

const kindDispute = "dispute"

// States of a dispute.
const (
	disputeWarningNeedsResponse = "warning_needs_response"
	disputeWarningUnderReview   = "warning_under_review"
	disputeWarningClosed        = "warning_closed"
	disputeNeedsResponse        = "needs_response"
	disputeUnderReview          = "under_review"
	disputeWon                  = "won"
	disputeLost                 = "lost"
)

// Dispute is the v1 resource, with the fields of version 2023-10-16. A warning_* state is an inquiry: no money has moved.
type Dispute struct {
	ID                   string                `json:"id"`
	Object               string                `json:"object"`
	Amount               int64                 `json:"amount"`
	BalanceTransactions  []*BalanceTransaction `json:"balance_transactions"`
	Charge               ref                   `json:"charge"`
	Created              int64                 `json:"created"`
	Currency             string                `json:"currency"`
	Evidence             json.RawMessage       `json:"evidence"`
	EvidenceDetails      evidenceDetails       `json:"evidence_details"`
	IsChargeRefundable   bool                  `json:"is_charge_refundable"`
	Livemode             bool                  `json:"livemode"`
	Metadata             map[string]string     `json:"metadata"`
	PaymentIntent        ref                   `json:"payment_intent"`
	PaymentMethodDetails json.RawMessage       `json:"payment_method_details,omitempty"`
	Reason               string                `json:"reason"`
	Status               string                `json:"status"`
}

type evidenceDetails struct {
	DueBy           int64 `json:"due_by"`
	HasEvidence     bool  `json:"has_evidence"`
	PastDue         bool  `json:"past_due"`
	SubmissionCount int64 `json:"submission_count"`
}

func (du *Dispute) objectID() string { return du.ID }
func (du *Dispute) kind() string     { return kindDispute }
func (du *Dispute) clone() object    { return du.copy() }

func (du *Dispute) copy() *Dispute { c := *du; return &c }

func (du *Dispute) expandable(name string) *ref {
	switch name {
	case "charge":
		return &du.Charge
	case "payment_intent":
		return &du.PaymentIntent
	}
	return nil
}

// chargedBack says whether a dispute keeps the charge from being refunded: all but inquiries and those that were won.
func (c *change) chargedBack(ch *Charge) bool {
	for _, du := range childrenOf[*Dispute](c.store, ch.ID, kindDispute) {
		switch du.Status {
		case disputeNeedsResponse, disputeUnderReview, disputeLost:
			return true
		}
	}
	return false
}
