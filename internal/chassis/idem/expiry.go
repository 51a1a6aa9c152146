package idem

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// deleteBatch is how many rows one statement deletes, so that no lock is held and no WAL written for long at once.
const deleteBatch = 1000

// DeleteExpired deletes keys older than Lifetime and returns how many. Services run it by a periodic job; running it
// twice, or on two replicas at once, is harmless.
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
