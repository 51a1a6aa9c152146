package reconcile

import (
	"testing"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
	"github.com/dayof/dayof/ledgersvc/journal"
)

const orderID = "order000000000000001"

// captureLine is a captured payment as checkoutsvc has it.
func captureLine(minorUnits int64) *checkoutv1.OrderMoney {
	return &checkoutv1.OrderMoney{
		Kind: checkoutv1.OrderMoneyKind_ORDER_MONEY_KIND_CAPTURE, Id: "pi_1", PaymentIntentId: "pi_1", OrderId: orderID,
		Amount:          &moneyv1.Money{Currency: "EUR", MinorUnits: minorUnits},
		FulfilmentState: checkoutv1.FulfilmentState_FULFILMENT_STATE_COMPLETED,
	}
}

// captureEntry is the same payment as the ledger has it.
func captureEntry(minorUnits int64) journal.Entry {
	return journal.Entry{
		TransactionID: 1, Reference: "capture:pi_1", Kind: ledgerv1.EntryKind_ENTRY_KIND_RECEIPT,
		Facts:    journal.Facts{OrderID: orderID, PaymentIntentID: "pi_1"},
		Postings: []journal.Posting{{Source: "stripe:platform:main:01", Destination: "orders:" + orderID + ":payment", Asset: "EUR/2", Amount: minorUnits}},
	}
}

// captureMove is the same payment as Stripe has it.
func captureMove(minorUnits int64) stripeMove {
	return stripeMove{subject: "capture:pi_1", txn: "txn_1", source: "ch_1", asset: "EUR/2", amount: minorUnits}
}

// captureItem is the payment as all sources have it, all the same.
func captureItem() *item {
	x := newItem("capture:pi_1", "")
	x.lines = []*checkoutv1.OrderMoney{captureLine(100)}
	x.entries = []journal.Entry{captureEntry(100)}
	x.copies = map[string]journal.Entry{"capture:pi_1": captureEntry(100)}
	x.stripe = stripeMoves{moves: []stripeMove{captureMove(100)}}
	x.orderKnown = true
	return x
}

func TestClassifyCapture(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change   func(x *item)
		want     ledgerv1.DifferenceKind // unspecified: none
		inFlight bool
	}{
		"all agree": {change: func(*item) {}},
		"the ledger lost the entry": {
			change: func(x *item) { x.entries = nil },
			want:   ledgerv1.DifferenceKind_DIFFERENCE_KIND_POSTING_MISSING,
		},
		"nobody posted it": {
			change: func(x *item) { x.entries, x.copies = nil, nil },
			want:   ledgerv1.DifferenceKind_DIFFERENCE_KIND_ORDER_WITHOUT_POSTING,
		},
		"nobody posted it yet": {
			change:   func(x *item) { x.entries, x.copies, x.lines[0].InProgress = nil, nil, true },
			inFlight: true,
		},
		"only the order has it": {
			change: func(x *item) { x.entries, x.copies, x.stripe = nil, nil, stripeMoves{} },
			want:   ledgerv1.DifferenceKind_DIFFERENCE_KIND_STRIPE_TRANSACTION_MISSING,
		},
		"Stripe does not have it": {
			change: func(x *item) { x.stripe = stripeMoves{} },
			want:   ledgerv1.DifferenceKind_DIFFERENCE_KIND_STRIPE_TRANSACTION_MISSING,
		},
		"Stripe does not have it yet": {
			change:   func(x *item) { x.stripe = stripeMoves{waiting: "no balance transaction yet"} },
			inFlight: true,
		},
		"the order does not know it": {
			change: func(x *item) { x.lines = nil },
			want:   ledgerv1.DifferenceKind_DIFFERENCE_KIND_POSTING_WITHOUT_ORDER,
		},
		"only the ledger has it": {
			change: func(x *item) { x.lines, x.stripe = nil, stripeMoves{} },
			want:   ledgerv1.DifferenceKind_DIFFERENCE_KIND_POSTING_EXTRA,
		},
		"only Stripe has it": {
			change: func(x *item) { x.lines, x.entries, x.copies = nil, nil, nil },
			want:   ledgerv1.DifferenceKind_DIFFERENCE_KIND_STRIPE_TRANSACTION_UNKNOWN,
		},
		"only our copy has it": {
			change: func(x *item) { x.lines, x.entries, x.stripe = nil, nil, stripeMoves{} },
			want:   ledgerv1.DifferenceKind_DIFFERENCE_KIND_POSTING_MISSING,
		},
		"the ledger has another amount": {
			change: func(x *item) { x.entries[0] = captureEntry(99) },
			want:   ledgerv1.DifferenceKind_DIFFERENCE_KIND_AMOUNT_WRONG,
		},
		"Stripe has another amount": {
			change: func(x *item) { x.stripe.moves[0] = captureMove(101) },
			want:   ledgerv1.DifferenceKind_DIFFERENCE_KIND_AMOUNT_WRONG,
		},
		"the ledger has another currency": {
			change: func(x *item) { x.entries[0].Postings[0].Asset = "USD/2" },
			want:   ledgerv1.DifferenceKind_DIFFERENCE_KIND_CURRENCY_WRONG,
		},
		"our copy is another": {
			change: func(x *item) { x.copies["capture:pi_1"] = captureEntry(98) },
			want:   ledgerv1.DifferenceKind_DIFFERENCE_KIND_COPY_DIFFERS,
		},
		"we have no copy": {
			change: func(x *item) { x.copies = nil },
			want:   ledgerv1.DifferenceKind_DIFFERENCE_KIND_COPY_DIFFERS,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := captureItem()
			c.change(x)
			got := x.classify()
			kind := ledgerv1.DifferenceKind_DIFFERENCE_KIND_UNSPECIFIED
			if got.difference != nil {
				kind = got.difference.kind
			}
			if kind != c.want || (got.inFlight != "") != c.inFlight {
				t.Errorf("%v, in flight %q; want %v; %s", kind, got.inFlight, c.want, x.totalsBySource())
			}
			if got.difference != nil && got.difference.cause == "" {
				t.Error("no cause is suggested")
			}
		})
	}
}
