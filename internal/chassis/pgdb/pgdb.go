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
// error means that the database cannot be used. Times are read in UTC. The
// caller closes the pool. Errors never contain the password of url.
func Open(ctx context.Context, url string, o Options) (*pgxpool.Pool, error) {
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
	config.ConnConfig.RuntimeParams["idle_in_transaction_session_timeout"] = strconv.FormatInt(idleTransactionMax.Milliseconds(), 10)
	if len(o.Tracers) > 0 {
		config.ConnConfig.Tracer = multitracer.New(o.Tracers...)
	}
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
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("open database: %w", err)
	}
	return pool, nil
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
