package pgdb_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/devenv/pgtest"
	"github.com/dayof/dayof/internal/chassis/pgdb"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// counter is a tracer that counts queries.
type counter struct{ atomic.Int32 }

func (c *counter) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	c.Add(1)
	return ctx
}

func (c *counter) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func TestOpen(t *testing.T) {
	t.Parallel()
	_, address := pgtest.NewNamed(t, "empty", nil)

	t.Run("options", func(t *testing.T) {
		t.Parallel()
		var first, second counter
		pool, err := pgdb.Open(t.Context(), address, pgdb.Options{
			MaxConns: 3, ApplicationName: "ticket office", Tracers: []pgx.QueryTracer{&first, &second},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(pool.Close)
		var name string
		var at time.Time
		err = pool.QueryRow(t.Context(), `SELECT current_setting('application_name'), timestamptz '2026-07-01 20:00:00+02'`).Scan(&name, &at)
		if err != nil {
			t.Fatal(err)
		}
		if name != "ticket office" || pool.Config().MaxConns != 3 {
			t.Errorf("name %q, %d connections", name, pool.Config().MaxConns)
		}
		if want := time.Date(2026, 7, 1, 18, 0, 0, 0, time.UTC); at != want {
			t.Errorf("time %v, want %v", at, want)
		}
		if first.Load() == 0 || first.Load() != second.Load() {
			t.Errorf("the tracers recorded %d and %d queries", first.Load(), second.Load())
		}
	})

	t.Run("a silent transaction loses its locks", func(t *testing.T) {
		t.Parallel()
		pool, err := pgdb.Open(t.Context(), address, pgdb.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(pool.Close)
		lock := func(tx pgx.Tx) error {
			_, err := tx.Exec(t.Context(), `SELECT pg_advisory_xact_lock(1)`)
			return err
		}
		frozen, err := pool.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := lock(frozen); err != nil {
			t.Fatal(err)
		}
		if err := pgx.BeginFunc(t.Context(), pool, lock); err != nil { // waits until the other one was cut off
			t.Errorf("the lock is not to be had: %v", err)
		}
		if err := frozen.Commit(t.Context()); err == nil {
			t.Error("the silent transaction was committed after it lost its lock")
		}
	})

	t.Run("a server that says nothing is asked again", func(t *testing.T) {
		t.Parallel()
		silent, accepted := silentOnce(t, address)
		pool, err := pgdb.Open(t.Context(), silent, pgdb.Options{})
		if err != nil {
			t.Fatalf("after %d connections: %v", accepted.Load(), err)
		}
		pool.Close()
	})

	t.Run("an error says nothing of the password", func(t *testing.T) {
		t.Parallel()
		for _, url := range []string{
			"postgres://dayof:geheim@127.0.0.1:1/x?connect_timeout=1", "postgres://dayof:geheim@:x", "postgres://dayof:geheim@127.0.0.1:1/x?pool_max_conns=no",
		} {
			_, err := pgdb.Open(t.Context(), url, pgdb.Options{})
			if err == nil || strings.Contains(err.Error(), "geheim") {
				t.Errorf("got %v", err)
			}
		}
	})
}

// silentOnce is a way to the server at an address that leaves its first connection without an answer. It counts connections.
func silentOnce(t *testing.T, address string) (string, *atomic.Int64) {
	t.Helper()
	there, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	server := there.Host
	there.Host = listener.Addr().String()
	query := there.Query()
	query.Set("connect_timeout", "5")
	there.RawQuery = query.Encode()
	var accepted atomic.Int64
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			if accepted.Add(1) == 1 {
				go func() { _, _ = io.Copy(io.Discard, client) }()
				continue
			}
			go forward(client, server)
		}
	}()
	return there.String(), &accepted
}

// forward copies both directions of a connection until one side ends it.
func forward(client net.Conn, server string) {
	defer func() { _ = client.Close() }()
	upstream, err := new(net.Dialer).Dial("tcp", server)
	if err != nil {
		return
	}
	defer func() { _ = upstream.Close() }()
	go func() { _, _ = io.Copy(upstream, client) }()
	_, _ = io.Copy(client, upstream)
}

func TestConstraintName(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, nil)
	_, err := pool.Exec(t.Context(), `
		CREATE TABLE seat (
			id int CONSTRAINT seat_sold_once PRIMARY KEY,
			price int CONSTRAINT price_is_positive CHECK (price > 0),
			next int CONSTRAINT next_seat_exists REFERENCES seat);
		INSERT INTO seat VALUES (1, 1, NULL)`)
	if err != nil {
		t.Fatal(err)
	}
	for statement, want := range map[string]string{
		"INSERT INTO seat VALUES (1, 1, NULL)": "seat_sold_once",
		"INSERT INTO seat VALUES (2, 0, NULL)": "price_is_positive",
		"INSERT INTO seat VALUES (2, 1, 9)":    "next_seat_exists",
		"INSERT INTO chair VALUES (1)":         "",
	} {
		_, err := pool.Exec(t.Context(), statement)
		if got := pgdb.ConstraintName(errors.Join(errors.New("insert seat"), err)); err == nil || got != want {
			t.Errorf("%s: got %q (%v), want %q", statement, got, err, want)
		}
	}
	if got := pgdb.ConstraintName(nil); got != "" {
		t.Errorf("no error: %q", got)
	}
}

// TestShellChangesNothing sets libpq's variables as a developer's shell does: a database is opened as its URL says.
func TestShellChangesNothing(t *testing.T) {
	_, address := pgtest.NewNamed(t, "empty", nil)
	for name, value := range map[string]string{
		"PGSERVICE": "nowhere", "PGOPTIONS": "-c search_path=nowhere -c default_transaction_read_only=on", "PGTARGETSESSIONATTRS": "standby",
		"PGSSLMODE": "verify-full", "PGCONNECT_TIMEOUT": "soon", "PGHOST": "203.0.113.1", "PGAPPNAME": "shell", "PGTZ": "Asia/Tokyo",
	} {
		t.Setenv(name, value)
	}
	pool, err := pgdb.Open(t.Context(), address, pgdb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	var path, name string
	err = pool.QueryRow(t.Context(), "select current_setting('search_path'), current_setting('application_name')").Scan(&path, &name)
	if err != nil || strings.Contains(path, "nowhere") || name != "" {
		t.Errorf("search path %q, name %q, %v", path, name, err)
	}
}
