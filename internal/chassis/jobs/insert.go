package jobs

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
)

// InsertTx inserts jobs in the caller's transaction, in one round trip however
// many they are: they exist when it commits. No jobs is fine. A kind that is
// not registered is an error, and the transaction should be rolled back.
func (r *Registry) InsertTx(ctx context.Context, tx pgx.Tx, args ...river.JobArgs) error {
	if len(args) == 0 {
		return nil
	}
	client, err := r.river()
	if err != nil {
		return err
	}
	params := make([]river.InsertManyParams, len(args))
	for i, a := range args {
		params[i] = r.params(a)
	}
	if _, err := client.InsertManyTx(ctx, tx, params); err != nil {
		return fmt.Errorf("insert jobs: %w", err)
	}
	return nil
}

// Insert is InsertTx in a transaction of its own.
func (r *Registry) Insert(ctx context.Context, args ...river.JobArgs) error {
	return pgx.BeginFunc(ctx, r.pool, func(tx pgx.Tx) error { return r.InsertTx(ctx, tx, args...) })
}

func (r *Registry) params(args river.JobArgs) river.InsertManyParams {
	opts := new(river.InsertOpts)
	if s, ok := args.(scheduled); ok {
		args, opts.ScheduledAt = s.JobArgs, s.at
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	policy := r.policies[args.Kind()] // the zero policy of an unknown kind is refused by River
	opts.MaxAttempts, opts.Queue = policy.MaxAttempts, policy.Queue
	return river.InsertManyParams{Args: args, InsertOpts: opts}
}

// At makes InsertTx schedule the job for a time.
func At(at time.Time, args river.JobArgs) river.JobArgs { return scheduled{JobArgs: args, at: at} }

type scheduled struct {
	river.JobArgs

	at time.Time
}

// rawArgs are the arguments of a job as its row has them.
type rawArgs struct {
	kind string
	json json.RawMessage
}

// Kind implements river.JobArgs.
func (a rawArgs) Kind() string { return a.kind }

// MarshalJSON returns the arguments as they were.
func (a rawArgs) MarshalJSON() ([]byte, error) { return a.json, nil }

// Unfinished counts, by kind, the jobs that wait, run or will be tried again
// and are due within the given time. Periodic jobs are not counted, because
// there is always a next one.
func Unfinished(ctx context.Context, pool *pgxpool.Pool, within time.Duration) (map[string]int64, error) {
	rows, err := pool.Query(ctx, `
		SELECT kind, count(*) FROM river_job
		WHERE state IN ('available', 'running', 'retryable', 'scheduled')
		  AND scheduled_at <= now() + $1::interval AND NOT starts_with(kind, $2)
		GROUP BY kind`, within, periodicPrefix)
	if err != nil {
		return nil, fmt.Errorf("count unfinished jobs: %w", err)
	}
	counts := make(map[string]int64)
	var kind string
	var count int64
	_, err = pgx.ForEachRow(rows, []any{&kind, &count}, func() error {
		counts[kind] = count
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("count unfinished jobs: %w", err)
	}
	return counts, nil
}
