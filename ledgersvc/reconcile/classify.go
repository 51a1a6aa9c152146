package reconcile

import (
	"fmt"
	"slices"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/internal/money"
)

// outcome is what comes of classifying an item: nothing, a difference, one that is excused as work in progress, or money of
// others.
type outcome struct {
	foreign    sums // net; nil when it is ours
	difference *difference
	inFlight   string // why; empty when it is not
}

// difference is what does not fit. A nil amount is nothing at all.
type difference struct {
	kind            ledgerv1.DifferenceKind
	expected, found *money.Money
	cause           string
}

// excusable are the differences that work in flight explains: something is not there yet.
var excusable = []ledgerv1.DifferenceKind{
	ledgerv1.DifferenceKind_DIFFERENCE_KIND_POSTING_MISSING, ledgerv1.DifferenceKind_DIFFERENCE_KIND_ORDER_WITHOUT_POSTING,
	ledgerv1.DifferenceKind_DIFFERENCE_KIND_FEE_MISSING, ledgerv1.DifferenceKind_DIFFERENCE_KIND_REFUND_MISSING_IN_LEDGER,
	ledgerv1.DifferenceKind_DIFFERENCE_KIND_REFUND_MISSING_AT_STRIPE, ledgerv1.DifferenceKind_DIFFERENCE_KIND_STRIPE_TRANSACTION_MISSING,
	ledgerv1.DifferenceKind_DIFFERENCE_KIND_STRIPE_TRANSACTION_UNKNOWN,
}

// classify says whether the sources agree on an item. At most one difference is reported of it: the one nearest to the
// cause.
func (x *item) classify() outcome {
	if x.foreign {
		return outcome{foreign: x.totals().stripe}
	}
	d := x.findDifference()
	if d == nil {
		return outcome{}
	}
	if reason := x.waiting(); reason != "" && slices.Contains(excusable, d.kind) {
		return outcome{inFlight: reason}
	}
	return outcome{difference: d}
}

// waiting says what is under way; empty when nothing is.
func (x *item) waiting() string {
	for _, line := range slices.Concat(x.lines, x.parents) {
		if line.GetInProgress() {
			return "the order is being fulfilled"
		}
		undecided := line.GetFulfilmentState() == checkoutv1.FulfilmentState_FULFILMENT_STATE_NONE && line.GetMismatch() == ""
		if line.GetKind() == checkoutv1.OrderMoneyKind_ORDER_MONEY_KIND_CAPTURE && undecided {
			return "nobody has decided yet what the money buys"
		}
	}
	return x.stripe.waiting
}

func (x *item) findDifference() *difference {
	var d *difference
	switch x.kind {
	case "capture", "refund", "dispute-w", "dispute-r":
		d = x.classifyOrder()
	case "dispute-lost":
		d = x.classifyLoss()
	case "refund-request":
		return x.classifyRequest()
	case "fee":
		d = x.classifyFee()
	case "payout", "transfer", "transfer-rev":
		d = x.classifyTransfer()
	case "charge", "txn":
		return x.classifyUnknown()
	default:
		d = x.classifyInternal()
	}
	if d == nil {
		d = x.classifyCopy()
	}
	return d
}

// wrong compares two sources that both have something.
func wrong(expected, found sums, cause string) *difference {
	if expected.equal(found) {
		return nil
	}
	d := &difference{
		kind:     ledgerv1.DifferenceKind_DIFFERENCE_KIND_AMOUNT_WRONG,
		expected: expected.amount(found), found: found.amount(expected), cause: cause,
	}
	if d.expected != nil && d.found != nil && d.expected.Currency != d.found.Currency {
		d.kind = ledgerv1.DifferenceKind_DIFFERENCE_KIND_CURRENCY_WRONG
	}
	return d
}

// wrongCause says from which sources agree where the mistake probably is.
func (x *item) wrongCause(s totals) string {
	switch {
	case x.direct():
		return "Ledger and order say different things. Compare both with the charge at Stripe and correct the one that is wrong by an entry of its own."
	case s.order.equal(s.stripe) && len(x.copies) > 0 && s.copies.equal(s.order):
		return "Order, Stripe and our copy agree, so the ledger was changed after it had been posted: look at who has access to its database, and restore the entry or correct it by another."
	case s.order.equal(s.stripe):
		return "Order and Stripe agree, so the ledger was posted wrong, by hand or by another program: correct it by an entry of its own."
	case s.booked.equal(s.stripe) || s.ledger.equal(s.stripe):
		return "Ledger and Stripe agree, so the order is wrong: a webhook was lost or an old database was restored. Fetch the payment from Stripe again (backfill), then look at the order."
	case s.order.equal(s.booked):
		return "Order and ledger agree, so Stripe has other money than was reported to us: look at the payment at Stripe, and book what is missing."
	}
	return "No two sources agree: look at the payment at Stripe first, then correct order and ledger."
}

// direct says that the money lies in a connected account, where Stripe is not compared.
func (x *item) direct() bool {
	for _, e := range x.entries {
		if e.Facts.StripeAccount != "" && e.Facts.PaymentIntentID != "" {
			return true
		}
	}
	for _, line := range x.lines {
		if line.GetStripeAccount() != "" {
			return true
		}
	}
	return false
}

