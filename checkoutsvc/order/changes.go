package order

import (
	"reflect"
	"slices"
	"time"
)

// Changes is what one fact changed: rows to write, and what follows from them. Work, cases and alerts are written in the
// transaction of the rows.
type Changes struct {
	// Order says that columns of the order's own row changed.
	Order bool
	// Total says that the total and its shares changed.
	Total bool
	// Buyer says that name, address or language of the buyer changed: the receipt has to be sent again.
	Buyer bool
	// BuyerKey says that the limits count the order's tickets for another address.
	BuyerKey bool
	// NextAttempt says when fulfilment is attempted next; nil leaves it, and zero means never.
	NextAttempt *time.Duration
	// EarliestAttempt is what a dependency asked to wait, when NextAttempt is a backoff that may be cut short; nil: it may not.
	EarliestAttempt *time.Duration
	// FulfilmentStarted says that fulfilment began with this fact: who saves it holds the lease of attempt 1.
	FulfilmentStarted bool
	// Hold says that the hold ended; StockReturned that what it kept is on sale again.
	Hold, StockReturned bool
	// SeatsReturned are the variants of void tickets whose seats are on sale again, one for each.
	SeatsReturned []string
	// SeatIDsReturned are those of these seats that stand on a seat map.
	SeatIDsReturned []string

	Tickets  Rows[Ticket]
	Intents  Rows[PaymentIntent]
	Refunds  Rows[Refund]
	Disputes Rows[Dispute]
	Funds    Rows[DisputeFunds]
	Warnings Rows[FraudWarning]
	Reviews  Rows[Review]
	// Transfers are written behind the tickets.
	Transfers Rows[Transfer]

	Work     []Work
	Notes    []Note
	Cases    []ReviewCase
	Resolved []ResolvedCase
	Alerts   []Alert

	// FetchRefunds names an intent of which Stripe has refunds that are not known here; nil when there is none.
	FetchRefunds *IntentRef
}

// IntentRef names a payment intent at Stripe.
type IntentRef struct {
	Account, IntentID string
}

// Rows are the rows of one kind to write.
type Rows[T any] struct {
	Added, Changed []T
}

// Work is something to do after the transaction: at least once, idempotent. ID is that of its kind's subject.
type Work struct {
	Kind WorkKind
	ID   string
}

// WorkKind is a kind of work.
type WorkKind string

// The kinds of work; each comment says what the id is of.
const (
	WorkRecordFee        WorkKind = "record_fee"         // a payment intent, ours: book what Stripe kept
	WorkSendReceipt      WorkKind = "send_receipt"       // the order, or the id of a further mail of it: mail the receipt
	WorkSendRefund       WorkKind = "send_refund"        // a refund: have Stripe make it
	WorkMailRefund       WorkKind = "mail_refund"        // a refund that is on its way: tell the buyer
	WorkMailGivenUp      WorkKind = "mail_given_up"      // the order, unfulfillable: tell the buyer
	WorkPostRefund       WorkKind = "post_refund"        // a refund: have the ledger follow its state
	WorkSettleReceipt    WorkKind = "settle_receipt"     // a refund: book the money it sends back as a bare receipt
	WorkPostDisputeFunds WorkKind = "post_dispute_funds" // a balance transaction of a dispute: book it
	WorkPostDisputeLoss  WorkKind = "post_dispute_loss"  // a dispute: book who bears it
	WorkCancelIntents    WorkKind = "cancel_intents"     // the order: cancel its open intents at Stripe
	WorkMatchRefunds     WorkKind = "match_refunds"      // a payment intent, ours: find the refunds behind a reported sum
	WorkRefundFraud      WorkKind = "refund_fraud"       // a fraud warning: refund what is not used
	WorkVoidPass         WorkKind = "void_pass"          // a ticket: show its pass as void
	WorkSuspendPass      WorkKind = "suspend_pass"       // a ticket: show whether its pass is on hold or used
	WorkMailSchedule     WorkKind = "mail_schedule"      // the number of the event's schedule: tell the buyer of it
	WorkIssuePass        WorkKind = "issue_pass"         // a ticket that replaces another one: issue its pass
	WorkNamePass         WorkKind = "name_pass"          // a ticket: show its holder's name on its pass
	WorkMailTransfer     WorkKind = "mail_transfer"      // a transfer: tell those whom its state concerns
	WorkMailTicket       WorkKind = "mail_ticket"        // a ticket that replaces another one: mail it to its holder
)

// Note is a line of an order's timeline.
type Note struct {
	Step    string
	Attempt int32
	Took    time.Duration
	Failure string
	Detail  string
	Actor   string // who asked for it; empty for our own work and for what Stripe reports
}

