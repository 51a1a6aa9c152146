package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/internal/chassis/alert"
)

const (
	// heartbeatEvery is how often a process says that it is alive and looks for what nobody told it of.
	heartbeatEvery = 3 * time.Second
	// heartbeatTimeout is how long a process may go without a heartbeat before it
	// counts as dead. A frozen one that wakes later runs its jobs beside another
	// process, which every job must bear.
	heartbeatTimeout = 8 * time.Second
)

// recordHeartbeat writes a heartbeat and returns whether the one before it was in time. After an outage of the database every process
// looks dead, so one whose own heartbeat is late calls nobody dead.
const recordHeartbeat = `
	with before as (select heartbeat_time from job_runners where id = $1)
	insert into job_runners (id, heartbeat_time) values ($1, now())
	on conflict (id) do update set heartbeat_time = now()
	returning coalesce((select heartbeat_time > now() - $2::interval from before), false)`

// found is what a heartbeat finds to do.
type found struct {
	inTime bool     // the heartbeat before it was
	queues []string // that have jobs to run
	dead   bool     // jobs ended without success
	orphan bool     // jobs run, or heartbeats are kept, of processes that died
	alerts bool     // to be delivered
}

// heartbeat records that this process is alive, and has done what it finds: all that an idle process asks of its database here is one
// statement after the other in one flush and one transaction.
func (r *Registry) heartbeat(ctx context.Context) error {
	f, err := r.look(ctx)
	if err != nil {
		return errors.Join(err, r.recordHeartbeat(ctx)) // whatever could not be read: this process is alive
	}
	for _, queue := range f.queues {
		r.polls.wake(queue)
	}
	if f.dead {
		r.wakeMove()
	}
	if f.alerts {
		r.wakeAlerts()
	}
	if f.orphan && f.inTime {
		return r.adopt(ctx)
	}
	return nil
}

// look records a heartbeat and reads what there is to do. Each question has an index to answer it.
func (r *Registry) look(ctx context.Context) (f found, err error) {
	batch := &pgx.Batch{}
	batch.Queue(recordHeartbeat, r.runner, heartbeatTimeout/2).QueryRow(func(row pgx.Row) error { return row.Scan(&f.inTime) })
	batch.Queue(queuesWithWork, r.queueNames()).Query(func(rows pgx.Rows) (err error) {
		f.queues, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	batch.Queue(`select exists (select `+deadJobs+`), exists (select `+orphanedJobs+`)
			or exists (select from job_runners where heartbeat_time < now() - $2::interval)`, heartbeatTimeout, runnerRetention).
		QueryRow(func(row pgx.Row) error { return row.Scan(&f.dead, &f.orphan) })
	if r.wakeAlerts != nil {
		alert.QueueDue(batch, func(due bool) { f.alerts = due })
	}
	if err := r.pool.SendBatch(ctx, batch).Close(); err != nil {
		return f, fmt.Errorf("look for jobs and alerts: %w", err)
	}
	return f, nil
}

func (r *Registry) recordHeartbeat(ctx context.Context) error {
	if _, err := r.pool.Exec(ctx, recordHeartbeat, r.runner, heartbeatTimeout/2); err != nil {
		return fmt.Errorf("record a heartbeat: %w", err)
	}
	return nil
}

// runnerRetention is for how long the dead are remembered: while they may still have jobs.
const runnerRetention = 24 * time.Hour

// adopt makes the jobs of processes that died available. River does so only once a job's own timeout has passed, by a leader that has
// to be elected first, which can take minutes.
func (r *Registry) adopt(ctx context.Context) error {
	return pgx.BeginFunc(ctx, r.pool, func(tx pgx.Tx) error {
		queues, err := rescueJobs(ctx, tx, heartbeatTimeout)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `delete from job_runners where heartbeat_time < now() - $1::interval`, runnerRetention); err != nil {
			return fmt.Errorf("forget dead processes: %w", err)
		}
		slices.Sort(queues)
		for _, queue := range slices.Compact(queues) {
			r.polls.wake(queue)
		}
		return nil
	})
}
