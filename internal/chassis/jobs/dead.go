package jobs

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/dayof/dayof/internal/chassis/deadletter"
)

// deadBatch is how many dead jobs one transaction moves.
const deadBatch = 100

// moveToDeadLetters moves jobs that ended without success from River's table,
// which forgets them, to the dead letters, and raises their alerts: each of them
// once, whoever ended it and on whichever replica. It works from the rows because
// River notifies no handler of jobs that its rescuer discards.
func (r *Registry) moveToDeadLetters(ctx context.Context) error {
	for {
		moved := 0
		err := pgx.BeginFunc(ctx, r.pool, func(tx pgx.Tx) error {
			dead, err := takeDead(ctx, tx, deadBatch)
			if moved = len(dead); err != nil || moved == 0 {
				return err
			}
			return deadletter.Insert(ctx, tx, dead, r.config.DeadLetterURL)
		})
		if err != nil {
			return fmt.Errorf("move dead jobs to dead letters: %w", err)
		}
		if moved < deadBatch {
			return nil
		}
	}
}

// Retry puts a dead letter's job back to work, as a new job with the same
// arguments, queue and number of attempts, and resolves its alert; see
// deadletter.Retry. The kind need not be registered here: a tool may put back
// what a service works on.
func (r *Registry) Retry(ctx context.Context, letterID int64) error {
	// A client without workers inserts any kind.
	client, err := river.NewClient(newDriver(r.pool, r.config.PollOnly), &river.Config{Logger: r.config.Logger})
	if err != nil {
		return fmt.Errorf("dead letter %d: %w", letterID, err)
	}
	return deadletter.Retry(ctx, r.pool, letterID, func(ctx context.Context, tx pgx.Tx, letter deadletter.Letter) (int64, error) {
		opts := &river.InsertOpts{Queue: letter.Queue, MaxAttempts: letter.MaxAttempts}
		inserted, err := client.InsertTx(ctx, tx, rawArgs{kind: letter.Kind, json: letter.Args}, opts)
		if err != nil {
			return 0, err
		}
		return inserted.Job.ID, nil
	})
}
