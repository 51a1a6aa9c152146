package reconcile

import (
	"maps"
	"slices"

	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/ledgersvc/journal"
)

// classifyFee classifies Stripe's fee of a balance transaction.
func (x *item) classifyFee() *difference {
	s := x.totals()
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

// classifyTransfer classifies payouts, transfers and their reversals.
func (x *item) classifyTransfer() *difference {
	s := x.totals()
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

// classifyInternal classifies entries that neither orders nor Stripe need to know.
func (x *item) classifyInternal() *difference {
	s := x.totals()
	for _, e := range x.entries {
		if known(e) {
			continue
		}
		d := &difference{kind: ledgerv1.DifferenceKind_DIFFERENCE_KIND_POSTING_EXTRA, found: s.ledger.amount(nil)}
		if d.found == nil && len(e.Postings) > 0 {
			d.found = sums{e.Postings[0].Asset: e.Postings[0].Amount}.amount(nil)
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
func (x *item) removed(s totals) *difference {
	expected := s.copies.amount(nil)
	for _, c := range x.copies {
		if expected == nil && len(c.Postings) > 0 {
			expected = sums{c.Postings[0].Asset: c.Postings[0].Amount}.amount(nil)
		}
	}
	return &difference{
		kind: ledgerv1.DifferenceKind_DIFFERENCE_KIND_POSTING_MISSING, expected: expected,
		cause: "We posted this once (our copy has it), but the ledger no longer does: it was removed there, or the ledger was restored from an older backup. Restore it, or post it again from our copy.",
	}
}

// classifyCopy compares our copies with the ledger, entry by entry.
func (x *item) classifyCopy() *difference {
	for _, e := range x.entries {
		c, kept := x.copies[e.Reference]
		d := &difference{kind: ledgerv1.DifferenceKind_DIFFERENCE_KIND_COPY_DIFFERS}
		if len(e.Postings) > 0 {
			d.expected = sums{e.Postings[0].Asset: e.Postings[0].Amount}.amount(nil)
		}
		switch {
		case !kept:
			d.cause = "The ledger has " + e.Reference + ", but ledgersvc has no copy: it died before it could keep one, and nobody repeated the call. Statements lack it; repeat the call, or copy it from the ledger."
			return d
		case !same(c, e):
			if len(c.Postings) > 0 {
				d.found = sums{c.Postings[0].Asset: c.Postings[0].Amount}.amount(nil)
			}
			d.cause = "Our copy of " + e.Reference + " is not what the ledger has: one of the two databases was changed by hand. The ledger decides unless order and Stripe say otherwise."
			return d
		}
	}
	for _, reference := range slices.Sorted(maps.Keys(x.copies)) {
		if slices.ContainsFunc(x.entries, func(e journal.Entry) bool { return e.Reference == reference }) {
			continue
		}
		only := *x
		only.copies = map[string]journal.Entry{reference: x.copies[reference]}
		return only.removed(only.totals())
	}
	return nil
}
