package stripe

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
)

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
func (du *Dispute) createdAt() int64 { return du.Created }

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

// disputeResponseTime is how long a merchant has to answer, in seconds.
const disputeResponseTime = 9 * 24 * 60 * 60

// networkReasons are Visa's codes for Stripe's reasons.
var networkReasons = map[string]string{
	"fraudulent": "10.4", "product_not_received": "13.1", "subscription_canceled": "13.2", "product_unacceptable": "13.3",
	"credit_not_processed": "13.6", "duplicate": "12.6", "general": "12.0", "unrecognized": "10.4",
}

// evidenceFields are what a merchant can submit.
var evidenceFields = []string{
	"access_activity_log", "billing_address", "cancellation_policy", "cancellation_policy_disclosure", "cancellation_rebuttal",
	"customer_communication", "customer_email_address", "customer_name", "customer_purchase_ip", "customer_signature",
	"duplicate_charge_documentation", "duplicate_charge_explanation", "duplicate_charge_id", "product_description", "receipt",
	"refund_policy", "refund_policy_disclosure", "refund_refusal_explanation", "service_date", "service_documentation",
	"shipping_address", "shipping_carrier", "shipping_date", "shipping_documentation", "shipping_tracking_number",
	"uncategorized_file", "uncategorized_text",
}

// disputeAtOnce opens the dispute that some test cards bring.
func (c *change) disputeAtOnce(ch *Charge, in instrument) {
	if in.disputeAs != "" {
		c.openDispute(ch, ch.AmountCaptured, in.disputeAs, in.inquiry)
	}
}

// openDispute is what a cardholder's bank does. A chargeback takes the amount and a fee off the balance; an inquiry takes nothing.
func (c *change) openDispute(old *Charge, amount int64, reason string, inquiry bool) *Dispute {
	evidence := make(map[string]any, len(evidenceFields))
	for _, name := range evidenceFields {
		evidence[name] = nil
	}
	du := &Dispute{
		ID: c.newID("du_"), Object: kindDispute, Amount: amount, BalanceTransactions: []*BalanceTransaction{}, Charge: refTo(old.ID),
		Created: c.unix(), Currency: old.Currency, Evidence: mustJSON(evidence), IsChargeRefundable: inquiry, Metadata: map[string]string{},
		PaymentIntent: old.PaymentIntent, Reason: reason, Status: disputeNeedsResponse,
		EvidenceDetails: evidenceDetails{DueBy: c.unix() + disputeResponseTime},
		PaymentMethodDetails: mustJSON(map[string]any{
			"card": map[string]any{"brand": "visa", "network_reason_code": networkReasons[reason]}, "type": "card",
		}),
	}
	ch := old.copy()
	ch.Disputed, ch.Dispute = true, refTo(du.ID)
	if inquiry {
		du.Status = disputeWarningNeedsResponse
	} else {
		du.BalanceTransactions = []*BalanceTransaction{c.withdraw(du)}
	}
	c.save(du, ch)
	c.emit("charge.dispute.created", du, nil)
	if !inquiry {
		c.emit("charge.dispute.funds_withdrawn", du, nil)
	}
	return du
}

func (c *change) withdraw(du *Dispute) *BalanceTransaction {
	return c.move(movement{
		kind: "adjustment", category: "dispute", source: du.ID, currency: du.Currency, amount: -du.Amount,
		fees:       []feeDetail{{Amount: c.s.settings.DisputeFeeMinorUnits, Currency: du.Currency, Description: "Dispute fee", Type: "stripe_fee"}},
		conversion: c.settlementOf(du.Charge.id),
	})
}

// escalate turns an inquiry into a chargeback.
func (c *change) escalate(old *Dispute) (*Dispute, *apiError) {
	if old.Status != disputeWarningNeedsResponse && old.Status != disputeWarningUnderReview {
		return nil, refused("", "", "Dispute %s is %s: only an inquiry can be escalated.", old.ID, old.Status)
	}
	du := old.copy()
	du.Status, du.IsChargeRefundable = disputeNeedsResponse, false
	du.BalanceTransactions = append(append([]*BalanceTransaction{}, old.BalanceTransactions...), c.withdraw(du))
	c.save(du)
	c.emit("charge.dispute.updated", du, map[string]any{"status": old.Status})
	c.emit("charge.dispute.funds_withdrawn", du, nil)
	return du, nil
}

// closeDispute is the bank's decision. Won gives the amount back, and the dispute fee too with returnFee.
func (c *change) closeDispute(old *Dispute, status string, returnFee bool) (*Dispute, *apiError) {
	inquiry := old.Status == disputeWarningNeedsResponse || old.Status == disputeWarningUnderReview
	open := inquiry || old.Status == disputeNeedsResponse || old.Status == disputeUnderReview
	if !open || inquiry != (status == disputeWarningClosed) {
		return nil, refused("", "", "Dispute %s is %s: it cannot become %s.", old.ID, old.Status, status)
	}
	du := old.copy()
	du.Status = status
	c.save(du)
	if status == disputeWon {
		du = c.reinstate(du, returnFee)
	}
	c.emit("charge.dispute.closed", du, map[string]any{"status": old.Status})
	return du, nil
}