// classifyOrder classifies money of an order: captures, refunds, and funds of disputes.
func (x *item) classifyOrder() *difference {
	s := x.totals()
	switch {
	case len(x.entries) == 0 && len(x.lines) == 0:
		return x.classifyUnknownHere(s)
	case len(x.entries) == 0:
		return x.classifyUnbooked(s)
	case len(x.lines) == 0:
		return x.classifyOrderless(s)
	}
	if d := wrong(s.order, s.booked, x.wrongCause(s)); d != nil {
		if undone := x.missingReversal(); undone != nil {
			return undone
		}
		return d
	}
	if x.direct() {
		return nil
	}
	if len(x.stripe.moves) == 0 && !s.ledger.equal(s.stripe) {
		return x.classifyMissingAtStripe(s)
	}
	return wrong(s.stripe, s.ledger, x.wrongCause(s))
}

// classifyNobody is for a subject that neither orders nor the ledger know.
func (x *item) classifyUnknownHere(s totals) *difference {
	switch {
	case len(x.stripe.moves) > 0 && !s.stripe.equal(sums{}):
		return x.classifyUnknown()
	case len(x.copies) > 0:
		return &difference{
			kind: ledgerv1.DifferenceKind_DIFFERENCE_KIND_POSTING_MISSING, expected: s.copies.amount(nil),
			cause: "We posted this once, but neither ledger, orders nor Stripe know of it now: the ledger and the orders were restored from an older backup, or our copies are of another ledger.",
		}
	}
	return nil
}

// classifyUnbooked is for what an order knows and the ledger does not.
func (x *item) classifyUnbooked(s totals) *difference {
	if s.order.equal(sums{}) && len(x.copies) == 0 {
		return nil // a refund that came to nothing
	}
	d := &difference{expected: s.order.amount(nil)}
	switch {
	case len(x.copies) > 0:
		d.kind = ledgerv1.DifferenceKind_DIFFERENCE_KIND_POSTING_MISSING
		d.cause = "We posted this once (our copy has it), but the ledger no longer does: it was removed there, or the ledger was restored from an older backup. Restore it, or post it again from our copy."
	case x.kind == "refund" && len(x.stripe.moves) == 0:
		d.kind = ledgerv1.DifferenceKind_DIFFERENCE_KIND_REFUND_MISSING_AT_STRIPE
		d.cause = "The order has a refund that neither Stripe nor the ledger know: it was made in another mode or account of Stripe, or the row was written by hand. Make the refund again, or cancel it."
	case x.kind == "refund":
		d.kind = ledgerv1.DifferenceKind_DIFFERENCE_KIND_REFUND_MISSING_IN_LEDGER
		d.cause = "The refund left at Stripe but was never posted: its job fails or is dead. Look at the dead letters of checkoutsvc for post_refund and retry."
	case x.kind != "capture":
		d.kind = ledgerv1.DifferenceKind_DIFFERENCE_KIND_POSTING_MISSING
		d.cause = "Money of a dispute moved but was never posted: its job fails or is dead. Look at the dead letters of checkoutsvc for post_dispute_funds and retry."
	case x.mismatch() != "":
		d.kind = ledgerv1.DifferenceKind_DIFFERENCE_KIND_ORDER_WITHOUT_POSTING
		d.cause = "The captured money does not fit the order (" + x.mismatch() + "), so nothing was posted. The review case of the order says what to do; refund the money or book it by hand."
	case !x.direct() && len(x.stripe.moves) == 0:
		d.kind = ledgerv1.DifferenceKind_DIFFERENCE_KIND_STRIPE_TRANSACTION_MISSING
		d.cause = "The order counts as paid, but neither Stripe nor the ledger have the money: the payment is of another mode or account of Stripe, or the order was changed by hand."
	default:
		d.kind = ledgerv1.DifferenceKind_DIFFERENCE_KIND_ORDER_WITHOUT_POSTING
		d.cause = "The order's money was captured at Stripe but never posted: RecordSale or RecordReceipt failed for good. Look at the order's timeline and at the dead letters of checkoutsvc, and retry."
	}
	return d
}

func (x *item) mismatch() string {
	for _, line := range x.lines {
		if line.GetMismatch() != "" {
			return line.GetMismatch()
		}
	}
	return ""
}

// classifyOrderless is for what the ledger has and no order knows.
func (x *item) classifyOrderless(s totals) *difference {
	found := s.booked.amount(nil)
	if found == nil {
		found = s.ledger.amount(nil)
	}
	d := &difference{kind: ledgerv1.DifferenceKind_DIFFERENCE_KIND_POSTING_WITHOUT_ORDER, found: found}
	switch {
	case len(x.stripe.moves) > 0 && x.orderKnown:
		d.cause = "Ledger and Stripe have this money and the order exists, but the order does not know of it: a webhook was lost or an old database was restored. Fetch it from Stripe again (backfill)."
	case len(x.stripe.moves) > 0:
		d.cause = "Ledger and Stripe have this money, but checkoutsvc has no such order: its database was restored from an older backup, or the payment belongs to another system."
	case x.orderKnown:
		d.kind = ledgerv1.DifferenceKind_DIFFERENCE_KIND_POSTING_EXTRA
		d.cause = "The entry names an order, but neither the order nor Stripe know of this money: it was posted by hand or a second time under another reference. Reverse it by an entry of its own."
	default:
		d.cause = "The entry names an order that does not exist, and Stripe knows nothing of this money: it was posted by hand, or by a program that works on another database. Reverse it by an entry of its own."
	}
	return d
}

