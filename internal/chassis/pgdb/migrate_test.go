package pgdb_test

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/dayof/dayof/devenv/pgtest"
	"github.com/dayof/dayof/internal/chassis/pgdb"
)

func migrations(files map[string]string) fs.FS {
	m := fstest.MapFS{}
	for name, sql := range files {
		m[name] = &fstest.MapFile{Data: []byte(sql)}
	}
	return m
}

const (
	createSeat = "CREATE TABLE seat (id int);\nINSERT INTO seat VALUES (1);"
	// waits for all transactions that are older, also for a SELECT that waits
	indexSeat = "---- tern: disable-tx ----\nCREATE INDEX CONCURRENTLY seat_id ON seat (id);"
	sellSeat  = "INSERT INTO seat VALUES (2);"
)

func seats(t *testing.T, pool *pgxpool.Pool) int {
	t.Helper()
	var n int
	if err := pool.QueryRow(t.Context(), "SELECT count(*) FROM seat").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestMigrate(t *testing.T) {
	t.Parallel()

	t.Run("eight replicas at once", func(t *testing.T) {
		t.Parallel()
		_, address := pgtest.NewNamed(t, "empty", nil)
		files := migrations(map[string]string{"001_seat.sql": createSeat, "002_index.sql": indexSeat, "003_sell.sql": sellSeat})
		errs := make(chan error)
		for range 8 {
			go func() {
				pool, err := pgdb.Open(t.Context(), address, pgdb.Options{MaxConns: 1})
				if err == nil {
					err = pgdb.Migrate(t.Context(), pool, files)
					pool.Close()
				}
				errs <- err
			}()
		}
		for range 8 {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		pool, err := pgdb.Open(t.Context(), address, pgdb.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(pool.Close)
		if n := seats(t, pool); n != 2 {
			t.Errorf("%d seats, want 2: each migration once", n)
		}
	})

	t.Run("an old replica leaves a newer database alone", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.New(t, nil)
		newer := migrations(map[string]string{"001_seat.sql": createSeat, "002_sell.sql": sellSeat})
		older := migrations(map[string]string{"001_seat.sql": createSeat})
		for _, files := range []fs.FS{older, newer, older, newer} {
			if err := pgdb.Migrate(t.Context(), pool, files); err != nil {
				t.Fatal(err)
			}
		}
		if n := seats(t, pool); n != 2 {
			t.Errorf("%d seats, want 2", n)
		}
	})

	t.Run("a second set keeps its own version", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.New(t, nil)
		if err := pgdb.Migrate(t.Context(), pool, migrations(map[string]string{"001_seat.sql": createSeat})); err != nil {
			t.Fatal(err)
		}
		if err := pgdb.MigrateNamed(t.Context(), pool, "library_version", migrations(map[string]string{"001_sell.sql": sellSeat})); err != nil {
			t.Fatal(err)
		}
		if n := seats(t, pool); n != 2 {
			t.Errorf("%d seats, want 2", n)
		}
	})

	t.Run("a mistake is reported with its place and changes nothing", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.New(t, nil)
		wrong := migrations(map[string]string{"001_seat.sql": createSeat, "002_wrong.sql": "INSERT INTO seat VALUES (2);\n-- oh\nSELECT nothing FROM seat;"})
		err := pgdb.Migrate(t.Context(), pool, wrong)
		if err == nil || !strings.Contains(err.Error(), "002_wrong.sql") || !strings.Contains(err.Error(), "line 3: SELECT nothing") {
			t.Errorf("got %v", err)
		}
		if n := seats(t, pool); n != 1 {
			t.Errorf("%d seats, want 1", n)
		}
		if err := pgdb.Migrate(t.Context(), pool, migrations(nil)); err == nil {
			t.Error("no migrations at all: no error")
		}
	})
}

// TestMigrationMayBeSlow lets the server refuse each definition in a transaction that may be idle for only so long: a migration
// of a starved process would be ended in the middle.
func TestMigrationMayBeSlow(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, nil)
	_, err := pool.Exec(t.Context(), `
		create function refuse_limit() returns event_trigger language plpgsql as $$
		begin
			if current_setting('idle_in_transaction_session_timeout') <> '0' then
				raise 'the transaction may be idle for %', current_setting('idle_in_transaction_session_timeout');
			end if;
		end $$;
		create event trigger refuse_limit on ddl_command_start execute function refuse_limit()`)
	if err != nil {
		t.Fatal(err)
	}
	if err := pgdb.Migrate(t.Context(), pool, migrations(map[string]string{"001_seat.sql": createSeat})); err != nil {
		t.Error(err)
	}
	var limit string
	if err := pool.QueryRow(t.Context(), "show idle_in_transaction_session_timeout").Scan(&limit); err != nil || limit == "0" {
		t.Errorf("other transactions may be idle for %q (%v)", limit, err)
	}
}

func TestWithLock(t *testing.T) {
	t.Parallel()

	t.Run("one at a time, with a pool of one connection", func(t *testing.T) {
		t.Parallel()
		_, address := pgtest.NewNamed(t, "empty", nil)
		pool, err := pgdb.Open(t.Context(), address, pgdb.Options{MaxConns: 1})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(pool.Close)
		var inside atomic.Int32
		errs := make(chan error)
		for range 5 {
			go func() {
				errs <- pgdb.WithLock(t.Context(), pool, "box office", func(ctx context.Context, tx pgx.Tx) error {
					if n := inside.Add(1); n != 1 {
						t.Errorf("%d hold the lock", n)
					}
					defer inside.Add(-1)
					_, err := tx.Exec(ctx, "select")
					return err
				})
			}()
		}
		for range 5 {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
	})

	t.Run("waits no longer than its context, other names do not wait", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.New(t, nil)
		errInside := errors.New("from inside")
		err := pgdb.WithLock(t.Context(), pool, "a", func(ctx context.Context, _ pgx.Tx) error {
			short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
			defer cancel()
			err := pgdb.WithLock(short, pool, "a", func(context.Context, pgx.Tx) error { return errors.New("took it twice") })
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("second taker: %v", err)
			}
			return pgdb.WithLock(ctx, pool, "b", func(context.Context, pgx.Tx) error { return errInside })
		})
		if !errors.Is(err, errInside) {
			t.Errorf("got %v", err)
		}
		if err := pgdb.WithLock(t.Context(), pool, "a", func(context.Context, pgx.Tx) error { return nil }); err != nil {
			t.Errorf("the lock was not given back: %v", err)
		}
	})
}
