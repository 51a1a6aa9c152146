package reconcile

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	stripe "github.com/stripe/stripe-go/v76"
	"google.golang.org/protobuf/types/known/timestamppb"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/ledgersvc/journal"
	"github.com/dayof/dayof/ledgersvc/ledgerdb"
)

// record keeps what a source has, and writes when enough has come together.
func (r *reconciliation) record(ctx context.Context, row ledgerdb.AddRecordsParams) error {
	row.RunID = r.run.ID
	r.pending = append(r.pending, row)
	if len(r.pending) < recordBatch {
		return nil
	}
	return r.flush(ctx)
}

func (r *reconciliation) flush(ctx context.Context) error {
	if len(r.pending) == 0 {
		return nil
	}
	written, err := r.q.AddRecords(ctx, r.pool, r.pending)
	r.pending = r.pending[:0]
	r.recorded += written
	if err != nil {
		return fmt.Errorf("write records: %w", err)
	}
	return nil
}

func (r *reconciliation) readOrders(ctx context.Context) error {
	req := &checkoutv1.ListOrderMoneyRequest{
		FromTime: timestamppb.New(r.run.FromTime), UntilTime: timestamppb.New(r.run.UntilTime), PageSize: orderPage,
	}
	for {
		res, err := r.orders.ListOrderMoney(ctx, req)
		if err != nil {
			return err
		}
		r.result.OrderLines += int64(len(res.GetLines()))
		for _, line := range res.GetLines() {
			if err := r.recordLine(ctx, line); err != nil {
				return err
			}
		}
		if req.PageToken = res.GetNextPageToken(); req.PageToken == "" {
			return r.flush(ctx)
		}
	}
}

func (r *reconciliation) recordLine(ctx context.Context, line *checkoutv1.OrderMoney) error {
	subject, m, ok := lineMove(line)
	if !ok {
		return nil
	}
	if line.GetChargeId() != "" {
		err := r.record(ctx, ledgerdb.AddRecordsParams{Source: sourceCharge, ChargeID: line.GetChargeId(), Reference: line.GetPaymentIntentId()})
		if err != nil {
			return err
		}
	}
	return r.record(ctx, ledgerdb.AddRecordsParams{
		Source: sourceOrder, Subject: subject, Reference: subject, StripeAccount: line.GetStripeAccount(), Asset: m.asset, Amount: m.amount,
	})
}

func (r *reconciliation) readLedger(ctx context.Context) error {
	page := func(entries []journal.Entry) error {
		r.result.LedgerTransactions += int64(len(entries))
		for _, e := range entries {
			r.highest = max(r.highest, e.TransactionID)
			if err := r.recordEntry(ctx, e); err != nil {
				return err
			}
		}
		return r.compareCopies(ctx, entries)
	}
	if err := r.listEntries(ctx, between(r.run.FromTime, r.run.UntilTime), page); err != nil {
		return err
	}
	if err := r.readLatePostings(ctx, page); err != nil {
		return err
	}
	return r.flush(ctx)
}

// readLatePostings reads what was posted since the last continuous run for a time before this one.
func (r *reconciliation) readLatePostings(ctx context.Context, page func([]journal.Entry) error) error {
	if r.run.Kind != int16(ledgerv1.RunKind_RUN_KIND_CONTINUOUS) {
		return nil
	}
	progress, err := r.q.Progress(ctx, r.pool)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read progress: %w", err)
	}
	return r.listEntries(ctx, postedAfter(progress.LedgerTransactionID, r.run.FromTime), page)
}

func (r *reconciliation) recordEntry(ctx context.Context, e journal.Entry) error {
	subject := subjectOf(e.Reference)
	row := ledgerdb.AddRecordsParams{Subject: subject, Reference: e.Reference, StripeAccount: e.Facts.StripeAccount}
	// A record of nothing says that the entry is there, whatever it moves.
	rows := []ledgerdb.AddRecordsParams{row}
	rows[0].Source = sourceLedger
	for _, m := range atStripe(e) {
		at := row
		at.Source, at.StripeAccount, at.Asset, at.Amount = sourceLedger, m.account, m.asset, m.amount
		rows = append(rows, at)
	}
	moves, _ := ofOrders(e)
	for _, m := range moves {
		of := row
		of.Source, of.Asset, of.Amount = sourceBooked, m.asset, m.amount
		rows = append(rows, of)
	}
	for _, row := range rows {
		if err := r.record(ctx, row); err != nil {
			return err
		}
	}
	if !known(e) || (len(moves) == 0 && mustBeKnown(e)) {
		return r.q.AddUnmatchedItem(ctx, r.pool, r.run.ID, subject, e.Facts.StripeAccount)
	}
	return nil
}

