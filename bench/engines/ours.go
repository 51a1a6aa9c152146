package main

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/jobs"
)

// ours has the shape of checkoutsvc: the order's row is its own scheduler. One commit writes the order with a lease, the calls between the
// commits leave nothing behind since they are idempotent by the order's id, and one commit completes the order. A sweep makes another
// attempt at orders whose lease has run out, and the number of the attempt fences the one before. Follow-up jobs are the product's own
// registry (River, polling), inserted in the last commit.
//
// checkoutsvc differs in that the buyer pays between StartCheckout and CompleteCheckout, so it has one more commit for the payment
// intent, and one that takes the lease.
type ours struct {
	shop  *shop
	jobs  *jobs.Registry // nil without follow-up jobs
	end   context.CancelFunc
	sweep sync.WaitGroup
}

// sweepEvery is how often checkoutsvc searches for due orders.
const sweepEvery = 2 * time.Second

func startOurs(ctx context.Context, s *shop, followUp bool) (engine, error) {
	e := &ours{shop: s}
	if followUp {
		if err := jobs.Migrate(ctx, s.pool); err != nil {
			return nil, err
		}
		e.jobs = jobs.New(s.pool, jobs.Config{Logger: slog.New(slog.DiscardHandler), Clock: clock.System{}, PollOnly: true})
		policy := jobs.Policy{MaxAttempts: 24, Timeout: callTimeout}
		jobs.Register(e.jobs, policy, func(_ context.Context, j *river.Job[mailArgs]) error {
			s.followUp.count(mailKind, j.Args.OrderID)
			return nil
		})
		jobs.Register(e.jobs, policy, func(_ context.Context, j *river.Job[feeArgs]) error {
			s.followUp.count(feeKind, j.Args.OrderID)
			return nil
		})
		if err := e.jobs.Start(ctx); err != nil {
			return nil, err
		}
	}
	sweepCtx, stop := context.WithCancel(ctx)
	e.end = stop
	e.sweep.Go(func() { e.sweepDue(sweepCtx) })
	return e, nil
}

func (e *ours) attempt(ctx context.Context, p purchase) error {
	err := pgx.BeginFunc(ctx, e.shop.pool, func(tx pgx.Tx) error { return e.shop.write(ctx, tx, p) })
	if err != nil && !known(err) {
		return err
	}
	return e.rest(ctx, p, 1)
}

// rest makes the attempt whose lease the caller has.
func (e *ours) rest(ctx context.Context, p purchase, attempt int) error {
	intent, entry, err := e.shop.call(ctx, p)
	if err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, e.shop.pool, func(tx pgx.Tx) error {
		if err := e.shop.finish(ctx, tx, p, attempt, intent, entry); err != nil || e.jobs == nil {
			return err
		}
		return e.jobs.InsertTx(ctx, tx, mailArgs{OrderID: p.Key}, feeArgs{OrderID: p.Key})
	})
}

// sweepDue attempts orders again whose lease has run out.
func (e *ours) sweepDue(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		rows, err := e.shop.pool.Query(ctx, `UPDATE orders SET attempt = attempt + 1, next_attempt_time = now() + interval '8 s'
			WHERE id IN (SELECT id FROM orders WHERE state = 'pending' AND next_attempt_time <= now()
				ORDER BY next_attempt_time LIMIT 64 FOR UPDATE SKIP LOCKED)
			RETURNING id, variant, quantity, email, attempt`)
		if err != nil {
			continue // the next tick asks again
		}
		var p purchase
		var attempt int
		due := map[purchase]int{}
		_, err = pgx.ForEachRow(rows, []any{&p.Key, &p.Variant, &p.Quantity, &p.Email, &attempt}, func() error {
			due[p] = attempt
			return nil
		})
		for p, attempt := range due {
			err = errors.Join(err, e.rest(ctx, p, attempt))
		}
		if err != nil && ctx.Err() == nil {
			slog.WarnContext(ctx, "sweep failed", slog.Any("error", err))
		}
	}
}

func (e *ours) stop(ctx context.Context) error {
	e.end()
	e.sweep.Wait()
	if e.jobs == nil {
		return nil
	}
	return e.jobs.Stop(ctx)
}
