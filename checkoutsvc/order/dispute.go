package order

import (
	"slices"
	"time"
)

// Dispute is a buyer's bank that asks for the money of an intent.
type Dispute struct {
	ID               string        `json:"id"` // at Stripe
	PaymentIntent    string        `json:"payment_intent"`
	Status           DisputeStatus `json:"status"`
	AmountMinorUnits int64         `json:"amount_minor_units"`
	Currency         string        `json:"currency"`
	DisputeReason    string        `json:"dispute_reason"`
	EvidenceDueTime  *time.Time    `json:"evidence_due_time"`
	CloseTime        *time.Time    `json:"close_time"`
	CreateTime       time.Time     `json:"create_time"`
}

// DisputeFunds is money that a dispute moved: one balance transaction at Stripe.
type DisputeFunds struct {
	BalanceTransactionID string    `json:"balance_transaction_id"`
	DisputeID            string    `json:"dispute_id"`
	MinorUnits           int64     `json:"minor_units"`     // negative: taken from us
	FeeMinorUnits        int64     `json:"fee_minor_units"` // of the dispute
	FundsTime            time.Time `json:"funds_time"`
	Currency             string    `json:"currency"` // empty means the dispute's
}

// DisputeStatus is the status of a dispute at Stripe.
type DisputeStatus string

// The statuses of a dispute.
const (
	DisputeWarningNeedsResponse DisputeStatus = "warning_needs_response" // an inquiry, which is no dispute yet
	DisputeWarningUnderReview   DisputeStatus = "warning_under_review"   // an inquiry that was answered
	DisputeNeedsResponse        DisputeStatus = "needs_response"         // it waits for our evidence
	DisputeUnderReview          DisputeStatus = "under_review"           // the bank examines our evidence
	DisputeLost                 DisputeStatus = "lost"                   // the buyer keeps the money
	DisputeWon                  DisputeStatus = "won"                    // the money comes back to us
	DisputeWarningClosed        DisputeStatus = "warning_closed"         // the inquiry ended without a dispute
	DisputePrevented            DisputeStatus = "prevented"              // it ended before money moved
)

// disputeRank orders the statuses of a dispute: the highest observed wins, whatever arrives first.
// Source: docs/design.md, "Payments are facts that commute".
var disputeRank = map[DisputeStatus]int{
	DisputeWarningNeedsResponse: 0, DisputeWarningUnderReview: 1, DisputeNeedsResponse: 2, DisputeUnderReview: 3,
	DisputeLost: 4, DisputeWon: 4, DisputeWarningClosed: 4, DisputePrevented: 4,
}

var disputeTransitions = map[DisputeStatus][]DisputeStatus{
	DisputeWarningNeedsResponse: higherRanks(DisputeWarningNeedsResponse),
	DisputeWarningUnderReview:   higherRanks(DisputeWarningUnderReview),
	DisputeNeedsResponse:        higherRanks(DisputeNeedsResponse),
	DisputeUnderReview:          higherRanks(DisputeUnderReview),
	DisputeLost:                 higherRanks(DisputeLost),
	DisputeWon:                  higherRanks(DisputeWon),
	DisputeWarningClosed:        higherRanks(DisputeWarningClosed),
	DisputePrevented:            higherRanks(DisputePrevented),
}

func higherRanks(of DisputeStatus) []DisputeStatus {
	var higher []DisputeStatus
	for s, rank := range disputeRank {
		if rank > disputeRank[of] {
			higher = append(higher, s)
		}
	}
	return higher
}

// Closed says whether the dispute has ended.
func (s DisputeStatus) Closed() bool { return disputeRank[s] == disputeRank[DisputeLost] }

// disputeOpen says whether the paying money is disputed and undecided; an inquiry is no dispute yet.
func (o *Order) disputeOpen() bool {
	p := o.Funding()
	return p != nil && o.anyDispute(p.StripeID, DisputeNeedsResponse, DisputeUnderReview)
}

func (o *Order) disputeLost() bool {
	p := o.Funding()
	return p != nil && o.anyDispute(p.StripeID, DisputeLost)
}

// anyDispute says whether a dispute of an intent has one of some statuses.
func (o *Order) anyDispute(intentID string, statuses ...DisputeStatus) bool {
	return slices.ContainsFunc(o.Disputes, func(d Dispute) bool {
		return d.PaymentIntent == intentID && slices.Contains(statuses, d.Status)
	})
}

// DisputeObserved is the fact that somebody observed a dispute.
type DisputeObserved struct {
	ID               string
	IntentID         string
	Status           DisputeStatus
	AmountMinorUnits int64
	Currency         string
	DisputeReason    string
	EvidenceDueTime  *time.Time
	Time             time.Time
	Funds            []DisputeFunds // DisputeID may be empty
}

// observe merges: the status of the highest rank wins, money is a set of balance transactions.
func (f DisputeObserved) observe(d *decision) error {
	o := &d.order
	dispute, before := o.Dispute(f.ID), DisputeStatus("")
	if dispute == nil {
		o.Disputes = append(o.Disputes, Dispute{
			ID: f.ID, PaymentIntent: f.IntentID, Status: f.Status, AmountMinorUnits: f.AmountMinorUnits, Currency: f.Currency,
			DisputeReason: f.DisputeReason, CreateTime: d.now,
		})
		dispute = &o.Disputes[len(o.Disputes)-1]
	} else {
		before = dispute.Status
	}
	if disputeRank[f.Status] > disputeRank[dispute.Status] {
		dispute.Status = f.Status
	}
	if f.EvidenceDueTime != nil && dispute.EvidenceDueTime == nil {
		dispute.EvidenceDueTime = f.EvidenceDueTime
	}
	if dispute.Status.Closed() && dispute.CloseTime == nil {
		closed := f.Time
		dispute.CloseTime = &closed
	}
	d.addFunds(dispute.ID, f.Funds)
	if dispute.Status != before {
		d.disputeMoved(dispute)
	}
	d.setPayment()
	d.settleTickets()
	return nil
}

// disputeMoved tells people and the ledger of a dispute's new status.
func (d *decision) disputeMoved(dispute *Dispute) {
	d.note("dispute_"+string(dispute.Status), dispute.ID)
	if dispute.Status != DisputeNeedsResponse && dispute.Status != DisputeWarningNeedsResponse {
		d.alert(Alert{Kind: AlertEvidenceDue, Subject: dispute.ID, Resolved: true})
	}
	// Raised for whatever is observed first, so that the same facts in another order raise the same.
	d.raise(ReviewCase{
		Kind: CaseDispute, Subject: dispute.ID, Intent: dispute.PaymentIntent,
		Facts:  map[string]string{"dispute_id": dispute.ID, "dispute_reason": dispute.DisputeReason, "status": string(dispute.Status)},
		Action: "While the dispute is open, send evidence at Stripe before it is due, or accept it; the tickets are suspended meanwhile.",
	})
	if dispute.Status.Closed() {
		d.resumeRefunds(dispute.PaymentIntent)
	}
	if dispute.Status == DisputeLost {
		d.enqueue(WorkPostDisputeLoss, dispute.ID)
	}
}

// addFunds keeps balance transactions that are new and has them posted.
func (d *decision) addFunds(disputeID string, funds []DisputeFunds) {
	o := &d.order
	for _, f := range funds {
		if slices.ContainsFunc(o.Funds, func(known DisputeFunds) bool { return known.BalanceTransactionID == f.BalanceTransactionID }) {
			continue
		}
		f.DisputeID = disputeID
		o.Funds = append(o.Funds, f)
		d.enqueue(WorkPostDisputeFunds, f.BalanceTransactionID)
	}
}
