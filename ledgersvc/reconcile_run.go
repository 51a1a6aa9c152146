package ledgersvc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	stripe "github.com/stripe/stripe-go/v76"
	"google.golang.org/protobuf/types/known/timestamppb"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/ledgersvc/journal"
	"github.com/dayof/dayof/ledgersvc/ledgerdb"
)

// reconcileArgs names a run that shall be made.
type reconcileArgs struct {
	RunID string `json:"run_id"`
}

// Kind implements river.JobArgs.
func (reconcileArgs) Kind() string { return "reconcile" }

const (
	reconcileAttempts = 5
	// reconcileTimeout bounds one attempt; a hundred thousand orders take minutes.
	reconcileTimeout = time.Hour
	// sightingBatch is how many rows are written at once; they are what a run holds in memory, beside a page.
	sightingBatch = 2000
	// orderPage is the size of a page of lines of orders.
	orderPage = 1000
	// suspectBatch is how many subjects are looked at closely at once. Their references travel in a URL.
	suspectBatch = 25
	// suspectsMax is how many subjects one run looks at closely: each takes a call to Stripe.
	suspectsMax = 20_000
)

// The sides of a comparison, as they are noted.
const (
	sideOrder  = "order"
	sideBooked = "booked" // what the ledger says of the money of orders
	sideLedger = "ledger" // what the ledger says of the balances at Stripe
	sideStripe = "stripe"
	sideCharge = "charge" // no side: maps a charge to its intent
)

// reconciliation is one run. It notes in tables what each side says, lets the database find what does not fit, and looks
// at that closely, subject by subject: what the notes only suspect is decided by asking all sides again.
//
// Memory is bounded by the pages; the tables are emptied when the run ends. Running it again is harmless: it begins anew.
type reconciliation struct {
	*Service
	run   ledgerdb.ReconcileRun
	notes []ledgerdb.AddSightingsParams
	noted int64 // rows that the tables should have

	highest int64 // number at the ledger
	result  ledgerdb.FinishRunParams
}

// reconcile makes a run.
func (s *Service) reconcile(ctx context.Context, job *river.Job[reconcileArgs]) error {
	run, err := s.q.GetRun(ctx, s.pool, job.Args.RunID)
	if err != nil {
		return fmt.Errorf("get run: %w", err)
	}
	if run.State != int16(ledgerv1.RunState_RUN_STATE_RUNNING) {
		return nil
	}
	r := &reconciliation{Service: s, run: run, result: ledgerdb.FinishRunParams{ID: run.ID, State: int16(ledgerv1.RunState_RUN_STATE_DONE)}}
	if err := r.compare(ctx); err != nil {
		if job.Attempt >= job.MaxAttempts {
			r.result.State, r.result.Error = int16(ledgerv1.RunState_RUN_STATE_FAILED), err.Error()
			err = errors.Join(err, r.finish(context.WithoutCancel(ctx)))
		}
		return err
	}
	return r.finish(ctx)
}

// compare is the list of what a run does.
func (r *reconciliation) compare(ctx context.Context) error {
	for _, step := range []struct {
		name string
		do   func(ctx context.Context) error
	}{
		{"forget an earlier attempt", r.forget},
		{"read orders", r.readOrders},
		{"read ledger", r.readLedger},
		{"read copies", r.readCopies},
		{"read stripe", r.readStripe},
		{"find suspects", r.findSuspects},
		{"examine", r.examineAll},
	} {
		from := r.clock.Now()
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
		r.logger.LogAttrs(ctx, slog.LevelDebug, "reconciliation step is done", slog.String("run_id", r.run.ID),
			slog.String("step", step.name), slog.Duration("took", r.clock.Now().Sub(from)))
	}
	return nil
}

func (r *reconciliation) forget(ctx context.Context) error {
	return r.q.ForgetRun(ctx, r.pool, r.run.ID)
}

