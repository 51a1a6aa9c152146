package jobs

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/dayof/dayof/internal/chassis/deadletter"
)

const (
	// periodicAttempts are tried within one tick of work that is due hourly or
	// less often; the next tick comes anyway.
	periodicAttempts = 5
	// periodicTimeout bounds one attempt.
	periodicTimeout = 5 * time.Minute
	// tickPoll is how often the clock is read.
	tickPoll = time.Second
	// ticksKept per job are enough to see that it ran.
	ticksKept = 100
)

// Periodic runs f once per tick over all replicas. Ticks are the multiples of
// every since 1970 in UTC: 24 hours is every midnight. The first replica that
// notices a tick inserts its row and a job in one transaction, so nothing
// depends on a leader and a crash loses nothing.
//
// After a time in which nobody ran, the job runs once for the last tick, not
// once for each that was missed; so it does for a new name. A tick that comes
// while the job of an earlier one is unfinished is passed over. A failed run is
// tried again, and ends as a dead letter with one open alert per name.
func (r *Registry) Periodic(name string, every time.Duration, f func(ctx context.Context) error) {
	if every < tickPoll {
		panic(fmt.Sprintf("jobs: periodic %s: ticks closer than %s are for Sweep", name, tickPoll))
	}
	policy := Policy{MaxAttempts: periodicAttempts, Timeout: periodicTimeout}
	registerArgs(r, periodicArgs{name: name}, policy, func(ctx context.Context, _ *river.Job[periodicArgs]) error {
		return f(ctx)
	})
	var enqueued time.Time // the last tick that somebody has taken care of
	r.Sweep("tick of "+name, tickPoll, func(ctx context.Context) error {
		tick := r.config.Clock.Now().Truncate(every)
		if !tick.After(enqueued) {
			return nil
		}
		if err := r.tick(ctx, name, tick, every); err != nil {
			return err
		}
		enqueued = tick
		return nil
	})
}

// periodicArgs are the arguments of a periodic job. The name is in its kind.
type periodicArgs struct {
	name string
	Tick time.Time `json:"tick"`
}

// Kind implements river.JobArgs.
func (a periodicArgs) Kind() string { return deadletter.PeriodicPrefix + a.name }

// tick enqueues the job of one tick unless another replica did.
func (r *Registry) tick(ctx context.Context, name string, tick time.Time, every time.Duration) error {
	args := periodicArgs{name: name, Tick: tick}
	return pgx.BeginFunc(ctx, r.pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `insert into job_ticks (name, tick) values ($1, $2) on conflict do nothing`, name, tick)
		if err != nil {
			return fmt.Errorf("insert tick: %w", err)
		}
		if tag.RowsAffected() == 0 {
			return nil
		}
		_, err = tx.Exec(ctx, `delete from job_ticks where name = $1 and tick < $2`, name, tick.Add(-ticksKept*every))
		if err != nil {
			return fmt.Errorf("delete old ticks: %w", err)
		}
		unfinished, err := hasUnfinished(ctx, tx, args.Kind())
		if err != nil {
			return err
		}
		if unfinished {
			return nil
		}
		return r.InsertTx(ctx, tx, args)
	})
}
