package ledgersvc

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/ledgersvc/ledgerdb"
)

// entryCopy returns our copy of the entry under a reference.
func (s *Service) entryCopy(ctx context.Context, reference string) (entry, bool, error) {
	row, err := s.q.EntryByReference(ctx, s.pool, reference)
	if errors.Is(err, pgx.ErrNoRows) {
		return entry{}, false, nil
	}
	if err != nil {
		return entry{}, false, fmt.Errorf("read copy: %w", err)
	}
	entries, err := s.withPostings(ctx, []ledgerdb.Entry{row})
	if err != nil {
		return entry{}, false, err
	}
	return entries[0], true, nil
}

// withPostings turns rows into entries with their postings, in one more round trip.
func (s *Service) withPostings(ctx context.Context, rows []ledgerdb.Entry) ([]entry, error) {
	if len(rows) == 0 {
		return nil, nil
	}
	entries := make([]entry, len(rows))
	place := make(map[int64]int, len(rows))
	ids := make([]int64, len(rows))
	for i, row := range rows {
		entries[i] = fromRow(row)
		ids[i], place[row.LedgerTransactionID] = row.LedgerTransactionID, i
	}
	lines, err := s.q.PostingsOf(ctx, s.pool, ids)
	if err != nil {
		return nil, fmt.Errorf("read postings: %w", err)
	}
	for _, l := range lines {
		e := &entries[place[l.LedgerTransactionID]]
		e.postings = append(e.postings, posting{source: l.Source, destination: l.Destination, asset: l.Asset, amount: l.Amount})
	}
	return entries, nil
}

func fromRow(row ledgerdb.Entry) entry {
	return entry{
		transactionID: row.LedgerTransactionID,
		reference:     row.Reference,
		kind:          kindOf(row.Kind),
		facts: facts{
			orderID: row.OrderID, organizerID: row.OrganizerID, paymentIntentID: row.PaymentIntentID,
			stripeAccount: row.StripeAccount, disputeID: row.DisputeID,
		},
		fingerprint:   row.Fingerprint,
		effectiveTime: row.EffectiveTime,
		postTime:      row.PostTime,
	}
}

func (e entry) toProto() *ledgerv1.Entry {
	out := &ledgerv1.Entry{
		Reference:           e.reference,
		Kind:                e.kind,
		OrderId:             e.facts.orderID,
		EffectiveTime:       timestamppb.New(e.effectiveTime),
		PostTime:            timestamppb.New(e.postTime),
		LedgerTransactionId: strconv.FormatInt(e.transactionID, 10),
	}
	for _, p := range e.postings {
		out.Postings = append(out.Postings, p.toProto(e.reference))
	}
	return out
}

func (p posting) toProto(reference string) *ledgerv1.Posting {
	return &ledgerv1.Posting{
		Source: p.source, Destination: p.destination, Asset: p.asset, Amount: strconv.FormatInt(p.amount, 10), Reference: reference,
	}
}

func toProtos(entries []entry) []*ledgerv1.Entry {
	out := make([]*ledgerv1.Entry, len(entries))
	for i, e := range entries {
		out[i] = e.toProto()
	}
	return out
}
