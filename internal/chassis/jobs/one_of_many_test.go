package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/riverqueue/river"

	"github.com/dayof/dayof/devenv/pgtest"
	"github.com/dayof/dayof/internal/chassis/jobs"
)

// TestDeadJobThatCannotMoveStopsNoOther ends jobs, one of which the dead letters do not take.
func TestDeadJobThatCannotMoveStopsNoOther(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, jobs.Migrate)
	for _, sql := range []string{
		`create function refuse() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$`,
		`create trigger refuse before insert on dead_letters for each row when (new.args ->> 'order_id' = 'bad') execute function refuse()`,
	} {
		if _, err := pool.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	r := newRegistry(t, pool)
	jobs.Register(r, quick, func(context.Context, *river.Job[mailArgs]) error { return jobs.Cancel(errors.New("no such mailbox")) })
	insert(t, r, mailArgs{OrderID: "bad"}, mailArgs{OrderID: "o1"}, mailArgs{OrderID: "o2"})
	start(t, r)
	eventually(t, "the others are dead letters", func() bool { return count(t, pool, `SELECT count(*) FROM dead_letters`) == 2 })
	if n := count(t, pool, `SELECT count(*) FROM alerts`); n != 2 {
		t.Errorf("%d alerts, want 2", n)
	}
	if n := count(t, pool, `SELECT count(*) FROM river_job WHERE state = 'cancelled' AND args ->> 'order_id' = 'bad'`); n != 1 {
		t.Error("the job that the dead letters do not take is lost")
	}
	if _, err := pool.Exec(t.Context(), `drop trigger refuse on dead_letters`); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the bad one is a dead letter too", func() bool { return count(t, pool, `SELECT count(*) FROM dead_letters`) == 3 })
}

// TestErrorThatPostgresRefusesStopsNoOther has a job fail, and another panic, with a text that jsonb does not take. River writes
// the ends of many jobs in one statement.
func TestErrorThatPostgresRefusesStopsNoOther(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, jobs.Migrate)
	r := newRegistry(t, pool)
	policy := quick
	policy.MaxAttempts = 1
	jobs.Register(r, policy, func(_ context.Context, job *river.Job[mailArgs]) error {
		switch job.Args.OrderID {
		case "bad":
			return fmt.Errorf("the server answers %q and %s", "x", "a\x00b\xff")
		case "worse":
			panic("a\x00b")
		}
		return nil
	})
	var all []river.JobArgs
	for i := range 20 {
		all = append(all, mailArgs{OrderID: fmt.Sprint("o", i)})
	}
	insert(t, r, append(all, mailArgs{OrderID: "bad"}, mailArgs{OrderID: "worse"})...)
	start(t, r)
	eventually(t, "the others are completed", func() bool { return count(t, pool, `SELECT count(*) FROM river_job WHERE state = 'completed'`) == 20 })
	eventually(t, "both are dead letters", func() bool { return count(t, pool, `SELECT count(*) FROM dead_letters WHERE error LIKE '%a%b%'`) == 2 })
}
