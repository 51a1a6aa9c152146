package ledgersvc

import (
	"fmt"
	"slices"
	"strings"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/internal/money"
)

// verdict is what comes of looking at a subject: nothing, a difference, or one that is excused as work in flight.
type verdict struct {
	difference *difference
	inFlight   string // why; empty when it is not
}

// difference is what does not fit. A nil amount is nothing at all.
type difference struct {
	kind            ledgerv1.DifferenceKind
	expected, found *money.Money
	cause           string
}

// sums are amounts by asset.
type sums map[string]int64

func (s sums) assets() []string { return sortedKeys(s) }

// equal says whether two sides agree; what is zero on one may be absent on the other.
func (s sums) equal(other sums) bool {
	for asset, amount := range s {
		if other[asset] != amount {
			return false
		}
	}
	for asset, amount := range other {
		if s[asset] != amount {
			return false
		}
	}
	return true
}

// amount picks the amount to show: that of an asset on which the other side differs.
func (s sums) amount(other sums) *money.Money {
	assets := s.assets()
	i := slices.IndexFunc(assets, func(asset string) bool { return s[asset] != other[asset] })
	if i < 0 {
		if len(assets) == 0 {
			return nil
		}
		i = 0
	}
	m, err := money.FromFormanceAsset(assets[i], s[assets[i]])
	if err != nil {
		m = money.Money{Currency: assets[i], MinorUnits: s[assets[i]]}
	}
	return &m
}

func (s sums) String() string {
	if len(s) == 0 {
		return "nothing"
	}
	var words []string
	for _, asset := range s.assets() {
		words = append(words, sums{asset: s[asset]}.amount(nil).Format())
	}
	return strings.Join(words, " and ")
}

// said are the amounts of each side.
type said struct {
	order  sums // what orders say
	booked sums // what the ledger says of orders
	ledger sums // what the ledger says of Stripe
	stripe sums
	copies sums // what our copies say of orders, or else of Stripe
}

func (x *subject) said() said {
	s := said{order: sums{}, booked: sums{}, ledger: sums{}, stripe: sums{}, copies: sums{}}
	for _, line := range x.lines {
		if _, m, ok := lineMove(line); ok {
			s.order[m.asset] += m.amount
		}
	}
	for _, e := range x.entries {
		of, _ := e.ofOrders()
		for _, m := range of {
			s.booked[m.asset] += m.amount
		}
		for _, m := range e.atStripe() {
			s.ledger[m.asset] += m.amount
		}
	}
	for _, c := range x.copies {
		moves, ofOrders := c.ofOrders()
		if !ofOrders {
			moves = c.atStripe()
		}
		for _, m := range moves {
			s.copies[m.asset] += m.amount
		}
	}
	for _, m := range x.stripe.moves {
		s.stripe[m.asset] += m.amount
	}
	return s
}

// sides says for people which side says what.
func (x *subject) sides() string {
	s := x.said()
	ledger := s.booked
	if len(ledger) == 0 {
		ledger = s.ledger
	}
	words := []string{"ledger " + told(len(x.entries), ledger), "our copy " + told(len(x.copies), s.copies), "Stripe " + told(len(x.stripe.moves), s.stripe)}
	if _, must := (entry{reference: x.name}).ofOrders(); must || x.kind == "refund-request" {
		words = slices.Insert(words, 0, "order "+told(len(x.lines), s.order))
	}
	return strings.Join(words, "; ")
}

func told(count int, s sums) string {
	if count == 0 {
		return "nothing"
	}
	if len(s) == 0 {
		return "no amount"
	}
	return s.String()
}

// excusable are the differences that work in flight explains: something is not there yet.
var excusable = []ledgerv1.DifferenceKind{
	ledgerv1.DifferenceKind_DIFFERENCE_KIND_POSTING_MISSING, ledgerv1.DifferenceKind_DIFFERENCE_KIND_ORDER_WITHOUT_POSTING,
	ledgerv1.DifferenceKind_DIFFERENCE_KIND_FEE_MISSING, ledgerv1.DifferenceKind_DIFFERENCE_KIND_REFUND_MISSING_IN_LEDGER,
	ledgerv1.DifferenceKind_DIFFERENCE_KIND_REFUND_MISSING_AT_STRIPE, ledgerv1.DifferenceKind_DIFFERENCE_KIND_STRIPE_TRANSACTION_MISSING,
	ledgerv1.DifferenceKind_DIFFERENCE_KIND_STRIPE_TRANSACTION_UNKNOWN,
}