// missingReversal is for a refund that came back, whose own entry is there and whose reversal is not.
func (x *item) missingReversal() *difference {
	if x.kind != "refund" || len(x.entries) != 1 || len(x.lines) == 0 || x.entries[0].Reference != x.subject {
		return nil
	}
	switch x.lines[0].GetRefundState() {
	case checkoutv1.RefundState_REFUND_STATE_FAILED, checkoutv1.RefundState_REFUND_STATE_CANCELED:
	default:
		return nil
	}
	m, err := money.New(x.lines[0].GetAmount().GetCurrency(), x.lines[0].GetAmount().GetMinorUnits())
	if err != nil {
		return nil
	}
	return &difference{
		kind: ledgerv1.DifferenceKind_DIFFERENCE_KIND_POSTING_MISSING, expected: &m,
		cause: "The refund came back, but its reversal refund-fail:" + x.id() + " is not in the ledger: its job fails or is dead. Look at the dead letters of checkoutsvc for post_refund and retry.",
	}
}

// classifyNotAtStripe is for what order and ledger agree on and Stripe does not know.
func (x *item) classifyMissingAtStripe(s totals) *difference {
	d := &difference{kind: ledgerv1.DifferenceKind_DIFFERENCE_KIND_STRIPE_TRANSACTION_MISSING, expected: s.ledger.amount(nil)}
	d.cause = "Order and ledger have money that Stripe does not know: a forged or foreign event was believed, or the key is of another account or mode of Stripe."
	if x.kind == "refund" {
		d.kind = ledgerv1.DifferenceKind_DIFFERENCE_KIND_REFUND_MISSING_AT_STRIPE
		d.cause = "Order and ledger have a refund that Stripe does not know, so the buyer has no money: the key is of another account or mode of Stripe, or a foreign event was believed. Look at Stripe, and refund again if it is not there."
	}
	return d
}

// classifyUnknown is for money that Stripe moved and nobody here knows.
func (x *item) classifyUnknown() *difference {
	s := x.totals()
	if len(x.stripe.moves) == 0 || s.stripe.equal(sums{}) {
		return nil
	}
	d := &difference{kind: ledgerv1.DifferenceKind_DIFFERENCE_KIND_STRIPE_TRANSACTION_UNKNOWN, found: s.stripe.amount(nil)}
	switch x.kind {
	case "refund":
		d.cause = "Stripe sent a refund that we know nothing of: it was made in the dashboard or by another program, and its webhook did not arrive. Backfill the events, or look at the dead letters of webhooksvc."
	case "capture", "charge":
		d.cause = "Stripe captured money that no order and no entry know of: its webhook did not arrive, or the payment was made by another program on the same account. Backfill the events; refund it if nobody claims it."
	case "dispute-w", "dispute-r":
		d.cause = "A dispute moved money that we know nothing of: its webhook did not arrive. Backfill the events, or look at the dead letters of webhooksvc."
	default:
		d.cause = fmt.Sprintf("Stripe booked a %s of its own that we do not post (a correction, a charge for a service, or a top-up). Look at it in the dashboard and book it by hand.", x.stripe.moves[0].kind)
	}
	return d
}

// classifyRequest is for a refund that was decided and that Stripe has not made.
func (x *item) classifyRequest() *difference {
	if len(x.lines) == 0 {
		return nil
	}
	return &difference{
		kind: ledgerv1.DifferenceKind_DIFFERENCE_KIND_REFUND_MISSING_AT_STRIPE, expected: x.totals().order.amount(nil),
		cause: "The refund was decided but Stripe never got it, or refused it: its job fails or is dead. Look at the dead letters of checkoutsvc for send_refund and settle_receipt, and retry.",
	}
}

// classifyLoss classifies a lost dispute, which moves nothing at Stripe.
func (x *item) classifyLoss() *difference {
	s := x.totals()
	switch {
	case len(x.lines) > 0 && len(x.entries) == 0:
		return &difference{
			kind: ledgerv1.DifferenceKind_DIFFERENCE_KIND_POSTING_MISSING, expected: s.order.amount(nil),
			cause: "A dispute was lost but nobody bears it in the ledger: its job fails or is dead. Look at the dead letters of checkoutsvc for post_dispute_loss and retry.",
		}
	case len(x.lines) == 0 && len(x.entries) > 0:
		return x.classifyOrderless(s)
	case len(x.lines) == 0:
		return x.classifyInternal()
	}
	return wrong(s.order, s.booked, x.wrongCause(s))
}
