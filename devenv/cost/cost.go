// Package cost counts what a running system does for the sales that it makes: calls, statements, and from Postgres' own log the
// transactions that write, the rows and the bytes. All of these are counts, so they are the same on a busy machine; nothing here is a
// time.
//
// It needs a server whose superuser the system is, as the embedded one: its log is read by pg_walinspect and statements are counted by
// pg_stat_statements, which Settings load. Both come with PostgreSQL's contributed modules.
package cost

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/devenv/cluster"
	"github.com/dayof/dayof/devenv/sandbox"
)

// Settings are what the Postgres of a measured system needs.
func Settings() map[string]string {
	return map[string]string{"shared_preload_libraries": "pg_stat_statements", "pg_stat_statements.track_utility": "off"}
}

// Cost is what was done between two readings.
type Cost struct {
	Databases map[string]Database // by service, and SandboxLedger
	RPCs      map[string]int64    // answered by the four services, by procedure
	Webhooks  int64               // deliveries that were answered
	Calls     map[sandbox.Call]int64
}

// SandboxLedger is the name of the database in which the sandbox ledger keeps its books.
const SandboxLedger = "sandbox_ledger"

// Meter has a reading to compare later ones with. It may not be used concurrently.
type Meter struct {
	cluster *cluster.Cluster
	conn    *pgx.Conn
	names   map[string]string // of databases, by oid
	before  reading
}

// reading is what all counters show.
type reading struct {
	position   string           // of Postgres' log
	statements map[string]int64 // by database
	rpcs       map[string]int64
	webhooks   int64
	calls      map[sandbox.Call]int64
}

// NewMeter opens a meter at a cluster that runs with Settings. The caller closes it.
func NewMeter(ctx context.Context, m *cluster.Cluster) (*Meter, error) {
	conn, err := pgx.Connect(ctx, m.Postgres.URL("postgres"))
	if err != nil {
		return nil, err
	}
	meter := &Meter{cluster: m, conn: conn, names: map[string]string{}}
	if err := meter.prepare(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("prepare to count: %w", err), conn.Close(ctx))
	}
	return meter, nil
}

func (m *Meter) prepare(ctx context.Context) error {
	_, err := m.conn.Exec(ctx, `create extension if not exists pg_stat_statements; create extension if not exists pg_walinspect`)
	if err != nil {
		return err
	}
	rows, err := m.conn.Query(ctx, `select oid::text, datname from pg_database`)
	if err != nil {
		return err
	}
	var oid, name string
	_, err = pgx.ForEachRow(rows, []any{&oid, &name}, func() error {
		for _, known := range append(services(), SandboxLedger) {
			if strings.HasSuffix(name, "_"+known) {
				m.names[oid] = known
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return m.Reset(ctx)
}

// Close closes the meter's connection.
func (m *Meter) Close(ctx context.Context) error { return m.conn.Close(ctx) }

// Reset begins to count anew.
func (m *Meter) Reset(ctx context.Context) (err error) {
	m.before, err = m.read(ctx)
	return err
}

// Cost returns what was done since the latest Reset.
func (m *Meter) Cost(ctx context.Context) (Cost, error) {
	now, err := m.read(ctx)
	if err != nil {
		return Cost{}, err
	}
	c := Cost{RPCs: map[string]int64{}, Webhooks: now.webhooks - m.before.webhooks, Calls: map[sandbox.Call]int64{}}
	if c.Databases, err = m.written(ctx, m.before.position, now.position); err != nil {
		return Cost{}, fmt.Errorf("read Postgres' log: %w", err)
	}
	for name, n := range now.statements {
		d := c.Databases[name]
		d.Statements = n - m.before.statements[name]
		c.Databases[name] = d
	}
	for procedure, n := range now.rpcs {
		if n -= m.before.rpcs[procedure]; n > 0 {
			c.RPCs[procedure] = n
		}
	}
	for call, n := range now.calls {
		if n -= m.before.calls[call]; n > 0 {
			c.Calls[call] = n
		}
	}
	return c, nil
}

func (m *Meter) read(ctx context.Context) (r reading, err error) {
	r.calls, r.statements = m.cluster.Sandbox.Calls(), map[string]int64{}
	if r.rpcs, r.webhooks, err = readCalls(ctx, m.cluster); err != nil {
		return r, err
	}
	rows, err := m.conn.Query(ctx, `select dbid::text, sum(calls)::bigint from pg_stat_statements where toplevel group by dbid`)
	if err != nil {
		return r, err
	}
	var oid string
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&oid, &n}, func() error {
		if name := m.names[oid]; name != "" {
			r.statements[name] = n
		}
		return nil
	})
	if err != nil {
		return r, err
	}
	// The log can be read as far as it was flushed, which a commit of our own does.
	if _, err := m.conn.Exec(ctx, `set synchronous_commit = on; select pg_logical_emit_message(true, 'cost', '')`); err != nil {
		return r, err
	}
	return r, m.conn.QueryRow(ctx, `select pg_current_wal_flush_lsn()::text`).Scan(&r.position)
}
