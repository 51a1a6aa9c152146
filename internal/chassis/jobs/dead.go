package jobs

import (
	"context"
	"errors"
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
//
// A batch that does not go is moved job by job, so that one that the dead letters
// do not take stops no other; it stays where it is, and the error names it.
func (r *Registry) moveToDeadLetters(ctx context.Context) error {
	var refused []int64
	var errs []error
	batch := deadBatch
	for ctx.Err() == nil {
		moved, err := r.moveDead(ctx, batch, refused)
		switch {
		case err == nil && len(moved) < batch:
			return errors.Join(errs...)
		case err == nil:
		case len(moved) == 0 || len(refused) == deadBatch: // not for one job's sake
			return errors.Join(append(errs, fmt.Errorf("move dead jobs to dead letters: %w", err))...)
		case batch > 1:
			batch = 1
		default:
			refused = append(refused, moved[0])
			errs = append(errs, fmt.Errorf("move dead job %d to dead letters: %w", moved[0], err))
		}
	}
	return errors.Join(append(errs, ctx.Err())...)
}

// moveDead moves at most batch jobs in one transaction, but for those that are left out, and returns which it took, also
// when it could not move them.
func (r *Registry) moveDead(ctx context.Context, batch int, without []int64) (taken []int64, err error) {
	err = pgx.BeginFunc(ctx, r.pool, func(tx pgx.Tx) error {
		dead, err := takeDead(ctx, tx, batch, without)
		if err != nil || len(dead) == 0 {
			return err
		}
		for _, letter := range dead {
			taken = append(taken, letter.JobID)
		}
		return deadletter.Insert(ctx, tx, dead, r.config.DeadLetterURL)
	})
	return taken, err
}

// Retry puts a dead letter's job back to work, as a new job with the same
// arguments, queue and number of attempts, and resolves its alert; see
// deadletter.Retry. The kind need not be registered here: a tool may put back
// what a service works on.
func (r *Registry) Retry(ctx context.Context, letterID int64) error {
	// A client without workers inserts any kind.
	client, err := river.NewClient(newDriver(r.pool, r.config.PollOnly, r.polls), &river.Config{Logger: r.config.Logger})
	if err != nil {
		return fmt.Errorf("dead letter %d: %w", letterID, err)
	}
	return deadletter.Retry(ctx, r.pool, letterID, func(ctx context.Context, tx pgx.Tx, letter deadletter.Letter) (int64, error) {
		opts := &river.InsertOpts{Queue: letter.Queue, MaxAttempts: letter.MaxAttempts}
		inserted, err := client.InsertTx(ctx, tx, rawArgs{kind: letter.Kind, json: letter.Args}, opts)
		if err != nil {
			return 0, err
		}
		r.polls.wake(letter.Queue)
		return inserted.Job.ID, nil
	})
}
