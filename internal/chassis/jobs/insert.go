package jobs

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
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
	for _, p := range params {
		r.polls.wake(cmp.Or(p.InsertOpts.Queue, queueDefault))
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
	opts.MaxAttempts, opts.Queue = policy.AttemptsMax(), policy.Queue
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
