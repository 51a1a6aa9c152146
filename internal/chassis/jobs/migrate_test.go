package jobs_test

import (
	"testing"

	"github.com/dayof/dayof/devenv/pgtest"
	"github.com/dayof/dayof/internal/chassis/jobs"
	"github.com/dayof/dayof/internal/chassis/pgdb"
)

// TestMigrateMayBeSlow lets the server refuse each definition in a transaction that may be idle for only so long: a migration
// of a starved process would be ended in the middle.
func TestMigrateMayBeSlow(t *testing.T) {
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
	if err := jobs.Migrate(t.Context(), pool); err != nil {
		t.Error(err)
	}
}

// TestMigrateAtOnce starts replicas with pools of one connection, which is all that a migration takes.
func TestMigrateAtOnce(t *testing.T) {
	t.Parallel()
	_, address := pgtest.NewNamed(t, "empty", nil)
	errs := make(chan error)
	for range 4 {
		go func() {
			pool, err := pgdb.Open(t.Context(), address, pgdb.Options{MaxConns: 1})
			if err == nil {
				err = jobs.Migrate(t.Context(), pool)
				pool.Close()
			}
			errs <- err
		}()
	}
	for range 4 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}
