package idem

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/pgdb"
)

// Scheduler runs work once per tick over all replicas: a *jobs.Registry.
type Scheduler interface {
	Periodic(name string, every time.Duration, f func(ctx context.Context) error)
}

// ScheduleExpiry deletes expired keys every hour.
func ScheduleExpiry(scheduler Scheduler, pool *pgxpool.Pool, clock clock.Clock) {
	scheduler.Periodic("delete_expired_idempotency_keys", time.Hour, func(ctx context.Context) error {
		_, err := DeleteExpired(ctx, pool, clock.Now())
		return err
	})
}

// DeleteExpired deletes keys older than Lifetime and returns how many. Idempotent, on two replicas at once too.
func DeleteExpired(ctx context.Context, pool *pgxpool.Pool, now time.Time) (int64, error) {
	return pgdb.Purge(ctx, pool, "idempotency_keys", "created_time < $1", now.Add(-Lifetime))
}
