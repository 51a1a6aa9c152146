package pgdb

import (
	"context"
	"errors"
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
	// for that snapshot: a deadlock.
	lockPoll = 50 * time.Millisecond
	// lockSaidAfter is when a wait is logged first, and again after each as long.
	lockSaidAfter = 5 * time.Second
	// lockCheck is how often a holder looks whether it still has the lock, and
	// lockCheckTimeout how long the answer may take.
	lockCheck        = time.Second
	lockCheckTimeout = 10 * time.Second
)

// errLockLost cancels work whose lock is gone.
var errLockLost = errors.New("the lock was lost with its connection")

// WithLock runs f while holding the advisory lock of that name in pool's
// database; only one process at a time does. It waits as long as ctx lets it, and
// logs what it waits for.
//
// The lock lives in a transaction on a connection of its own, outside of pool, so
// that f may use a pool of any size, and so that it holds behind a pooler in
// transaction mode, which gives each transaction to another connection of the
// server. Postgres drops the lock when this process dies; f's context ends when
// the lock is lost.
func WithLock(ctx context.Context, pool *pgxpool.Pool, name string, f func(ctx context.Context) error) (err error) {
	conn, err := pgx.ConnectConfig(ctx, pool.Config().ConnConfig)
	if err != nil {
		return fmt.Errorf("connect for lock %s: %w", name, err)
	}
	defer func() {
		// Closing the connection releases the lock; it must happen even when ctx
		// has ended.
		err = errors.Join(err, conn.Close(context.WithoutCancel(ctx)))
	}()
	if err := takeLock(ctx, conn, name); err != nil {
		return err
	}
	held, lost := context.WithCancelCause(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		watchLock(held, conn, lost)
	}()
	err = f(held)
	if errors.Is(context.Cause(held), errLockLost) {
		err = errors.Join(errLockLost, err)
	}
	lost(nil)
	<-watched
	return err
}

// withLockedConn is WithLock for work on one connection, beside that of the lock.
func withLockedConn(ctx context.Context, pool *pgxpool.Pool, name string, f func(ctx context.Context, conn *pgx.Conn) error) error {
	return WithLock(ctx, pool, name, func(ctx context.Context) (err error) {
		conn, err := pgx.ConnectConfig(ctx, pool.Config().ConnConfig)
		if err != nil {
			return fmt.Errorf("connect under lock %s: %w", name, err)
		}
		defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
		return f(ctx, conn)
	})
}

// takeLock leaves conn in a transaction that has the lock.
func takeLock(ctx context.Context, conn *pgx.Conn, name string) error {
	// In the simple protocol, because the portal of the extended one would keep its
	// snapshot, for which CREATE INDEX CONCURRENTLY waits.
	const tryLock = "select pg_try_advisory_xact_lock(hashtextextended($1, 0))"
	waited, said := time.Duration(0), time.Duration(0)
	for {
		// The transaction is idle as long as the work takes.
		if _, err := conn.Exec(ctx, "begin; set local idle_in_transaction_session_timeout = 0"); err != nil {
			return fmt.Errorf("take lock %s: %w", name, err)
		}
		var locked bool
		if err := conn.QueryRow(ctx, tryLock, pgx.QueryExecModeSimpleProtocol, name).Scan(&locked); err != nil {
			return fmt.Errorf("take lock %s: %w", name, err)
		}
		if locked {
			return nil
		}
		if _, err := conn.Exec(ctx, "rollback"); err != nil {
			return fmt.Errorf("take lock %s: %w", name, err)
		}
		if waited-said >= lockSaidAfter {
			said = waited
			slog.LogAttrs(ctx, slog.LevelWarn, "waiting for a lock of the database", slog.String("lock", name),
				slog.Duration("waited", waited), slog.String("held_by", lockHolder(ctx, conn, name)))
		}
		wait := lockPoll + rand.N(lockPoll)
		waited += wait
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for lock %s, held by %s: %w", name, lockHolder(context.WithoutCancel(ctx), conn, name), ctx.Err())
		case <-time.After(wait):
		}
	}
}

// lockHolder says which session has the lock of a name.
func lockHolder(ctx context.Context, conn *pgx.Conn, name string) string {
	ctx, cancel := context.WithTimeout(ctx, lockCheckTimeout)
	defer cancel()
	var holder string
	err := conn.QueryRow(ctx, `
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

// watchLock asks now and then whether the connection that has the lock is alive,
// until ctx ends.
func watchLock(ctx context.Context, conn *pgx.Conn, lost context.CancelCauseFunc) {
	tick := time.NewTicker(lockCheck)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		checkCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lockCheckTimeout)
		_, err := conn.Exec(checkCtx, "select")
		cancel()
		if err != nil {
			lost(errLockLost)
			return
		}
	}
}
