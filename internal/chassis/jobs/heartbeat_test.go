package jobs_test

import (
	"context"
	"slices"
	"testing"

	"github.com/riverqueue/river"

	"github.com/dayof/dayof/devenv/pgtest"
	"github.com/dayof/dayof/internal/chassis/jobs"
)

// TestJobsOfTheDead is about jobs that were running when their process was killed. River alone would leave them for the
// timeout of their kind, here longer than the test waits.
func TestJobsOfTheDead(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, jobs.Migrate)
	long := quick
	long.Timeout = 10 * patience
	var ran received
	newReplica := func() *jobs.Registry {
		r := newRegistry(t, pool)
		jobs.Register(r, long, func(_ context.Context, job *river.Job[mailArgs]) error {
			ran.add(job.Args.OrderID)
			return nil
		})
		return r
	}
	insert(t, newReplica(), mailArgs{OrderID: "of a ghost"}, mailArgs{OrderID: "of the late"}, mailArgs{OrderID: "of the living"}, mailArgs{OrderID: "last attempt"})
	for _, statement := range []string{
		`INSERT INTO job_runners (id, heartbeat_time) VALUES ('late', now() - interval '9 seconds'), ('living', now() + interval '1 hour')`,
		`UPDATE river_job SET state = 'running', attempted_at = now(), attempt = 1, attempted_by = ARRAY['living',
			CASE args->>'order_id' WHEN 'of the late' THEN 'late' WHEN 'of the living' THEN 'living' ELSE 'ghost' END]`,
		`UPDATE river_job SET attempt = max_attempts WHERE args->>'order_id' = 'last attempt'`,
	} {
		if _, err := pool.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	start(t, newReplica())
	start(t, newReplica())
	eventually(t, "the jobs of the dead run", func() bool { return count(t, pool, `SELECT count(*) FROM river_job WHERE state = 'completed'`) >= 2 })
	got := ran.all()
	slices.Sort(got)
	if !slices.Equal(got, []string{"of a ghost", "of the late"}) {
		t.Errorf("ran %q", got)
	}
	if n := count(t, pool, `SELECT count(*) FROM river_job WHERE state = 'completed' AND attempt = 2 AND errors[1]->>'error' LIKE '%died'`); n != 2 {
		t.Errorf("%d jobs report that their process died, want 2", n)
	}
	if n := count(t, pool, `SELECT count(*) FROM river_job WHERE state = 'running'`); n != 2 {
		t.Errorf("%d jobs were left alone, want 2", n)
	}
}

// TestJobOfAnotherProcess is about a job that an idle process hears nothing of: who inserted it runs none, as a process that died, or has
// its hands full. A heartbeat finds it.
func TestJobOfAnotherProcess(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, jobs.Migrate)
	var ran received
	newReplica := func() *jobs.Registry {
		r := newRegistry(t, pool)
		jobs.Register(r, quick, func(_ context.Context, job *river.Job[mailArgs]) error {
			ran.add(job.Args.OrderID)
			return nil
		})
		return r
	}
	start(t, newReplica())
	insert(t, newReplica(), mailArgs{OrderID: "inserted elsewhere"})
	eventually(t, "the job runs", func() bool { return len(ran.all()) == 1 })
}
