package jobs

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/internal/chassis/alert"
	"github.com/dayof/dayof/internal/chassis/deadletter"
)

// All SQL on River's own table is in this file, because the table belongs to
// River and may change with its version. TestRiverTable runs every statement
// against the migrations and the rows of the version that go.mod names.

// unfinishedStates are the states of a job that waits, runs or will be tried
// again.
const unfinishedStates = `('available', 'running', 'retryable', 'scheduled')`

// Open is a job that has not ended.
type Open struct {
	Kind  string
	Args  json.RawMessage
	DueIn time.Duration // by the database's clock; negative when it is overdue
}

// openColumns are in the order of Open's fields.
const openColumns = `kind, args, scheduled_at - now()`

// Unfinished returns the jobs that wait, run or will be tried again and are due
// within the given time. Periodic jobs are left out, because there is always a
// next one. A database without jobs has none.
func Unfinished(ctx context.Context, db alert.Querier, within time.Duration) ([]Open, error) {
	return list(ctx, db, `
		select `+openColumns+` from river_job
		where state in `+unfinishedStates+` and scheduled_at <= now() + $1::interval and not starts_with(kind, $2)
		order by id`, within, deadletter.PeriodicPrefix)
}

// ListOpen returns all jobs that have not ended, periodic ones too. A database
// without jobs has none.
func ListOpen(ctx context.Context, db alert.Querier) ([]Open, error) {
	return list(ctx, db, `
		select `+openColumns+` from river_job where state not in ('completed', 'cancelled', 'discarded') order by id`)
}

func list(ctx context.Context, db alert.Querier, sql string, args ...any) ([]Open, error) {
	if installed, err := hasRiver(ctx, db); err != nil || !installed {
		return nil, err
	}
	rows, err := db.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("list jobs: %w", err)
	}
	open, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Open])
	if err != nil {
		return nil, fmt.Errorf("list jobs: %w", err)
	}
	return open, nil
}

// hasRiver says whether Migrate has run in a database.
func hasRiver(ctx context.Context, db alert.Querier) (bool, error) {
	rows, err := db.Query(ctx, `select to_regclass('river_job') is not null`)
	if err != nil {
		return false, fmt.Errorf("look for the job table: %w", err)
	}
	installed, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[bool])
	if err != nil {
		return false, fmt.Errorf("look for the job table: %w", err)
	}
	return installed, nil
}

// hasUnfinished says whether a job of a kind has not ended.
func hasUnfinished(ctx context.Context, tx pgx.Tx, kind string) (bool, error) {
	var unfinished bool
	err := tx.QueryRow(ctx, `select exists (select from river_job where kind = $1 and state in `+unfinishedStates+`)`, kind).Scan(&unfinished)
	if err != nil {
		return false, fmt.Errorf("look for an unfinished job: %w", err)
	}
	return unfinished, nil
}

// queuesWithWork are those of the queues $1 that have a job to run now.
const queuesWithWork = `
	select queue from unnest($1::text[]) as queue
	where exists (select from river_job j where j.state = 'available' and j.queue = queue and j.scheduled_at <= now())`

// deadJobs ended without success.
const deadJobs = `from river_job where state in ('cancelled', 'discarded') and finalized_at is not null`

// orphanedJobs are running in processes without a heartbeat for longer than $1. The last attempt is left to River, whose rescuer knows
// how jobs end.
const orphanedJobs = `
	from river_job j
	left join job_runners r on r.id = j.attempted_by[array_upper(j.attempted_by, 1)]
	where j.state = 'running' and j.attempt < j.max_attempts
	  and (r.id is null or r.heartbeat_time < now() - $1::interval)`

// rescueJobs makes orphaned jobs available again and returns their queues.
func rescueJobs(ctx context.Context, tx pgx.Tx, timeout time.Duration) ([]string, error) {
	rows, err := tx.Query(ctx, `
		update river_job set state = 'available', scheduled_at = now(), errors = array_append(errors,
			jsonb_build_object('at', now(), 'attempt', attempt, 'error', 'the process that ran the job died', 'trace', ''))
		where id in (select j.id `+orphanedJobs+` for update of j skip locked)
		returning queue`, timeout)
	if err != nil {
		return nil, fmt.Errorf("rescue the jobs of dead processes: %w", err)
	}
	queues, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("rescue the jobs of dead processes: %w", err)
	}
	return queues, nil
}

// takeDead deletes at most limit jobs that ended without success, but for those
// that are left out, and returns them as dead letters to be.
func takeDead(ctx context.Context, tx pgx.Tx, limit int, without []int64) ([]deadletter.Letter, error) {
	rows, err := tx.Query(ctx, `
		delete from river_job where id in (
			select id `+deadJobs+`
			  and id <> all (coalesce($4::bigint[], '{}'))
			limit $1 for update skip locked)
		returning id, kind, queue, args, case state when 'discarded' then $2 else $3 end,
			-- River's own prefix says what the reason says
			regexp_replace(coalesce(errors[array_upper(errors, 1)] ->> 'error', ''), '^JobCancelError: ', ''),
			coalesce(to_jsonb(errors), '[]'), attempt, max_attempts, created_at, finalized_at`,
		limit, deadletter.ReasonExhausted, deadletter.ReasonCancelled, without)
	if err != nil {
		return nil, fmt.Errorf("take dead jobs: %w", err)
	}
	letters, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (l deadletter.Letter, err error) {
		err = row.Scan(&l.JobID, &l.Kind, &l.Queue, &l.Args, &l.Reason, &l.Error, &l.Errors, &l.Attempts, &l.MaxAttempts, &l.CreatedTime, &l.DeadTime)
		return l, err
	})
	if err != nil {
		return nil, fmt.Errorf("take dead jobs: %w", err)
	}
	return letters, nil
}

// riverIndexes are those of the table that are worth reindexing by night.
func riverIndexes() []string {
	return []string{
		"river_job_kind", "river_job_pkey", "river_job_prioritized_fetching_index",
		"river_job_state_and_finalized_at_index", "river_job_unique_idx",
	}
}
