package jobs

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// heartbeatEvery is how often a process says that it is alive.
	heartbeatEvery = 2 * time.Second
	// heartbeatTimeout is how long a process may go without a heartbeat before it
	// counts as dead. A frozen one that wakes later runs its jobs beside another
	// process, which every job must bear.
	heartbeatTimeout = 8 * time.Second
)

// heartbeat records that this process is alive and rescues the jobs of processes
// that died. River does so only once a job's own timeout has passed, by a leader
// that has to be elected first, which can take minutes.
func (r *Registry) heartbeat(ctx context.Context) error {
	return pgx.BeginFunc(ctx, r.pool, func(tx pgx.Tx) error {
		// After an outage of the database every process looks dead, so one whose own
		// heartbeat is late only records it.
		var wasAlive bool
		if err := tx.QueryRow(ctx, `
			with before as (select heartbeat_time from job_runners where id = $1)
			insert into job_runners (id, heartbeat_time) values ($1, now())
			on conflict (id) do update set heartbeat_time = now()
			returning coalesce((select heartbeat_time > now() - $2::interval from before), false)`, r.runner, heartbeatTimeout/2).Scan(&wasAlive); err != nil {
			return fmt.Errorf("record a heartbeat: %w", err)
		}
		if !wasAlive {
			return nil
		}
		if err := rescueJobs(ctx, tx, heartbeatTimeout); err != nil {
			return err
		}
		// The dead are remembered while they may still have jobs.
		if _, err := tx.Exec(ctx, `delete from job_runners where heartbeat_time < now() - interval '1 day'`); err != nil {
			return fmt.Errorf("forget dead processes: %w", err)
		}
		return nil
	})
}
