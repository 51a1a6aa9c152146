package reconcile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/internal/chassis/alert"
	"github.com/dayof/dayof/ledgersvc/ledgerdb"
)

// runArgs names a run that shall be made.
type runArgs struct {
	RunID string `json:"run_id"`
}

// Kind implements river.JobArgs.
func (runArgs) Kind() string { return "reconcile" }

const (
	reconcileAttempts = 5
	// reconcileTimeout bounds one attempt; a hundred thousand orders take minutes.
	reconcileTimeout = time.Hour
	// recordBatch is how many rows are written at once; they are what a run holds in memory, beside a page.
	recordBatch = 2000
	// orderPage is the size of a page of lines of orders.
	orderPage = 1000
	// itemBatch is how many unmatched items are fetched at once. Their references travel in a URL.
	itemBatch = 25
	// unmatchedItemsMax is how many unmatched items one run fetches: each takes a call to Stripe.
	unmatchedItemsMax = 20_000
)

// The sources of records.
const (
	sourceOrder  = "order"
	sourceBooked = "booked" // the ledger, of the money of orders
	sourceLedger = "ledger" // the ledger, of the balances at Stripe
	sourceStripe = "stripe"
	sourceCharge = "charge" // no source: maps a charge to its intent
)

// reconciliation is one run. It records in tables what each source has, lets the database find the items that do not
// match, and classifies those, after it has asked all sources about them again.
//
// One item or account that cannot be read does not end it; see unread.go. Memory is bounded by the pages; the tables are emptied when the run ends. Idempotent: run again, it begins anew.
type reconciliation struct {
	*Service
	run      ledgerdb.ReconcileRun
	pending  []ledgerdb.AddRecordsParams // not written yet
	recorded int64                       // rows that the table should have

	unread  []ledgerdb.UnmatchedItemsAfterRow // items that the next run fetches again
	foreign sums                              // what others moved, net
	highest int64                             // number at the ledger that was read
	result  ledgerdb.FinishRunParams
}

// reconcile makes a run.
func (s *Service) reconcile(ctx context.Context, job *river.Job[runArgs]) error {
	run, err := s.q.GetRun(ctx, s.pool, job.Args.RunID)
	if err != nil {
		return fmt.Errorf("get run: %w", err)
	}
	if run.State != int16(ledgerv1.RunState_RUN_STATE_RUNNING) {
		return nil
	}
	r := s.newReconciliation(run)
	if err := r.compare(ctx); err != nil {
		if job.Attempt >= job.MaxAttempts {
			err = errors.Join(err, r.fail(context.WithoutCancel(ctx), err))
		}
		return err
	}
	return r.finish(ctx)
}

func (s *Service) newReconciliation(run ledgerdb.ReconcileRun) *reconciliation {
	return &reconciliation{
		Service: s, run: run, foreign: sums{},
		result: ledgerdb.FinishRunParams{ID: run.ID, State: int16(ledgerv1.RunState_RUN_STATE_DONE), UnreadSubjects: []string{}},
	}
}

// compare is the list of what a run does.
func (r *reconciliation) compare(ctx context.Context) error {
	for _, step := range []struct {
		name string
		do   func(ctx context.Context) error
	}{
		{"delete records of an earlier attempt", r.deleteRecords},
		{"read orders", r.readOrders},
		{"read ledger", r.readLedger},
		{"read copies", r.readCopies},
		{"read stripe", r.readStripe},
		{"match records", r.matchRecords},
		{"classify unmatched items", r.classifyAll},
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

func (r *reconciliation) deleteRecords(ctx context.Context) error {
	return r.q.DeleteRecords(ctx, r.pool, r.run.ID)
}

// finish ends the run's row, and with it moves the continuous reconciliation forward and orders the daily report.
func (r *reconciliation) finish(ctx context.Context) error {
	now := r.clock.Now()
	r.result.EndTime = &now
	foreign, err := json.Marshal(r.foreign)
	if err != nil {
		return fmt.Errorf("write foreign money: %w", err)
	}
	r.result.ForeignMoney = foreign
	err = pgx.BeginFunc(ctx, r.pool, func(tx pgx.Tx) error {
		ended, err := r.q.FinishRun(ctx, tx, r.result)
		if err != nil || ended == 0 {
			return err
		}
		done := r.result.State == int16(ledgerv1.RunState_RUN_STATE_DONE)
		if err := r.alert(ctx, tx, done); err != nil {
			return err
		}
		if done {
			if err := r.finishUnread(ctx, tx); err != nil {
				return err
			}
		}
		switch ledgerv1.RunKind(r.run.Kind) {
		case ledgerv1.RunKind_RUN_KIND_CONTINUOUS:
			if done && !r.result.Truncated { // what was not fetched is read again
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
		slog.Int64("stripe_transactions", r.result.StripeTransactions), slog.Int64("differences", r.result.Differences),
		slog.Int64("unread", r.result.UnreadItems))
	return r.deleteRecords(ctx)
}

// alert tells people that the run failed, or that one of its kind is done again.
func (r *reconciliation) alert(ctx context.Context, tx pgx.Tx, done bool) error {
	kind := enumWord(ledgerv1.RunKind(r.run.Kind).String(), "RUN_KIND_")
	if done {
		return alert.Resolve(ctx, tx, alertRunFailed, kind)
	}
	return alert.Raise(ctx, tx, alertRunFailed, kind, map[string]any{
		"run_id": r.run.ID, "error": r.result.Error, "from_time": r.run.FromTime, "until_time": r.run.UntilTime,
	}, alert.Link(r.config.ConsoleURL, "/reconciliations/"+r.run.ID))
}