// finish ends the run's row, and with it moves the continuous reconciliation forward and orders the daily report.
func (r *reconciliation) finish(ctx context.Context) error {
	now := r.clock.Now()
	r.result.EndTime = &now
	err := pgx.BeginFunc(ctx, r.pool, func(tx pgx.Tx) error {
		ended, err := r.q.FinishRun(ctx, tx, r.result)
		if err != nil || ended == 0 {
			return err
		}
		done := r.result.State == int16(ledgerv1.RunState_RUN_STATE_DONE)
		switch ledgerv1.RunKind(r.run.Kind) {
		case ledgerv1.RunKind_RUN_KIND_CONTINUOUS:
			if done && !r.result.Truncated { // what was not looked at is read again
				return r.q.SetProgress(ctx, tx, r.run.UntilTime, r.highest)
			}
		case ledgerv1.RunKind_RUN_KIND_DAILY:
			return r.jobs.InsertTx(ctx, tx, sendReportArgs{RunID: r.run.ID})
		case ledgerv1.RunKind_RUN_KIND_ON_DEMAND, ledgerv1.RunKind_RUN_KIND_UNSPECIFIED:
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("finish run: %w", err)
	}
	r.logger.LogAttrs(ctx, slog.LevelInfo, "reconciliation ended", slog.String("run_id", r.run.ID),
		slog.Int64("order_lines", r.result.OrderLines), slog.Int64("ledger_transactions", r.result.LedgerTransactions),
		slog.Int64("stripe_transactions", r.result.StripeTransactions), slog.Int64("differences", r.result.Differences))
	return r.forget(ctx)
}

// note keeps what a side says, and writes when enough has come together.
func (r *reconciliation) note(ctx context.Context, row ledgerdb.AddSightingsParams) error {
	row.RunID = r.run.ID
	r.notes = append(r.notes, row)
	if len(r.notes) < sightingBatch {
		return nil
	}
	return r.flush(ctx)
}

func (r *reconciliation) flush(ctx context.Context) error {
	if len(r.notes) == 0 {
		return nil
	}
	written, err := r.q.AddSightings(ctx, r.pool, r.notes)
	r.notes = r.notes[:0]
	r.noted += written
	if err != nil {
		return fmt.Errorf("note: %w", err)
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
			if err := r.noteLine(ctx, line); err != nil {
				return err
			}
		}
		if req.PageToken = res.GetNextPageToken(); req.PageToken == "" {
			return r.flush(ctx)
		}
	}
}

func (r *reconciliation) noteLine(ctx context.Context, line *checkoutv1.OrderMoney) error {
	subject, m, ok := lineMove(line)
	if !ok {
		return nil
	}
	if line.GetChargeId() != "" {
		err := r.note(ctx, ledgerdb.AddSightingsParams{Side: sideCharge, ChargeID: line.GetChargeId(), Reference: line.GetPaymentIntentId()})
		if err != nil {
			return err
		}
	}
	return r.note(ctx, ledgerdb.AddSightingsParams{
		Side: sideOrder, Subject: subject, Reference: subject, StripeAccount: line.GetStripeAccount(), Asset: m.asset, Amount: m.amount,
	})
}

func (r *reconciliation) readLedger(ctx context.Context) error {
	page := func(entries []journal.Entry) error {
		r.result.LedgerTransactions += int64(len(entries))
		for _, e := range entries {
			r.highest = max(r.highest, e.TransactionID)
			if err := r.noteEntry(ctx, e); err != nil {
				return err
			}
		}
		return r.compareCopies(ctx, entries)
	}
	if err := r.ledger.list(ctx, between(r.run.FromTime, r.run.UntilTime), page); err != nil {
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
	return r.ledger.list(ctx, postedAfter(progress.LedgerTransactionID, r.run.FromTime), page)
}

func (r *reconciliation) noteEntry(ctx context.Context, e journal.Entry) error {
	subject := subjectOf(e.Reference)
	row := ledgerdb.AddSightingsParams{Subject: subject, Reference: e.Reference, StripeAccount: e.Facts.StripeAccount}
	// A row of nothing says that the entry is there, whatever it moves.
	rows := []ledgerdb.AddSightingsParams{row}
	rows[0].Side = sideLedger
	for _, m := range atStripe(e) {
		at := row
		at.Side, at.StripeAccount, at.Asset, at.Amount = sideLedger, m.account, m.asset, m.amount
		rows = append(rows, at)
	}
	moves, _ := ofOrders(e)
	for _, m := range moves {
		of := row
		of.Side, of.Asset, of.Amount = sideBooked, m.asset, m.amount
		rows = append(rows, of)
	}
	for _, row := range rows {
		if err := r.note(ctx, row); err != nil {
			return err
		}
	}
	if !known(e) || (len(moves) == 0 && mustBeKnown(e)) {
		return r.q.AddSuspect(ctx, r.pool, r.run.ID, subject, e.Facts.StripeAccount)
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

// compareCopies suspects entries whose copy is missing or says something else.
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
		if err := r.q.AddSuspect(ctx, r.pool, r.run.ID, subjectOf(e.Reference), e.Facts.StripeAccount); err != nil {
			return fmt.Errorf("add suspect: %w", err)
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
	written, err := r.q.CopySightings(ctx, r.pool, r.run.ID, r.run.FromTime, r.run.UntilTime)
	r.noted += written
	return err
}

// readStripe reads the platform's balance transactions, and the payouts of connected accounts that are known to move.
func (r *reconciliation) readStripe(ctx context.Context) error {
	if err := r.readAccount(ctx, "", ""); err != nil {
		return err
	}
	accounts, err := r.q.SightedAccounts(ctx, r.pool, r.run.ID)
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
			if errors.Is(err, errDisconnected) {
				r.logger.LogAttrs(ctx, slog.LevelWarn, "payouts of an account are not compared", slog.String("stripe_account", account), slog.String("error", err.Error()))
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
			err := r.note(ctx, ledgerdb.AddSightingsParams{
				Side: sideStripe, Subject: m.subject, Reference: m.txn, ChargeID: m.charge, StripeAccount: account, Asset: m.asset, Amount: m.amount,
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// findSuspects lets the database compare. It knows nothing of tables that were filled a moment ago, unless it is told to
// look. The tables are emptied when the server crashes, and then silence would be taken for agreement.
func (r *reconciliation) findSuspects(ctx context.Context) error {
	kept, err := r.q.CountSightings(ctx, r.pool, r.run.ID)
	if err != nil {
		return fmt.Errorf("count notes: %w", err)
	}
	if kept != r.noted {
		return fmt.Errorf("%d of %d notes are left: the database was restarted", kept, r.noted)
	}
	if _, err := r.pool.Exec(ctx, "ANALYZE reconcile_sightings"); err != nil {
		return fmt.Errorf("analyze: %w", err)
	}
	return errors.Join(r.q.AddSuspects(ctx, r.pool, r.run.ID), r.q.AddOldSuspects(ctx, r.pool, r.run.ID))
}