// ReviewCase is something that only a person can decide, raised once per kind and subject.
type ReviewCase struct {
	Kind    string
	Subject string
	Intent  string // at Stripe; empty when it is about none
	Facts   map[string]string
	Action  string // what to do, in a sentence
}

// ResolvedCase is a review case that is over without a person's decision. There may be none.
type ResolvedCase struct {
	Kind, Subject string
	Note          string // why, in a sentence
}

// The kinds of review cases about orders.
const (
	CasePaymentMismatch      = "payment_mismatch"
	CaseSucceededAndCanceled = "succeeded_and_canceled"
	CaseOrderUnfulfillable   = "order_unfulfillable"
	CaseMailUndeliverable    = "mail_undeliverable"
	CaseRefundFailed         = "refund_failed"
	CaseRefundRefused        = "refund_refused"
	CaseRefundUnmatched      = "refund_unmatched"
	CaseFeeUnmatched         = "fee_unmatched"
	CaseCaptureUnmatched     = "capture_unmatched"
	CaseDispute              = "dispute"
	CaseRefundedDispute      = "refunded_dispute" // the subject is the dispute
	CaseFraudWarning         = "fraud_warning"
	CaseRefundNamesTickets   = "refund_names_tickets" // the subject is the refund
	CaseForeignAccount       = "foreign_account"      // the subject is the order and the account
	CaseScheduleFailed       = "schedule_failed"      // the subject is the operation and the order
)

// Alert tells people of an incident, or that it is over.
type Alert struct {
	Kind     string
	Subject  string
	Resolved bool
	Facts    map[string]any // nil when it is resolved
}

// The kinds of alerts about orders.
const (
	AlertOrderBlocked  = "order_blocked"        // an order cannot be fulfilled for longer than a minute; the subject is the order
	AlertEvidenceDue   = "dispute_evidence_due" // the time for evidence runs out; the subject is the dispute
	AlertRefundDelayed = "refund_delayed"       // Stripe does not make refunds for a reason that passes; the subject is its code
)

// compare finds the rows that differ.
func (c *Changes) compare(before, after *Order) {
	c.Order = !sameHead(before, after)
	c.Hold = before.Hold != after.Hold
	c.Tickets = compareRows(before.Tickets, after.Tickets, sameTicket)
	c.Intents = compareRows(before.Intents, after.Intents, same)
	c.Refunds = compareRows(before.Refunds, after.Refunds, sameRefund)
	c.Disputes = compareRows(before.Disputes, after.Disputes, same)
	c.Funds = compareRows(before.Funds, after.Funds, same)
	c.Warnings = compareRows(before.Warnings, after.Warnings, same)
	c.Reviews = compareRows(before.Reviews, after.Reviews, same)
	c.Transfers = compareRows(before.Transfers, after.Transfers, same)
}

// None says whether the fact changed nothing, so that there is nothing to write.
func (c *Changes) None() bool { return reflect.DeepEqual(*c, Changes{FetchRefunds: c.FetchRefunds}) }

// sameHead compares the columns of an order's own row that rules change.
func sameHead(a, b *Order) bool {
	return a.Payment == b.Payment && a.Fulfilment == b.Fulfilment && a.PayingIntent == b.PayingIntent && a.CaptureTime == b.CaptureTime &&
		a.Attempt == b.Attempt && a.LastError == b.LastError && a.CompleteTime == b.CompleteTime && a.Review == b.Review &&
		a.IssuePassesMs == b.IssuePassesMs && a.RecordSaleMs == b.RecordSaleMs
}

// same compares rows; a time behind a pointer is another one when a rule has replaced it.
func same[T comparable](a, b T) bool { return a == b }

// sameTicket compares what rules change of a ticket.
func sameTicket(a, b Ticket) bool {
	return a.State == b.State && a.PassSerial == b.PassSerial && a.ChangeNumber == b.ChangeNumber && a.ValidTime == b.ValidTime &&
		a.SeatReturned == b.SeatReturned && a.SeatID == b.SeatID && a.HolderName == b.HolderName && a.HolderNumber == b.HolderNumber
}

// sameRefund compares what rules change of a refund.
func sameRefund(a, b Refund) bool {
	return a.State == b.State && a.StripeRefundID == b.StripeRefundID && a.RefundTime == b.RefundTime && a.FailureCode == b.FailureCode &&
		a.Attempt == b.Attempt && a.AmountMinorUnits == b.AmountMinorUnits && slices.Equal(a.TicketIDs, b.TicketIDs)
}

// compareRows relies on rules that only append rows and never move them.
func compareRows[T any](before, after []T, equal func(a, b T) bool) Rows[T] {
	var rows Rows[T]
	for i := range before {
		if !equal(before[i], after[i]) {
			rows.Changed = append(rows.Changed, after[i])
		}
	}
	if len(after) > len(before) {
		rows.Added = after[len(before):]
	}
	return rows
}
