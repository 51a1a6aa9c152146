package idem

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/dayof/dayof/internal/chassis/clock"
)

// deleteBatch is how many rows one statement deletes, so that no lock is held and no WAL written for long at once.
const deleteBatch = 1000

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
	const deleteSQL = `DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY(
	SELECT ctid FROM idempotency_keys WHERE created_time < $1 LIMIT $2 FOR UPDATE SKIP LOCKED))`
	var total int64
	for {
		tag, err := pool.Exec(ctx, deleteSQL, now.Add(-Lifetime), deleteBatch)
		if err != nil {
			return total, fmt.Errorf("delete expired idempotency keys: %w", err)
		}
		total += tag.RowsAffected()
		if tag.RowsAffected() < deleteBatch {
			return total, nil
		}
	}
}
