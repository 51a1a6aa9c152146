package ledgersvc

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"
	gonanoid "github.com/matoous/go-nanoid/v2"
	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/internal/chassis/idem"
	"github.com/dayof/dayof/internal/chassis/jobs"
	"github.com/dayof/dayof/internal/chassis/page"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/ledgersvc/ledgerdb"
)

// day is a whole day in UTC.
const day = 24 * time.Hour

// registerReconciliation names the jobs that compare the books. Each is safe to run twice.
func (s *Service) registerReconciliation() {
	jobs.Register(s.jobs, jobs.Policy{MaxAttempts: reconcileAttempts, Timeout: reconcileTimeout, Queue: "reconcile"}, s.reconcile)
	jobs.Register(s.jobs, jobs.Policy{MaxAttempts: 12, Timeout: 2 * mailTimeout, Queue: "reconcile"}, s.sendReport)
	if !s.canReconcile() {
		return
	}
	if every := s.config.Reconcile.Interval; every > 0 {
		s.jobs.Periodic("reconcile_continuously", every, s.reconcileContinuously)
	}
	s.jobs.Periodic("reconcile_daily", day, s.reconcileDaily)
}

func (s *Service) canReconcile() bool { return s.stripe != nil && s.orders != nil }

// reconcileContinuously begins a run over what happened since the last one and has settled. Twice: the second run finds
// the first under way, or nothing left.
func (s *Service) reconcileContinuously(ctx context.Context) error {
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		until := s.clock.Now().Add(-s.config.Reconcile.Settle)
		from := until.Add(-s.config.Reconcile.Interval)
		progress, err := s.q.Progress(ctx, tx)
		switch {
		case err == nil:
			from = progress.UntilTime
		case !errors.Is(err, pgx.ErrNoRows):
			return fmt.Errorf("read progress: %w", err)
		}
		unfinished, err := s.q.UnfinishedRun(ctx, tx, int16(ledgerv1.RunKind_RUN_KIND_CONTINUOUS))
		if err != nil {
			return fmt.Errorf("look for unfinished run: %w", err)
		}
		if unfinished || !from.Before(until) {
			return nil
		}
		_, err = s.beginRun(ctx, tx, ledgerv1.RunKind_RUN_KIND_CONTINUOUS, from, until, s.clock.Now())
		return err
	})
}

// reconcileDaily begins a run over the day before, once its last minutes have settled.
func (s *Service) reconcileDaily(ctx context.Context) error {
	today := s.clock.Now().Truncate(day)
	if settled := today.Add(s.config.Reconcile.Settle); s.clock.Now().Before(settled) {
		return jobs.Snooze(settled.Sub(s.clock.Now()))
	}
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		_, err := s.beginRun(ctx, tx, ledgerv1.RunKind_RUN_KIND_DAILY, today.Add(-day), today, s.clock.Now())
		return err
	})
}

// beginRun writes a run and its job in the caller's transaction.
func (s *Service) beginRun(ctx context.Context, tx pgx.Tx, kind ledgerv1.RunKind, from, until, now time.Time) (string, error) {
	id := newID()
	err := s.q.InsertRun(ctx, tx, ledgerdb.InsertRunParams{ID: id, Kind: int16(kind), FromTime: from, UntilTime: until, CreateTime: now})
	if err != nil {
		return "", fmt.Errorf("insert run: %w", err)
	}
	return id, s.jobs.InsertTx(ctx, tx, reconcileArgs{RunID: id})
}

