package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/internal/chassis/id"
	"github.com/dayof/dayof/internal/chassis/jobs"
	"github.com/dayof/dayof/ledgersvc/ledgerdb"
)

// day is a whole day in UTC.
const day = 24 * time.Hour

// registerJobs registers the jobs that compare the books.
func (s *Service) registerJobs() {
	jobs.Register(s.jobs, jobs.Policy{MaxAttempts: reconcileAttempts, Timeout: reconcileTimeout, Queue: "reconcile"}, s.reconcile)
	jobs.Register(s.jobs, jobs.Policy{MaxAttempts: 12, Timeout: reportTimeout, Queue: "reconcile"}, s.sendReport)
	if !s.canReconcile() {
		return
	}
	s.jobs.Periodic("end_abandoned_reconciliations", cmp.Or(s.config.Interval, abandonedInterval), s.endAbandonedRuns)
	if every := s.config.Interval; every > 0 {
		s.jobs.Periodic("reconcile_continuously", every, s.reconcileContinuously)
	}
	s.jobs.Periodic("reconcile_daily", day, s.reconcileDaily)
}

func (s *Service) canReconcile() bool { return s.stripe != nil && s.orders != nil }

// reconcileContinuously begins a run over what happened since the last one and has settled.
//
// Idempotent: the second run finds the first in progress, or nothing left.
func (s *Service) reconcileContinuously(ctx context.Context) error {
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		until := s.clock.Now().Add(-s.config.Settle)
		from := until.Add(-s.config.Interval)
		progress, err := s.q.Progress(ctx, tx)
		switch {
		case err == nil:
			from = progress.UntilTime
		case !errors.Is(err, pgx.ErrNoRows):
			return fmt.Errorf("read progress: %w", err)
		}
		unfinished, err := s.q.UnfinishedRun(ctx, tx, int16(ledgerv1.RunKind_RUN_KIND_CONTINUOUS))
		if err != nil {
			return fmt.Errorf("find unfinished run: %w", err)
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
	if settled := today.Add(s.config.Settle); s.clock.Now().Before(settled) {
		return jobs.Snooze(settled.Sub(s.clock.Now()))
	}
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		_, err := s.beginRun(ctx, tx, ledgerv1.RunKind_RUN_KIND_DAILY, today.Add(-day), today, s.clock.Now())
		return err
	})
}

// beginRun writes a run and its job in the caller's transaction.
func (s *Service) beginRun(ctx context.Context, tx pgx.Tx, kind ledgerv1.RunKind, from, until, now time.Time) (string, error) {
	runID := id.New()
	err := s.q.InsertRun(ctx, tx, ledgerdb.InsertRunParams{ID: runID, Kind: int16(kind), FromTime: from, UntilTime: until, CreateTime: now})
	if err != nil {
		return "", fmt.Errorf("insert run: %w", err)
	}
	return runID, s.jobs.InsertTx(ctx, tx, runArgs{RunID: runID})
}
