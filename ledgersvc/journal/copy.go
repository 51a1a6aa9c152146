package journal

import (
	"context"
	"fmt"

	"github.com/dayof/dayof/ledgersvc/ledgerdb"
)

// EntriesFromRows turns rows into entries with their postings, in one more round trip.
func EntriesFromRows(ctx context.Context, db ledgerdb.DBTX, rows []ledgerdb.Entry) ([]Entry, error) {
	if len(rows) == 0 {
		return nil, nil
	}
	entries := make([]Entry, len(rows))
	place := make(map[int64]int, len(rows))
	ids := make([]int64, len(rows))
	for i, row := range rows {
		entries[i] = entryFromRow(row)
		ids[i], place[row.LedgerTransactionID] = row.LedgerTransactionID, i
	}
	lines, err := new(ledgerdb.Queries).PostingsOf(ctx, db, ids)
	if err != nil {
		return nil, fmt.Errorf("read postings: %w", err)
	}
	for _, l := range lines {
		e := &entries[place[l.LedgerTransactionID]]
		e.Postings = append(e.Postings, Posting{Source: l.Source, Destination: l.Destination, Asset: l.Asset, Amount: l.Amount})
	}
	return entries, nil
}

// entryFromRow reads a copy without its postings.
func entryFromRow(row ledgerdb.Entry) Entry {
	return Entry{
		TransactionID: row.LedgerTransactionID,
		Reference:     row.Reference,
		Kind:          KindOf(row.Kind),
		Facts: Facts{
			OrderID: row.OrderID, OrganizerID: row.OrganizerID, PaymentIntentID: row.PaymentIntentID,
			StripeAccount: row.StripeAccount, DisputeID: row.DisputeID,
		},
		Fingerprint:   row.Fingerprint,
		EffectiveTime: row.EffectiveTime,
		PostTime:      row.PostTime,
	}
}
