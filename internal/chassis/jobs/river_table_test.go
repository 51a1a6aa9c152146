package jobs

import (
	"context"
	"log/slog"
	"reflect"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/dayof/dayof/devenv/pgtest"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/deadletter"
)

type contractArgs struct {
	OrderID string `json:"order_id"`
}

func (contractArgs) Kind() string { return "contract" }

// TestRiverTable holds every statement on River's own table against the table of the version of River that is built in.
// A new version that changes the table turns it red here.
func TestRiverTable(t *testing.T) {
	t.Parallel()

	newPool := func(t *testing.T) (*pgxpool.Pool, *Registry) {
		t.Helper()
		pool := pgtest.New(t, Migrate)
		r := New(pool, Config{Logger: slog.New(slog.DiscardHandler), Clock: clock.System{}, PollOnly: true})
		Register(r, Policy{MaxAttempts: 3, Timeout: time.Second}, func(context.Context, *river.Job[contractArgs]) error { return nil })
		return pool, r
	}
	exec := func(t *testing.T, pool *pgxpool.Pool, sql string, args ...any) {
		t.Helper()
		if _, err := pool.Exec(t.Context(), sql, args...); err != nil {
			t.Fatal(err)
		}
	}
	inTx := func(t *testing.T, pool *pgxpool.Pool, f func(tx pgx.Tx) error) {
		t.Helper()
		if err := pgx.BeginFunc(t.Context(), pool, f); err != nil {
			t.Fatal(err)
		}
	}

	t.Run("what is unfinished and what is open", func(t *testing.T) {
		t.Parallel()
		pool, r := newPool(t)
		later := At(clock.System{}.Now().Add(time.Hour), contractArgs{OrderID: "later"})
		if err := r.Insert(t.Context(), contractArgs{OrderID: "now"}, later); err != nil {
			t.Fatal(err)
		}
		exec(t, pool, `insert into river_job (args, kind, max_attempts, queue) values ('{}', $1, 1, $2)`, deadletter.PeriodicPrefix+"report", queueDefault)
		due, err := Unfinished(t.Context(), pool, time.Minute)
		if err != nil || len(due) != 1 || string(due[0].Args) != `{"order_id": "now"}` || due[0].DueIn > 0 {
			t.Errorf("unfinished %v, %v", due, err)
		}
		open, err := ListOpen(t.Context(), pool)
		if err != nil || len(open) != 3 || open[0].Kind != "contract" || open[1].DueIn < 59*time.Minute {
			t.Errorf("open %v, %v", open, err)
		}
		for kind, want := range map[string]bool{"contract": true, "other": false} {
			inTx(t, pool, func(tx pgx.Tx) error {
				if got, err := hasUnfinished(t.Context(), tx, kind); err != nil || got != want {
					t.Errorf("%s: %v, %v", kind, got, err)
				}
				return nil
			})
		}
	})

	t.Run("a database without the table has no jobs", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.New(t, nil)
		if due, err := Unfinished(t.Context(), pool, time.Minute); err != nil || len(due) != 0 {
			t.Errorf("unfinished %v, %v", due, err)
		}
		if open, err := ListOpen(t.Context(), pool); err != nil || len(open) != 0 {
			t.Errorf("open %v, %v", open, err)
		}
	})

	t.Run("every state of a job is known", func(t *testing.T) {
		t.Parallel()
		pool, _ := newPool(t)
		var states []string
		if err := pool.QueryRow(t.Context(), `select enum_range(null::river_job_state)::text[]`).Scan(&states); err != nil {
			t.Fatal(err)
		}
		want := []string{"available", "cancelled", "completed", "discarded", "pending", "retryable", "running", "scheduled"}
		if !reflect.DeepEqual(states, want) {
			t.Errorf("states %q, want %q", states, want)
		}
	})

	t.Run("rescue and death", func(t *testing.T) {
		t.Parallel()
		pool, r := newPool(t)
		if err := r.Insert(t.Context(), contractArgs{OrderID: "rescued"}, contractArgs{OrderID: "exhausted"}, contractArgs{OrderID: "cancelled"}); err != nil {
			t.Fatal(err)
		}
		exec(t, pool, `update river_job set state = 'running', attempt = 1, attempted_at = now(), attempted_by = '{gone}' where args ->> 'order_id' = 'rescued'`)
		exec(t, pool, `update river_job set state = 'discarded', attempt = 3, finalized_at = now(),
			errors = array['{"error": "first"}'::jsonb, '{"error": "last"}'] where args ->> 'order_id' = 'exhausted'`)
		exec(t, pool, `update river_job set state = 'cancelled', attempt = 1, finalized_at = now(),
			errors = array['{"error": "JobCancelError: no use"}'::jsonb] where args ->> 'order_id' = 'cancelled'`)
		var dead []deadletter.Letter
		inTx(t, pool, func(tx pgx.Tx) (err error) {
			if _, err := rescueJobs(t.Context(), tx, time.Second); err != nil {
				return err
			}
			dead, err = takeDead(t.Context(), tx, 10, nil)
			return err
		})
		got := map[string]string{}
		for _, l := range dead {
			got[string(l.Args)] = l.Reason + ": " + l.Error
		}
		want := map[string]string{`{"order_id": "exhausted"}`: "exhausted: last", `{"order_id": "cancelled"}`: "cancelled: no use"}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("dead %v, want %v", got, want)
		}
		open, err := ListOpen(t.Context(), pool)
		if err != nil || len(open) != 1 || string(open[0].Args) != `{"order_id": "rescued"}` {
			t.Errorf("open %v, %v", open, err)
		}
		if due, err := Unfinished(t.Context(), pool, 0); err != nil || len(due) != 1 {
			t.Errorf("the rescued job is not due: %v, %v", due, err)
		}
	})

	t.Run("the indexes to rebuild exist", func(t *testing.T) {
		t.Parallel()
		pool, _ := newPool(t)
		var n int
		if err := pool.QueryRow(t.Context(), `select count(*) from pg_indexes where tablename = 'river_job' and indexname = any($1)`, riverIndexes()).Scan(&n); err != nil {
			t.Fatal(err)
		}
		if n != len(riverIndexes()) {
			t.Errorf("%d of %d exist", n, len(riverIndexes()))
		}
	})
}
