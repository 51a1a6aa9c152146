package ledgersvc

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	formance "github.com/formancehq/formance-sdk-go/v3"
	"github.com/formancehq/formance-sdk-go/v3/pkg/models/operations"
	"github.com/formancehq/formance-sdk-go/v3/pkg/models/shared"

	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
)

// ledgerPage is the size of a page of the ledger's lists; it is their largest.
const ledgerPage = 100

// list gives f the ledger's transactions that fit a filter in pages, the newest first.
func (l *ledger) list(ctx context.Context, query map[string]any, f func([]entry) error) error {
	size := int64(ledgerPage)
	request := operations.V2ListTransactionsRequest{Ledger: l.config.Ledger, PageSize: &size, Query: query}
	for {
		var page shared.V2TransactionsCursorResponseCursor
		err := l.call(ctx, "list transactions", func(ctx context.Context, sdk *formance.Formance) error {
			res, err := sdk.Ledger.V2.ListTransactions(ctx, request)
			if err != nil {
				return err
			}
			page = res.V2TransactionsCursorResponse.Cursor
			return nil
		})
		if err != nil {
			return fmt.Errorf("list the ledger's transactions: %w", err)
		}
		entries := make([]entry, len(page.Data))
		for i, t := range page.Data {
			entries[i] = anyTransaction(t)
		}
		if err := f(entries); err != nil {
			return err
		}
		if !page.HasMore || page.Next == nil || *page.Next == "" {
			return nil
		}
		request = operations.V2ListTransactionsRequest{Ledger: l.config.Ledger, Cursor: page.Next}
	}
}

// anyTransaction reads a transaction whoever made it. One without a reference is named by its number; postings that are
// beyond what we could have posted are left out, and then the kind, too.
func anyTransaction(t shared.V2Transaction) entry {
	e := entry{effectiveTime: t.Timestamp.UTC(), postTime: t.Timestamp.UTC(), fingerprint: []byte{}}
	if t.ID != nil && t.ID.IsInt64() {
		e.transactionID = t.ID.Int64()
	}
	e.reference = fmt.Sprintf("transaction:%d", e.transactionID)
	if t.Reference != nil && *t.Reference != "" {
		e.reference = *t.Reference
		e.kind = kindOf(t.Metadata[metaKind])
	}
	e.facts = facts{
		orderID: t.Metadata[metaOrder], organizerID: t.Metadata[metaOrganizer], paymentIntentID: t.Metadata[metaPaymentIntent],
		stripeAccount: t.Metadata[metaStripeAccount], disputeID: t.Metadata[metaDispute],
	}
	if t.InsertedAt != nil {
		e.postTime = t.InsertedAt.UTC()
	}
	if fingerprint, err := hex.DecodeString(t.Metadata[metaFingerprint]); err == nil {
		e.fingerprint = fingerprint
	}
	for _, p := range t.Postings {
		switch {
		case p.Amount == nil || !p.Amount.IsInt64():
			e.kind = ledgerv1.EntryKind_ENTRY_KIND_UNSPECIFIED
		case p.Amount.Sign() != 0:
			e.postings = append(e.postings, posting{source: p.Source, destination: p.Destination, asset: p.Asset, amount: p.Amount.Int64()})
		}
	}
	return e
}

// subjectOf is what an entry is compared by: an entry that undoes another belongs to what it undoes.
func subjectOf(reference string) string {
	for undoing, undone := range map[string]string{"refund-fail:": "refund:", "payout-fail:": "payout:"} {
		if id, ok := strings.CutPrefix(reference, undoing); ok {
			return undone + id
		}
	}
	return reference
}

// referencesOf are the entries that a subject consists of, as far as its name tells.
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
func (e entry) atStripe() []ledgerMove {
	if e.facts.stripeAccount != "" && e.facts.paymentIntentID != "" || strings.HasPrefix(e.reference, "appfee") {
		return nil
	}
	platformOnly := strings.HasPrefix(e.reference, "transfer")
	var moves []ledgerMove
	for _, p := range e.postings {
		for _, side := range []struct {
			address string
			sign    int64
		}{{p.source, 1}, {p.destination, -1}} {
			account, ok := railOf(side.address)
			if ok && (account == "" || !platformOnly) {
				moves = append(moves, ledgerMove{account: account, asset: p.asset, amount: side.sign * p.amount})
			}
		}
	}
	return moves
}

// railOf says whose balance at Stripe an address is: empty for the platform's.
func railOf(address string) (account string, ok bool) {
	if rest, is := strings.CutPrefix(address, "stripe:connect:"); is {
		return rest, true
	}
	return "", strings.HasPrefix(address, "stripe:platform:")
}

// ofOrders says what an entry means for the money of orders: what came to them from Stripe, less what went back; of a
// lost dispute, what was lost. The second result is whether an order must know of the entry.
func (e entry) ofOrders() ([]ledgerMove, bool) {
	prefix, _, _ := strings.Cut(e.reference, ":")
	loss := prefix == "dispute-lost"
	if !loss && !slices.Contains([]string{"capture", "refund", "refund-fail", "dispute-w", "dispute-r"}, prefix) {
		return nil, false
	}
	var moves []ledgerMove
	for _, p := range e.postings {
		_, fromRail := railOf(p.source)
		_, toRail := railOf(p.destination)
		switch {
		case strings.HasPrefix(p.destination, "orders:") && (fromRail || loss):
			moves = append(moves, ledgerMove{asset: p.asset, amount: p.amount})
		case strings.HasPrefix(p.source, "orders:") && toRail && !loss:
			moves = append(moves, ledgerMove{asset: p.asset, amount: -p.amount})
		}
	}
	return moves, true
}

// orderID names the order of an entry: by its metadata, else by the accounts that it touches.
func (e entry) orderID() string {
	if e.facts.orderID != "" {
		return e.facts.orderID
	}
	for _, p := range e.postings {
		for _, address := range []string{p.source, p.destination} {
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

// sameAs says whether a copy is what the ledger has.
func (e entry) sameAs(other entry) bool {
	return e.transactionID == other.transactionID && e.kind == other.kind && e.facts == other.facts &&
		e.effectiveTime.Equal(other.effectiveTime) && slices.Equal(e.postings, other.postings)
}
