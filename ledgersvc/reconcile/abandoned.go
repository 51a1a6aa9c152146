package reconcile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/internal/chassis/jobs"
)

// alertRunFailed is the kind of the alert that runs of a kind fail; its subject is that kind, and the next run of it that is
// done resolves it.
const alertRunFailed = "reconcile_run_failed"

// abandonedInterval is how often runs that nobody works on are looked for where no interval is set.
const abandonedInterval = time.Minute

// errAbandoned is why a run failed whose job has ended without it.
var errAbandoned = errors.New("its job was cancelled or discarded before the run ended; start another one")

// endAbandonedRuns fails the runs whose job has ended without them, such as one that an operator cancelled: as long as a run
// counts as running, no other of its kind begins.
//
// Idempotent: a run that has ended stays as it is.
func (s *Service) endAbandonedRuns(ctx context.Context) error {
	running, err := s.q.RunningRuns(ctx, s.pool)
	if err != nil {
		return fmt.Errorf("list running runs: %w", err)
	}
	if len(running) == 0 {
		return nil
	}
	open, err := jobs.ListOpen(ctx, s.pool) // read after the runs: a run's job is inserted with it, and ends after it
	if err != nil {
		return err
	}
	worked := map[string]bool{}
	for _, job := range open {
		var args runArgs
		if job.Kind == args.Kind() && json.Unmarshal(job.Args, &args) == nil {
			worked[args.RunID] = true
		}
	}
	var errs []error
	for _, run := range running {
		if !worked[run.ID] {
			errs = append(errs, s.newReconciliation(run).fail(ctx, errAbandoned))
		}
	}
	return errors.Join(errs...)
}

// fail ends the run as failed.
func (r *reconciliation) fail(ctx context.Context, err error) error {
	r.result.State, r.result.Error = int16(ledgerv1.RunState_RUN_STATE_FAILED), err.Error()
	return r.finish(ctx)
}
