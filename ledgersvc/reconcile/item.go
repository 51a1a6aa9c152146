package reconcile

import (
	"slices"
	"strings"
	"time"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/money"
	"github.com/dayof/dayof/ledgersvc/journal"
)

// item is what the sources are compared by, such as "capture:pi_123", with all that they have of it now.
type item struct {
	subject string   // such as "capture:pi_123"
	kind    string   // what stands before the colon
	account string   // at Stripe; empty for the platform's
	found   []string // the subjects of the unmatched items that it is

	lines   []*checkoutv1.OrderMoney
	entries []journal.Entry // at the ledger
	copies  map[string]journal.Entry
	stripe  stripeMoves

	intent     string                   // of a fee: whose it is; empty while unknown
	parents    []*checkoutv1.OrderMoney // of a fee: the capture
	foreign    bool                     // whether it is a payment of others, or belongs to one
	orderKnown bool                     // whether checkoutsvc knows the order that the entries name
}

// stripeMove is a change of a balance at Stripe, or the part of one that a subject is compared by.
type stripeMove struct {
	subject string // complete, or a prefix that the charge's intent completes
	charge  string // empty when the subject is complete
	txn     string
	kind    string // of balance transaction
	source  string
	account string
	asset   string
	amount  int64 // signed: negative left the balance
	time    time.Time
}

// stripeMoves is what Stripe has of one subject.
type stripeMoves struct {
	moves   []stripeMove
	waiting string // why money may be missing for a while; empty when nothing is under way
}

// newItem returns an item of which nothing is known but its subject and whose money it is.
func newItem(subject, account string) *item {
	kind, _, _ := strings.Cut(subject, ":")
	if strings.HasPrefix(kind, "transfer") {
		account = "" // the platform's balance is compared
	}
	return &item{subject: subject, kind: kind, account: account}
}

// id is what stands behind the kind.
func (x *item) id() string { return strings.TrimPrefix(x.subject, x.kind+":") }

func isCharge(id string) bool { return strings.HasPrefix(id, "ch_") || strings.HasPrefix(id, "py_") }

// references are the entries that an item may consist of.
func (x *item) references() []string {
	references := referencesOf(x.subject)
	for _, m := range x.stripe.moves {
		if x.kind != "fee" {
			references = append(references, "fx:"+m.txn)
		}
	}
	return references
}

// lineMove says under which subject a line of an order is compared, and what it means for the money of orders.
func lineMove(line *checkoutv1.OrderMoney) (subject string, m ledgerMove, ok bool) {
	m = ledgerMove{
		account: line.GetStripeAccount(), amount: line.GetAmount().GetMinorUnits(),
		asset: money.Money{Currency: line.GetAmount().GetCurrency()}.FormanceAsset(),
	}
	switch line.GetKind() {
	case checkoutv1.OrderMoneyKind_ORDER_MONEY_KIND_CAPTURE:
		return journal.CaptureReference(line.GetId()), m, true
	case checkoutv1.OrderMoneyKind_ORDER_MONEY_KIND_REFUND:
		m.amount = -m.amount
		undone := line.GetRefundState() == checkoutv1.RefundState_REFUND_STATE_FAILED || line.GetRefundState() == checkoutv1.RefundState_REFUND_STATE_CANCELED
		if undone {
			m.amount = 0
		}
		if !line.GetRefundAtStripe() {
			return "refund-request:" + line.GetId(), m, !undone
		}
		return journal.RefundReference(line.GetId()), m, true
	case checkoutv1.OrderMoneyKind_ORDER_MONEY_KIND_DISPUTE_FUNDS:
		if m.amount > 0 {
			return journal.ReinstatementPrefix + line.GetId(), m, true
		}
		return journal.WithdrawalPrefix + line.GetId(), m, true
	case checkoutv1.OrderMoneyKind_ORDER_MONEY_KIND_DISPUTE_LOSS:
		return journal.LossReference(line.GetId()), m, true
	case checkoutv1.OrderMoneyKind_ORDER_MONEY_KIND_UNSPECIFIED:
	}
	return "", m, false
}

// newest is when the latest thing happened that a source has of the item.
func (x *item) newest() time.Time {
	var newest time.Time
	add := func(t time.Time) {
		if t.After(newest) {
			newest = t
		}
	}
	for _, line := range x.lines {
		add(line.GetTime().AsTime())
	}
	for _, e := range x.entries {
		add(e.PostTime)
	}
	for _, m := range x.stripe.moves {
		add(m.time)
	}
	return newest
}

func (x *item) orderID() string {
	for _, line := range slices.Concat(x.lines, x.parents) {
		return line.GetOrderId()
	}
	for _, e := range x.entries {
		if id := orderIDOf(e); id != "" {
			return id
		}
	}
	for _, c := range x.copies {
		return c.Facts.OrderID
	}
	return ""
}

// facts are what is known about the item beside its amounts.
func (x *item) facts() journal.Facts {
	f := journal.Facts{PaymentIntentID: x.intent}
	for _, line := range slices.Concat(x.lines, x.parents) {
		return journal.Facts{OrganizerID: line.GetOrganizerId(), PaymentIntentID: line.GetPaymentIntentId()}
	}
	for _, e := range x.entries {
		if e.Facts != (journal.Facts{}) {
			return e.Facts
		}
	}
	for _, c := range x.copies {
		return c.Facts
	}
	if x.kind == "capture" {
		f.PaymentIntentID = x.id()
	}
	return f
}
