package pgdb

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// lockPoll is how often a waiting replica asks for the lock. It asks instead
	// of blocking in the lock's function, because a statement that waits holds a
	// snapshot, and CREATE INDEX CONCURRENTLY in the holder's migration would wait
	// for that snapshot: a deadlock. Between two questions it has no transaction,
	// so that a pooler can give its connection of the server to the holder.
	lockPoll = 50 * time.Millisecond
	// lockSaidAfter is when a wait is logged first, and again after each as long.
	lockSaidAfter = 5 * time.Second
	// lockHolderTimeout is how long it may take to find out who has the lock.
	lockHolderTimeout = 10 * time.Second
)

// lockedTx begins a transaction that has a lock: it may be idle as long as the
// work takes. One statement, because a process may be starved between two.
var lockedTx = pgx.TxOptions{BeginQuery: "begin; set local idle_in_transaction_session_timeout = 0"}

// WithLock runs f in a transaction that has the advisory lock of that name in
// pool's database; only one process at a time does. The transaction is committed
// when f returns nil. WithLock waits as long as ctx lets it, and logs what it
// waits for.
//
// The lock is the transaction's, not the session's, because a pooler in
// transaction mode gives each transaction to another connection of the server. f
// works in the transaction that has the lock, so that the work cannot go on
// without the lock, and needs no second connection, which a pooler or pool may not
// have. Postgres drops the lock with the transaction.
func WithLock(ctx context.Context, pool *pgxpool.Pool, name string, f func(ctx context.Context, tx pgx.Tx) error) error {
	waited, said := time.Duration(0), time.Duration(0)
	for {
		locked, err := tryWithLock(ctx, pool, name, f)
		if err != nil || locked {
			return err
		}
		if waited-said >= lockSaidAfter {
			said = waited
			slog.LogAttrs(ctx, slog.LevelWarn, "waiting for a lock of the database", slog.String("lock", name),
				slog.Duration("waited", waited), slog.String("held_by", lockHolder(ctx, pool, name)))
		}
		wait := lockPoll + rand.N(lockPoll)
		waited += wait
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for lock %s, held by %s: %w", name, lockHolder(context.WithoutCancel(ctx), pool, name), ctx.Err())
		case <-time.After(wait):
		}
	}
}

// tryWithLock is WithLock, but when somebody else has the lock it does nothing and
// returns false.
func tryWithLock(ctx context.Context, pool *pgxpool.Pool, name string, f func(ctx context.Context, tx pgx.Tx) error) (locked bool, err error) {
	// In the simple protocol, because the portal of the extended one would keep its
	// snapshot, for which CREATE INDEX CONCURRENTLY waits.
	const tryLock = "select pg_try_advisory_xact_lock(hashtextextended($1, 0))"
	err = pgx.BeginTxFunc(ctx, pool, lockedTx, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, tryLock, pgx.QueryExecModeSimpleProtocol, name).Scan(&locked); err != nil {
			return fmt.Errorf("take lock %s: %w", name, err)
		}
		if !locked {
			return nil
		}
		return f(ctx, tx)
	})
	return locked, err
}

// lockHolder says which session has the lock of a name.
func lockHolder(ctx context.Context, pool *pgxpool.Pool, name string) string {
	ctx, cancel := context.WithTimeout(ctx, lockHolderTimeout)
	defer cancel()
	var holder string
	err := pool.QueryRow(ctx, `
		select 'process ' || a.pid || ' of the server, ' || coalesce(nullif(a.application_name, ''), 'without a name') || ', since ' || a.xact_start
		from pg_locks l join pg_stat_activity a using (pid)
		where l.locktype = 'advisory' and l.granted and l.objsubid = 1
			and l.database = (select oid from pg_database where datname = current_database())
			and (l.classid::bigint << 32) | l.objid::bigint = hashtextextended($1, 0) limit 1`, name).Scan(&holder)
	if err != nil {
		return "somebody unknown"
	}
	return holder
}
