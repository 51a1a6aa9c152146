// Package pgdb opens a service's Postgres database, migrates it, and names
// what went wrong.
//
// It knows nothing of any table. Services write their SQL themselves (style.md,
// "SQL"); what is here is the same for all of them.
package pgdb

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/multitracer"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
)

// maxConnsDefault is a pool's size when nobody says: four services with two
// replicas each then use about half of the embedded server's 300 connections.
const maxConnsDefault = 16

// idleTransactionMax is how long a transaction may keep its locks while its
// process says nothing: below any lease, so that the work of a frozen process
// can be taken up. None of ours waits for anything but the database, so a living
// one is idle for milliseconds; one that is cut off is rolled back.
const idleTransactionMax = 5 * time.Second

// pingAfter is how long a connection may go unused until it is tried before its next use: longer than what an idle process asks its
// database by the clock, which else would cost two transactions each.
const pingAfter = 5 * time.Second

const (
	// connectMax is how long one connection may take, unless the address says connect_timeout.
	connectMax = 30 * time.Second
	// openTries is how often Open connects to a server that accepts a connection and says nothing.
	openTries = 4
)

// Options are the settings of a pool; the zero value is fine.
type Options struct {
	// MaxConns is the size of the pool, default 16.
	MaxConns int32
	// Tracers see every query, in order (spans, metrics).
	Tracers []pgx.QueryTracer
	// ApplicationName shows up in pg_stat_activity.
	ApplicationName string
}

// Open returns a pool on the database at url and has talked to it once: an
// error means that the database cannot be used. A server that gives no answer is
// asked four times, for half a minute each or for the connect_timeout of url.
// Times are read in UTC. The caller closes the pool. Errors never contain the
// password of url.
//
// Only url says where the database is: libpq's variables of the environment
// (PGSERVICE, PGOPTIONS and so on) are dropped, see DropEnvironment. What a
// pooler such as PgBouncer refuses as a start-up parameter is set after
// connecting. A server that does not write, such as a primary that was demoted,
// is not connected to, unless url says target_session_attrs; a connection on
// which a write is refused for that reason is closed.
func Open(ctx context.Context, url string, o Options) (*pgxpool.Pool, error) {
	DropEnvironment()
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("read database URL: %w", err) // pgx redacts passwords here
	}
	config.MaxConns = maxConnsDefault
	if o.MaxConns > 0 {
		config.MaxConns = o.MaxConns
	}
	if o.ApplicationName != "" {
		config.ConnConfig.RuntimeParams["application_name"] = o.ApplicationName
	}
	config.ConnConfig.RuntimeParams["timezone"] = "UTC"
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = connectMax
	}
	if config.ConnConfig.ValidateConnect == nil {
		config.ConnConfig.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	config.ConnConfig.OnPgError = keepsConnection
	if len(o.Tracers) > 0 {
		config.ConnConfig.Tracer = multitracer.New(o.Tracers...)
	}
	config.ShouldPing = func(_ context.Context, p pgxpool.ShouldPingParams) bool { return p.IdleDuration > pingAfter }
	config.ConnConfig.AfterConnect = setSession
	config.AfterConnect = func(_ context.Context, conn *pgx.Conn) error {
		conn.TypeMap().RegisterType(&pgtype.Type{
			Name: "timestamptz", OID: pgtype.TimestamptzOID, Codec: &pgtype.TimestamptzCodec{ScanLocation: time.UTC},
		})
		return nil
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	if err := ping(ctx, pool); err != nil {
		pool.Close()
		return nil, fmt.Errorf("open database: %w", err)
	}
	return pool, nil
}

func ping(ctx context.Context, pool *pgxpool.Pool) error {
	for try := 1; ; try++ {
		err := pool.Ping(ctx)
		if !pgconn.Timeout(err) || try == openTries || ctx.Err() != nil {
			return err
		}
	}
}

// setSession sets what PgBouncer refuses as a start-up parameter. Behind a pooler
// in transaction mode it reaches the server's connection of that moment, which is
// one of those that all of ours share.
func setSession(ctx context.Context, conn *pgconn.PgConn) error {
	_, err := conn.Exec(ctx, "set idle_in_transaction_session_timeout = "+strconv.FormatInt(idleTransactionMax.Milliseconds(), 10)).ReadAll()
	if err != nil {
		return fmt.Errorf("set up session: %w", err)
	}
	return nil
}

// readOnlyTransaction is the SQLSTATE of a write where only reads are allowed.
const readOnlyTransaction = "25006"

// keepsConnection reports whether a connection can be used after an error of the
// server. It cannot where the server is one that does not write: a pool would keep
// it for ever, although the next one may lead to a server that does.
func keepsConnection(_ *pgconn.PgConn, err *pgconn.PgError) bool {
	return err.SeverityUnlocalized != "FATAL" && err.Severity != "FATAL" && err.Code != readOnlyTransaction
}

// ErrReadOnly says that a database reads and does not write.
var ErrReadOnly = errors.New("the database does not write: it is a standby, or its transactions are read-only")

// CheckWritable is a health check: an error says that the database cannot be used
// for changes. The connections of a pool to such a database are closed, each when
// nobody uses it, so that the pool finds the one that writes by itself.
func CheckWritable(ctx context.Context, pool *pgxpool.Pool) error {
	var readOnly bool
	err := pool.QueryRow(ctx, `select current_setting('transaction_read_only')::boolean or pg_is_in_recovery()`).Scan(&readOnly)
	if err != nil {
		return fmt.Errorf("ask whether the database writes: %w", err)
	}
	if readOnly {
		pool.Reset()
		return ErrReadOnly
	}
	return nil
}

// ConstraintName returns the name of the constraint that a statement violated
// (unique, check, foreign key, exclusion, not-null), or "" when err is anything
// else. Code decides by these names, never by message text.
func ConstraintName(err error) string {
	var pgErr *pgconn.PgError
	// Class 23 is "integrity constraint violation".
	if errors.As(err, &pgErr) && len(pgErr.Code) == 5 && pgErr.Code[:2] == "23" {
		return pgErr.ConstraintName
	}
	return ""
}
