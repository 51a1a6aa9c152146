package pgdb

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// lockPoll is how often a waiting replica asks for the lock. It asks instead
// of blocking in pg_advisory_lock, because a statement that waits holds a
// snapshot, and CREATE INDEX CONCURRENTLY in the holder's migration would wait
// for that snapshot: a deadlock.
const lockPoll = 50 * time.Millisecond

// WithLock runs f while holding the advisory lock of that name in pool's
// database; only one process at a time does. It waits as long as ctx lets it.
//
// The lock lives on a connection of its own, outside of pool, so that f may use
// a pool of any size. Postgres drops the lock when this process dies.
func WithLock(ctx context.Context, pool *pgxpool.Pool, name string, f func(ctx context.Context) error) error {
	return withLockedConn(ctx, pool, name, func(ctx context.Context, _ *pgx.Conn) error { return f(ctx) })
}

// withLockedConn is WithLock for work that must not outlive the lock: it gives
// f the very connection that holds it.
func withLockedConn(ctx context.Context, pool *pgxpool.Pool, name string, f func(ctx context.Context, conn *pgx.Conn) error) (err error) {
	conn, err := pgx.ConnectConfig(ctx, pool.Config().ConnConfig)
	if err != nil {
		return fmt.Errorf("connect for lock %s: %w", name, err)
	}
	defer func() {
		// Closing the session releases the lock; it must happen even when ctx
		// has ended.
		err = errors.Join(err, conn.Close(context.WithoutCancel(ctx)))
	}()
	for {
		var locked bool
		err := conn.QueryRow(ctx, "SELECT pg_try_advisory_lock(hashtextextended($1, 0))", name).Scan(&locked)
		if err != nil {
			return fmt.Errorf("take lock %s: %w", name, err)
		}
		if locked {
			return f(ctx, conn)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for lock %s: %w", name, ctx.Err())
		case <-time.After(lockPoll + rand.N(lockPoll)):
		}
	}
}
