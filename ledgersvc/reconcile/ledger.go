package reconcile

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dayof/dayof/ledgersvc/journal"
)

// subjectOf is what an entry is compared by: an entry that undoes another belongs to what it undoes.
func subjectOf(reference string) string {
	for undoing, undone := range map[string]string{"refund-fail:": "refund:", "payout-fail:": "payout:"} {
		if id, ok := strings.CutPrefix(reference, undoing); ok {
			return undone + id
		}
	}
	return reference
}

// referencesOf are the entries that a subject consists of, as far as its name says.
func referencesOf(subject string) []string {
	for undone, undoing := range map[string]string{"refund:": "refund-fail:", "payout:": "payout-fail:"} {
		if id, ok := strings.CutPrefix(subject, undone); ok {
			return []string{subject, undoing + id}
		}
	}
	return []string{subject}
}

// ledgerMove is what an entry changed on a balance at Stripe, or of the money of orders.
type ledgerMove struct {
	account, asset string
	amount         int64
}

// atStripe says what an entry means for the balances at Stripe. Direct charges are not compared there.
func atStripe(e journal.Entry) []ledgerMove {
	if e.Facts.StripeAccount != "" && e.Facts.PaymentIntentID != "" || strings.HasPrefix(e.Reference, "appfee") {
		return nil
	}
	platformOnly := strings.HasPrefix(e.Reference, "transfer")
	var moves []ledgerMove
	for _, p := range e.Postings {
		for _, side := range []struct {
			address string
			sign    int64
		}{{p.Source, 1}, {p.Destination, -1}} {
			account, ok := clearingAccountOf(side.address)
			if ok && (account == "" || !platformOnly) {
				moves = append(moves, ledgerMove{account: account, asset: p.Asset, amount: side.sign * p.Amount})
			}
		}
	}
	return moves
}

// clearingAccountOf says whose balance at Stripe an address is: empty for the platform's.
func clearingAccountOf(address string) (account string, ok bool) {
	if rest, is := strings.CutPrefix(address, "stripe:connect:"); is {
		return rest, true
	}
	return "", strings.HasPrefix(address, "stripe:platform:")
}

// ofOrders says what an entry means for the money of orders: what came to them from Stripe, less what went back; of a
// lost dispute, what was lost. The second result is whether an order must know of the entry.
func ofOrders(e journal.Entry) ([]ledgerMove, bool) {
	prefix, _, _ := strings.Cut(e.Reference, ":")
	loss := prefix == "dispute-lost"
	if !loss && !slices.Contains([]string{"capture", "refund", "refund-fail", "dispute-w", "dispute-r"}, prefix) {
		return nil, false
	}
	var moves []ledgerMove
	for _, p := range e.Postings {
		_, fromClearing := clearingAccountOf(p.Source)
		_, toClearing := clearingAccountOf(p.Destination)
		switch {
		case strings.HasPrefix(p.Destination, "orders:") && (fromClearing || loss):
			moves = append(moves, ledgerMove{asset: p.Asset, amount: p.Amount})
		case strings.HasPrefix(p.Source, "orders:") && toClearing && !loss:
			moves = append(moves, ledgerMove{asset: p.Asset, amount: -p.Amount})
		}
	}
	return moves, true
}

// orderIDOf names the order of an entry: by its metadata, else by the accounts that it touches.
func orderIDOf(e journal.Entry) string {
	if e.Facts.OrderID != "" {
		return e.Facts.OrderID
	}
	for _, p := range e.Postings {
		for _, address := range []string{p.Source, p.Destination} {
			if rest, ok := strings.CutPrefix(address, "orders:"); ok {
				id, _, _ := strings.Cut(rest, ":")
				return id
			}
		}
	}
	return ""
}

// between is the filter for transactions of a span of time.
func between(from, until time.Time) map[string]any {
	return map[string]any{"$and": []any{
		map[string]any{"$gte": map[string]any{"timestamp": from.Format(time.RFC3339Nano)}},
		map[string]any{"$lt": map[string]any{"timestamp": until.Format(time.RFC3339Nano)}},
	}}
}

// postedAfter is the filter for transactions with a higher number whose time lies before a span.
func postedAfter(number int64, from time.Time) map[string]any {
	return map[string]any{"$and": []any{
		map[string]any{"$gt": map[string]any{"id": number}},
		map[string]any{"$lt": map[string]any{"timestamp": from.Format(time.RFC3339Nano)}},
	}}
}

// withReferences is the filter for given entries; those without a reference are named by their number.
func withReferences(references []string) map[string]any {
	var named, alternatives []any
	for _, reference := range references {
		if number, ok := strings.CutPrefix(reference, "transaction:"); ok {
			var id int64
			if _, err := fmt.Sscanf(number, "%d", &id); err == nil {
				alternatives = append(alternatives, map[string]any{"$match": map[string]any{"id": id}})
			}
		}
		named = append(named, reference)
	}
	alternatives = append(alternatives, map[string]any{"$in": map[string]any{"reference": named}})
	return map[string]any{"$or": alternatives}
}

// same says whether a copy is what the ledger has.
func same(e, other journal.Entry) bool {
	return e.TransactionID == other.TransactionID && e.Kind == other.Kind && e.Facts == other.Facts &&
		e.EffectiveTime.Equal(other.EffectiveTime) && slices.Equal(e.Postings, other.Postings)
}
