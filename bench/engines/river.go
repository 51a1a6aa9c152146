package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

// riverEngine is River alone: the job of an attempt is inserted with the order, a worker does the rest and completes the job in the
// transaction that completes the order, and tells the caller over a channel of this process. River's notifications are on and its
// fetches may follow each other as closely as it allows, since a caller waits; River leaves out a notification that comes within the
// cooldown of the one before, so a poll every 10 ms finds the job then.
type riverEngine struct {
	shop     *shop
	client   *river.Client[pgx.Tx]
	followUp bool
	waiting  sync.Map // chan error of the caller, by order
}

// attemptArgs are the job of an attempt. River's usual advice is ids only; the purchase saves it a query.
type attemptArgs struct {
	Purchase purchase `json:"purchase"`
}

// Kind is River's name of the job.
func (attemptArgs) Kind() string { return "attempt" }

// followUpQueue keeps follow-up jobs out of the way of attempts.
const followUpQueue = "follow_up"

func startRiver(ctx context.Context, s *shop, followUp bool) (engine, error) {
	logger := slog.New(slog.DiscardHandler)
	migrator, err := rivermigrate.New(riverpgxv5.New(s.pool), &rivermigrate.Config{Logger: logger})
	if err != nil {
		return nil, err
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return nil, err
	}
	e := &riverEngine{shop: s, followUp: followUp}
	workers := river.NewWorkers()
	river.AddWorker(workers, river.WorkFunc(e.work))
	river.AddWorker(workers, river.WorkFunc(func(_ context.Context, j *river.Job[mailArgs]) error {
		s.followUp.count(mailKind, j.Args.OrderID)
		return nil
	}))
	river.AddWorker(workers, river.WorkFunc(func(_ context.Context, j *river.Job[feeArgs]) error {
		s.followUp.count(feeKind, j.Args.OrderID)
		return nil
	}))
	queues := map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 64}}
	if followUp {
		queues[followUpQueue] = river.QueueConfig{MaxWorkers: 16, FetchCooldown: 10 * time.Millisecond, FetchPollInterval: 50 * time.Millisecond} // the product's
	}
	e.client, err = river.NewClient(riverpgxv5.New(s.pool), &river.Config{
		Workers: workers, Queues: queues, Logger: logger, FetchCooldown: river.FetchCooldownMin, FetchPollInterval: 10 * time.Millisecond,
	})
	if err != nil {
		return nil, err
	}
	return e, e.client.Start(context.WithoutCancel(ctx))
}

func (e *riverEngine) attempt(ctx context.Context, p purchase) error {
	done := make(chan error, 1)
	e.waiting.Store(p.Key, done)
	defer e.waiting.Delete(p.Key)
	if err := pgx.BeginFunc(ctx, e.shop.pool, func(tx pgx.Tx) error {
		if err := e.shop.write(ctx, tx, p); err != nil {
			return err
		}
		_, err := e.client.InsertTx(ctx, tx, attemptArgs{Purchase: p}, nil)
		return err
	}); err != nil {
		return err
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// work does the rest of an attempt.
func (e *riverEngine) work(ctx context.Context, job *river.Job[attemptArgs]) error {
	p := job.Args.Purchase
	err := e.rest(ctx, job)
	if errors.Is(err, errFenced) { // an attempt before this one was cut off after its commit
		if done, readErr := e.shop.completed(ctx, p.Key); readErr == nil && done {
			err = nil
		}
	}
	if done, ok := e.waiting.Load(p.Key); ok {
		channel, ok := done.(chan error)
		if !ok {
			return fmt.Errorf("a %T waits for order %s", done, p.Key)
		}
		select {
		case channel <- err:
		default: // it has been told
		}
	}
	return err
}

func (e *riverEngine) rest(ctx context.Context, job *river.Job[attemptArgs]) error {
	p := job.Args.Purchase
	intent, entry, err := e.shop.call(ctx, p)
	if err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, e.shop.pool, func(tx pgx.Tx) error {
		if err := e.shop.finish(ctx, tx, p, 1, intent, entry); err != nil {
			return err
		}
		if e.followUp {
			opts := &river.InsertOpts{Queue: followUpQueue}
			if _, err := e.client.InsertManyTx(ctx, tx, []river.InsertManyParams{
				{Args: mailArgs{OrderID: p.Key}, InsertOpts: opts}, {Args: feeArgs{OrderID: p.Key}, InsertOpts: opts},
			}); err != nil {
				return err
			}
		}
		_, err := river.JobCompleteTx[*riverpgxv5.Driver](ctx, tx, job)
		return err
	})
}

func (e *riverEngine) stop(ctx context.Context) error { return e.client.Stop(ctx) }