// judge decides. At most one difference is told of a subject: the one nearest to the cause.
func (x *subject) judge() verdict {
	d := x.differ()
	if d == nil {
		return verdict{}
	}
	if reason := x.waiting(); reason != "" && slices.Contains(excusable, d.kind) {
		return verdict{inFlight: reason}
	}
	return verdict{difference: d}
}

// waiting says what is under way; empty when nothing is.
func (x *subject) waiting() string {
	for _, line := range append(slices.Clone(x.lines), x.parents...) {
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

func (x *subject) differ() *difference {
	var d *difference
	switch x.kind {
	case "capture", "refund", "dispute-w", "dispute-r":
		d = x.differOrder()
	case "dispute-lost":
		d = x.differLoss()
	case "refund-request":
		return x.differRequest()
	case "fee":
		d = x.differFee()
	case "payout", "transfer", "transfer-rev":
		d = x.differTransfer()
	case "charge", "txn":
		return x.differUnknown()
	default:
		d = x.differInternal()
	}
	if d == nil {
		d = x.differCopy()
	}
	return d
}

// wrong compares two sides that both have something.
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

// wrongCause tells from which sides agree where the mistake probably is.
func (x *subject) wrongCause(s said) string {
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
		return "Order and ledger agree, so Stripe has other money than we were told: look at the payment at Stripe, and book what is missing."
	}
	return "No two sides agree: look at the payment at Stripe first, then correct order and ledger."
}

// direct says that the money lies in a connected account, where Stripe's side is not compared.
func (x *subject) direct() bool {
	for _, e := range x.entries {
		if e.facts.stripeAccount != "" && e.facts.paymentIntentID != "" {
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

// differOrder judges money of an order: captures, refunds, and funds of disputes.
func (x *subject) differOrder() *difference {
	s := x.said()
	switch {
	case len(x.entries) == 0 && len(x.lines) == 0:
		return x.differNobody(s)
	case len(x.entries) == 0:
		return x.differUnbooked(s)
	case len(x.lines) == 0:
		return x.differOrderless(s)
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
		return x.differNotAtStripe(s)
	}
	return wrong(s.stripe, s.ledger, x.wrongCause(s))
}

// differNobody is for a subject that neither orders nor the ledger know.
func (x *subject) differNobody(s said) *difference {
	switch {
	case len(x.stripe.moves) > 0 && !s.stripe.equal(sums{}):
		return x.differUnknown()
	case len(x.copies) > 0:
		return &difference{
			kind: ledgerv1.DifferenceKind_DIFFERENCE_KIND_POSTING_MISSING, expected: s.copies.amount(nil),
			cause: "We posted this once, but neither ledger, orders nor Stripe know of it now: the ledger and the orders were restored from an older backup, or our copies are of another ledger.",
		}
	}
	return nil
}

// differUnbooked is for what an order knows and the ledger does not.
func (x *subject) differUnbooked(s said) *difference {
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
		d.cause = "The captured money does not fit the order (" + x.mismatch() + "), so nothing was posted. The operator item of the order says what to do; refund the money or book it by hand."
	case !x.direct() && len(x.stripe.moves) == 0:
		d.kind = ledgerv1.DifferenceKind_DIFFERENCE_KIND_STRIPE_TRANSACTION_MISSING
		d.cause = "The order counts as paid, but neither Stripe nor the ledger have the money: the payment is of another mode or account of Stripe, or the order was changed by hand."
	default:
		d.kind = ledgerv1.DifferenceKind_DIFFERENCE_KIND_ORDER_WITHOUT_POSTING
		d.cause = "The order's money was captured at Stripe but never posted: RecordSale or RecordReceipt failed for good. Look at the order's timeline and at the dead letters of checkoutsvc, and retry."
	}
	return d
}

func (x *subject) mismatch() string {
	for _, line := range x.lines {
		if line.GetMismatch() != "" {
			return line.GetMismatch()
		}
	}
	return ""
}

// differOrderless is for what the ledger has and no order knows.
func (x *subject) differOrderless(s said) *difference {
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
func (x *subject) missingReversal() *difference {
	if x.kind != "refund" || len(x.entries) != 1 || len(x.lines) == 0 || x.entries[0].reference != x.name {
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

// differNotAtStripe is for what order and ledger agree on and Stripe does not know.
func (x *subject) differNotAtStripe(s said) *difference {
	d := &difference{kind: ledgerv1.DifferenceKind_DIFFERENCE_KIND_STRIPE_TRANSACTION_MISSING, expected: s.ledger.amount(nil)}
	d.cause = "Order and ledger have money that Stripe does not know: a forged or foreign event was believed, or the key is of another account or mode of Stripe."
	if x.kind == "refund" {
		d.kind = ledgerv1.DifferenceKind_DIFFERENCE_KIND_REFUND_MISSING_AT_STRIPE
		d.cause = "Order and ledger have a refund that Stripe does not know, so the buyer has no money: the key is of another account or mode of Stripe, or a foreign event was believed. Look at Stripe, and refund again if it is not there."
	}
	return d
}

// differUnknown is for money that Stripe moved and nobody here knows.
func (x *subject) differUnknown() *difference {
	s := x.said()
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

// differRequest is for a refund that was decided and that Stripe has not made.
func (x *subject) differRequest() *difference {
	if len(x.lines) == 0 {
		return nil
	}
	return &difference{
		kind: ledgerv1.DifferenceKind_DIFFERENCE_KIND_REFUND_MISSING_AT_STRIPE, expected: x.said().order.amount(nil),
		cause: "The refund was decided but Stripe was never told, or refused: its job fails or is dead. Look at the dead letters of checkoutsvc for send_refund and settle_receipt, and retry.",
	}
}

// differLoss judges a lost dispute, which moves nothing at Stripe.
func (x *subject) differLoss() *difference {
	s := x.said()
	switch {
	case len(x.lines) > 0 && len(x.entries) == 0:
		return &difference{
			kind: ledgerv1.DifferenceKind_DIFFERENCE_KIND_POSTING_MISSING, expected: s.order.amount(nil),
			cause: "A dispute was lost but nobody bears it in the ledger: its job fails or is dead. Look at the dead letters of checkoutsvc for post_dispute_loss and retry.",
		}
	case len(x.lines) == 0 && len(x.entries) > 0:
		return x.differOrderless(s)
	case len(x.lines) == 0:
		return x.differInternal()
	}
	return wrong(s.order, s.booked, x.wrongCause(s))
}

// differFee judges Stripe's fee of a balance transaction.
func (x *subject) differFee() *difference {
	s := x.said()
	switch {
	case len(x.entries) == 0 && len(x.copies) > 0:
		return x.removed(s)
	case len(x.entries) == 0 && !s.stripe.equal(sums{}):
		return &difference{
			kind: ledgerv1.DifferenceKind_DIFFERENCE_KIND_FEE_MISSING, expected: s.stripe.amount(nil),
			cause: "Stripe kept a fee that is not in the ledger: the fee came later than the payment and its charge.updated was lost, or the job record_fee is dead. Retry it at checkoutsvc, or backfill the events.",
		}
	case len(x.entries) > 0 && len(x.stripe.moves) == 0 && !x.direct():
		return &difference{
			kind: ledgerv1.DifferenceKind_DIFFERENCE_KIND_POSTING_EXTRA, found: s.ledger.amount(nil),
			cause: "The ledger has a fee that Stripe did not take: it was posted by hand, or the key is of another account of Stripe. Reverse it by an entry of its own.",
		}
	case x.direct():
		return nil
	}
	return wrong(s.stripe, s.ledger, "Stripe took another fee than was posted: the ledger was posted or changed by hand. Correct it by an entry of its own.")
}

// differTransfer judges payouts, transfers and their reversals.
func (x *subject) differTransfer() *difference {
	s := x.said()
	switch {
	case len(x.entries) == 0 && len(x.copies) > 0:
		return x.removed(s)
	case len(x.entries) == 0 && !s.stripe.equal(sums{}):
		return &difference{
			kind: ledgerv1.DifferenceKind_DIFFERENCE_KIND_POSTING_MISSING, expected: s.stripe.amount(nil),
			cause: "Stripe moved this money, but the ledger does not have it: the webhook did not arrive or its event is dead. Look at the dead letters of webhooksvc, or backfill the events.",
		}
	case len(x.entries) > 0 && len(x.stripe.moves) == 0 && !s.ledger.equal(sums{}):
		return &difference{
			kind: ledgerv1.DifferenceKind_DIFFERENCE_KIND_POSTING_EXTRA, found: s.ledger.amount(nil),
			cause: "The ledger has this money moving, but Stripe does not: it was posted by hand, or the key is of another account of Stripe. Reverse it by an entry of its own.",
		}
	}
	return wrong(s.stripe, s.ledger, "Stripe moved another amount than was posted, or only one of a payment and its return is in the ledger: look at both, and at the dead letters of webhooksvc.")
}

// differInternal judges entries that neither orders nor Stripe have a side of.
func (x *subject) differInternal() *difference {
	s := x.said()
	for _, e := range x.entries {
		if e.known() {
			continue
		}
		d := &difference{kind: ledgerv1.DifferenceKind_DIFFERENCE_KIND_POSTING_EXTRA, found: s.ledger.amount(nil)}
		if d.found == nil && len(e.postings) > 0 {
			d.found = sums{e.postings[0].asset: e.postings[0].amount}.amount(nil)
		}
		d.cause = "No fact of ours asks for this entry: it was posted by hand or by another program. Find out who did, and reverse it by an entry of its own unless it is right."
		if x.orderKnown {
			d.cause = "No fact of ours asks for this entry, although it touches an order that exists: it was posted by hand or by another program. Find out who did, and reverse it by an entry of its own unless it is right."
		}
		return d
	}
	if len(x.entries) == 0 && len(x.copies) > 0 {
		return x.removed(s)
	}
	return nil
}

// removed is for an entry of which only our copy is left.
func (x *subject) removed(s said) *difference {
	expected := s.copies.amount(nil)
	for _, c := range x.copies {
		if expected == nil && len(c.postings) > 0 {
			expected = sums{c.postings[0].asset: c.postings[0].amount}.amount(nil)
		}
	}
	return &difference{
		kind: ledgerv1.DifferenceKind_DIFFERENCE_KIND_POSTING_MISSING, expected: expected,
		cause: "We posted this once (our copy has it), but the ledger no longer does: it was removed there, or the ledger was restored from an older backup. Restore it, or post it again from our copy.",
	}
}

// differCopy compares our copies with the ledger, entry by entry.
func (x *subject) differCopy() *difference {
	for _, e := range x.entries {
		c, kept := x.copies[e.reference]
		d := &difference{kind: ledgerv1.DifferenceKind_DIFFERENCE_KIND_COPY_DIFFERS}
		if len(e.postings) > 0 {
			d.expected = sums{e.postings[0].asset: e.postings[0].amount}.amount(nil)
		}
		switch {
		case !kept:
			d.cause = "The ledger has " + e.reference + ", but ledgersvc has no copy: it died before it could keep one, and nobody repeated the call. Statements lack it; repeat the call, or copy it from the ledger."
			return d
		case !c.sameAs(e):
			if len(c.postings) > 0 {
				d.found = sums{c.postings[0].asset: c.postings[0].amount}.amount(nil)
			}
			d.cause = "Our copy of " + e.reference + " is not what the ledger has: one of the two databases was changed by hand. The ledger decides unless order and Stripe say otherwise."
			return d
		}
	}
	for _, reference := range sortedKeys(x.copies) {
		if slices.ContainsFunc(x.entries, func(e entry) bool { return e.reference == reference }) {
			continue
		}
		only := *x
		only.copies = map[string]entry{reference: x.copies[reference]}
		return only.removed(only.said())
	}
	return nil
}