// StartReconciliation implements ReconciliationService.
func (s *Service) StartReconciliation(ctx context.Context, req *ledgerv1.StartReconciliationRequest) (*ledgerv1.StartReconciliationResponse, error) {
	now := s.clock.Now()
	from, err := instant("from_time", req.GetFromTime())
	if err != nil {
		return nil, err
	}
	until, err := instant("until_time", req.GetUntilTime())
	if err != nil {
		return nil, err
	}
	if !from.Before(until) {
		return nil, problem.InvalidField("until_time", "must be later than from_time")
	}
	if !s.canReconcile() {
		return nil, problem.New(connect.CodeFailedPrecondition, "RECONCILIATION_NOT_CONFIGURED",
			"ledgersvc was not told of Stripe or checkoutsvc; set DAYOF_STRIPE_KEY and DAYOF_CHECKOUT_URL")
	}
	fingerprint := idem.Fingerprint(fingerprintVersion, from, until)
	return idem.Do(ctx, s.pool, now, fingerprint, func(ctx context.Context, tx pgx.Tx) (*ledgerv1.StartReconciliationResponse, error) {
		id, err := s.beginRun(ctx, tx, ledgerv1.RunKind_RUN_KIND_ON_DEMAND, from, until, now)
		if err != nil {
			return nil, err
		}
		run, err := s.q.GetRun(ctx, tx, id)
		if err != nil {
			return nil, fmt.Errorf("get run: %w", err)
		}
		return &ledgerv1.StartReconciliationResponse{Run: runToProto(run)}, nil
	})
}

// GetReconciliationRun implements ReconciliationService.
func (s *Service) GetReconciliationRun(ctx context.Context, req *ledgerv1.GetReconciliationRunRequest) (*ledgerv1.GetReconciliationRunResponse, error) {
	run, err := s.q.GetRun(ctx, s.pool, req.GetRunId())
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, problem.New(connect.CodeNotFound, "RUN_NOT_FOUND", "no run has this id")
	}
	if err != nil {
		return nil, fmt.Errorf("get run: %w", err)
	}
	return &ledgerv1.GetReconciliationRunResponse{Run: runToProto(run)}, nil
}

// runPageDefault is the size of a page of runs when the request does not say.
const runPageDefault = 50

// ListReconciliationRuns implements ReconciliationService.
func (s *Service) ListReconciliationRuns(ctx context.Context, req *ledgerv1.ListReconciliationRunsRequest) (*ledgerv1.ListReconciliationRunsResponse, error) {
	list := fmt.Sprintf("runs %d", req.GetKind())
	before, err := page.Parse(req.GetPageToken(), list, afterAll)
	if err != nil {
		return nil, err
	}
	size := req.GetPageSize()
	if size == 0 {
		size = runPageDefault
	}
	rows, err := s.q.RunsBefore(ctx, s.pool, before.Time, before.ID, int16(req.GetKind()), size+1)
	if err != nil {
		return nil, fmt.Errorf("list runs: %w", err)
	}
	res := &ledgerv1.ListReconciliationRunsResponse{}
	if len(rows) > int(size) {
		rows = rows[:size]
		res.NextPageToken = page.Token(list, timePlace[string]{Time: rows[size-1].CreateTime, ID: rows[size-1].ID})
	}
	for _, row := range rows {
		res.Runs = append(res.Runs, runToProto(row))
	}
	return res, nil
}

func runToProto(row ledgerdb.ReconcileRun) *ledgerv1.Run {
	run := &ledgerv1.Run{
		Id: row.ID, Kind: ledgerv1.RunKind(row.Kind), State: ledgerv1.RunState(row.State), FromTime: timestamppb.New(row.FromTime),
		UntilTime: timestamppb.New(row.UntilTime), CreateTime: timestamppb.New(row.CreateTime), OrderLineCount: row.OrderLines,
		LedgerTransactionCount: row.LedgerTransactions, StripeTransactionCount: row.StripeTransactions, DifferenceCount: row.Differences,
		OpenedCount: row.Opened, ClosedCount: row.Closed, InFlightCount: row.InFlight, Truncated: row.Truncated, Error: row.Error,
	}
	if row.EndTime != nil {
		run.EndTime = timestamppb.New(*row.EndTime)
	}
	return run
}

// enumWord is the snake_case word of an enum's value.
func enumWord(value, prefix string) string { return strings.ToLower(strings.TrimPrefix(value, prefix)) }

// idAlphabet has no - and no _: they look like flags on a command line.
const idAlphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// newID returns a NanoID of 21 letters and digits, 125 bits of chance.
func newID() string { return gonanoid.MustGenerate(idAlphabet, 21) }