// mustBeKnown says whether an order must know of an entry.
func mustBeKnown(e journal.Entry) bool {
	_, must := ofOrders(e)
	return must
}

// known says whether an entry is one of ours: it has a kind and a reference.
func known(e journal.Entry) bool { return e.Kind != ledgerv1.EntryKind_ENTRY_KIND_UNSPECIFIED }

// compareCopies adds entries whose copy is missing or differs to the unmatched items.
func (r *reconciliation) compareCopies(ctx context.Context, entries []journal.Entry) error {
	references := make([]string, len(entries))
	for i, e := range entries {
		references[i] = e.Reference
	}
	copies, err := r.copiesOf(ctx, references)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if c, kept := copies[e.Reference]; kept && same(c, e) {
			continue
		}
		if err := r.q.AddUnmatchedItem(ctx, r.pool, r.run.ID, subjectOf(e.Reference), e.Facts.StripeAccount); err != nil {
			return fmt.Errorf("add unmatched item: %w", err)
		}
	}
	return nil
}

// copiesOf returns our copies of entries, by reference.
func (r *reconciliation) copiesOf(ctx context.Context, references []string) (map[string]journal.Entry, error) {
	rows, err := r.q.EntriesByReferences(ctx, r.pool, references)
	if err != nil {
		return nil, fmt.Errorf("read copies: %w", err)
	}
	entries, err := journal.EntriesFromRows(ctx, r.pool, rows)
	if err != nil {
		return nil, err
	}
	copies := make(map[string]journal.Entry, len(entries))
	for _, e := range entries {
		copies[e.Reference] = e
	}
	return copies, nil
}

func (r *reconciliation) readCopies(ctx context.Context) error {
	written, err := r.q.AddCopyRecords(ctx, r.pool, r.run.ID, r.run.FromTime, r.run.UntilTime)
	r.recorded += written
	return err
}

// readStripe reads the platform's balance transactions, and the payouts of connected accounts that entries name. An account
// whose list fails is left unread: what only Stripe knows of it is missing until a daily run, or one on demand, reads its time.
func (r *reconciliation) readStripe(ctx context.Context) error {
	if err := r.readAccount(ctx, "", ""); err != nil {
		return err
	}
	accounts, err := r.q.RecordedAccounts(ctx, r.pool, r.run.ID)
	if err == nil && r.run.Kind != int16(ledgerv1.RunKind_RUN_KIND_CONTINUOUS) {
		accounts, err = r.q.KnownAccounts(ctx, r.pool)
	}
	if err != nil {
		return fmt.Errorf("list accounts: %w", err)
	}
	for _, account := range accounts {
		for _, kind := range []stripe.BalanceTransactionType{
			stripe.BalanceTransactionTypePayout, stripe.BalanceTransactionTypePayoutFailure, stripe.BalanceTransactionTypePayoutCancel,
		} {
			err := r.readAccount(ctx, account, string(kind))
			if isOfItem(err) {
				r.countUnread(ctx, accountSubject+account, account, err)
				break
			}
			if err != nil {
				return err
			}
		}
	}
	return r.flush(ctx)
}

func (r *reconciliation) readAccount(ctx context.Context, account, kind string) error {
	return r.stripe.list(ctx, account, kind, r.run.FromTime, r.run.UntilTime, func(t *stripe.BalanceTransaction) error {
		r.result.StripeTransactions++
		for _, m := range movesOf(t, account) {
			err := r.record(ctx, ledgerdb.AddRecordsParams{
				Source: sourceStripe, Subject: m.subject, Reference: m.txn, ChargeID: m.charge, StripeAccount: account, Asset: m.asset, Amount: m.amount,
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// matchRecords lets the database find the items that do not match. Its planner knows nothing of a table that was filled a
// moment ago, so the table is analyzed first. A crash of the server empties the table, and no records would be taken for
// agreement, so they are counted.
func (r *reconciliation) matchRecords(ctx context.Context) error {
	kept, err := r.q.CountRecords(ctx, r.pool, r.run.ID)
	if err != nil {
		return fmt.Errorf("count records: %w", err)
	}
	if kept != r.recorded {
		return fmt.Errorf("%d of %d records are left: the database was restarted", kept, r.recorded)
	}
	if _, err := r.pool.Exec(ctx, "analyze reconcile_records"); err != nil {
		return fmt.Errorf("analyze: %w", err)
	}
	return errors.Join(r.q.AddUnmatchedItems(ctx, r.pool, r.run.ID), r.q.AddOldUnmatchedItems(ctx, r.pool, r.run.ID))
}
