package jobs

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// beatEvery is how often a process says that it lives.
	beatEvery = 2 * time.Second
	// silence is how long a process says nothing before it counts as dead. A
	// frozen one that wakes after it runs its jobs beside somebody else, which
	// every job must bear.
	silence = 8 * time.Second
)

// beat says that this process lives and takes up the jobs of processes that
// died. River does so only once a job's own timeout has passed, by a leader that
// has to be elected first, which can take minutes.
func (r *Registry) beat(ctx context.Context) error {
	return pgx.BeginFunc(ctx, r.pool, func(tx pgx.Tx) error {
		// After an outage of the database everybody looks dead, so a process that
		// was silent itself only says that it lives.
		var wasAlive bool
		if err := tx.QueryRow(ctx, `
			WITH before AS (SELECT seen_time FROM job_runners WHERE id = $1)
			INSERT INTO job_runners (id, seen_time) VALUES ($1, now())
			ON CONFLICT (id) DO UPDATE SET seen_time = now()
			RETURNING coalesce((SELECT seen_time > now() - $2::interval FROM before), false)`, r.runner, silence/2).Scan(&wasAlive); err != nil {
			return fmt.Errorf("say that the runner lives: %w", err)
		}
		if !wasAlive {
			return nil
		}
		// The last attempt is left to River, whose rescuer knows how jobs end.
		if _, err := tx.Exec(ctx, `
			UPDATE river_job SET state = 'available', scheduled_at = now(), errors = array_append(errors,
				jsonb_build_object('at', now(), 'attempt', attempt, 'error', 'the process that ran the job died', 'trace', ''))
			WHERE id IN (
				SELECT j.id FROM river_job j
				LEFT JOIN job_runners r ON r.id = j.attempted_by[array_upper(j.attempted_by, 1)]
				WHERE j.state = 'running' AND j.attempt < j.max_attempts
				  AND (r.id IS NULL OR r.seen_time < now() - $1::interval)
				FOR UPDATE OF j SKIP LOCKED)`, silence); err != nil {
			return fmt.Errorf("take up the jobs of dead runners: %w", err)
		}
		// The dead are remembered while they may still have jobs.
		if _, err := tx.Exec(ctx, `DELETE FROM job_runners WHERE seen_time < now() - interval '1 day'`); err != nil {
			return fmt.Errorf("forget dead runners: %w", err)
		}
		return nil
	})
}