// reinstate returns the disputed amount; Stripe does so when a dispute is won, and now and then after it was lost.
func (c *change) reinstate(old *Dispute, returnFee bool) *Dispute {
	m := movement{
		kind: "adjustment", category: "dispute_reversal", source: old.ID, currency: old.Currency, amount: old.Amount,
		conversion: c.settlementOf(old.Charge.id),
	}
	if returnFee {
		m.fees = []feeDetail{{Amount: -c.s.settings.DisputeFeeMinorUnits, Currency: old.Currency, Description: "Dispute fee refund", Type: "stripe_fee"}}
	}
	du := old.copy()
	du.BalanceTransactions = append(append([]*BalanceTransaction{}, old.BalanceTransactions...), c.move(m))
	c.save(du)
	c.emit("charge.dispute.funds_reinstated", du, nil)
	return du
}

func (s *Server) getDispute(r *request) (any, *apiError) {
	r.params.allow()
	return get[*Dispute](s, r, kindDispute, "id")
}

func (s *Server) listDisputes(r *request) (any, *apiError) {
	p := r.params
	p.allow(append([]string{"charge", "payment_intent"}, pageParams...)...)
	parent := p.text("charge")
	if parent == "" {
		parent = p.text("payment_intent")
	}
	return pageOf(s, r, kindDispute, parent, func(du *Dispute) bool {
		intent := p.text("payment_intent")
		return intent == "" || du.PaymentIntent.id == intent
	})
}

// updateDispute submits evidence, unless submit=false only stages it.
func (s *Server) updateDispute(r *request) (any, *apiError) {
	p := r.params
	p.allow("evidence[*]", "metadata[*]", "submit")
	submit := !p.has("submit") || p.boolean("submit")
	if p.err != nil {
		return nil, p.err
	}
	return s.change(r, func(c *change) (object, *apiError) {
		old, e := c.disputeOf(r)
		if e != nil {
			return nil, e
		}
		du := old.copy()
		du.Metadata = p.metadata(old.Metadata)
		given, e := readEvidence(p, du)
		if e != nil || p.err != nil {
			return nil, cmp.Or(e, p.err)
		}
		if given && submit {
			next := map[string]string{disputeNeedsResponse: disputeUnderReview, disputeWarningNeedsResponse: disputeWarningUnderReview}[old.Status]
			if next == "" {
				return nil, refused("", "", "Dispute %s is %s: it takes no evidence.", old.ID, old.Status)
			}
			du.Status = next
			du.EvidenceDetails.SubmissionCount++
		}
		c.save(du)
		c.emit("charge.dispute.updated", du, map[string]any{"status": old.Status})
		return du, nil
	})
}

// readEvidence merges evidence[...] into the dispute and says whether there was any.
func readEvidence(p *params, du *Dispute) (bool, *apiError) {
	evidence := map[string]any{}
	if err := json.Unmarshal(du.Evidence, &evidence); err != nil {
		return false, refused("evidence", "", "The evidence of dispute %s cannot be read: %v", du.ID, err)
	}
	given := false
	for key, values := range p.values {
		name, ok := strings.CutPrefix(key, "evidence[")
		if !ok {
			continue
		}
		name = strings.TrimSuffix(name, "]")
		if !slices.Contains(evidenceFields, name) {
			return false, invalid(key, "parameter_unknown", "Received unknown parameter: %s", key)
		}
		evidence[name] = values[len(values)-1]
		given = true
	}
	du.Evidence = mustJSON(evidence)
	du.EvidenceDetails.HasEvidence = du.EvidenceDetails.HasEvidence || given
	return given, nil
}

// acceptDispute gives in: the dispute is lost.
func (s *Server) acceptDispute(r *request) (any, *apiError) {
	r.params.allow()
	if r.params.err != nil {
		return nil, r.params.err
	}
	return s.change(r, func(c *change) (object, *apiError) {
		du, e := c.disputeOf(r)
		if e != nil {
			return nil, e
		}
		du, e = c.closeDispute(du, disputeLost, false)
		if e != nil {
			return nil, e
		}
		return du, nil
	})
}

func (c *change) disputeOf(r *request) (*Dispute, *apiError) {
	id := r.http.PathValue("id")
	du, ok := find[*Dispute](c.store, c.account, id)
	if !ok {
		return nil, missing(kindDispute, id, "dispute")
	}
	return du, nil
}
