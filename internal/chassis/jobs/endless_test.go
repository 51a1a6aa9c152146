package jobs_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"connectrpc.com/connect"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/dayof/dayof/devenv/pgtest"
	"github.com/dayof/dayof/internal/chassis/jobs"
	"github.com/dayof/dayof/internal/chassis/problem"
)

// Endless work goes on after its attempts are used up, after panics and after answers that are final for others; it is reported as
// delayed from then on, and as done in the end. Only Cancel ends it.
func TestEndless(t *testing.T) {
	t.Parallel()
	final := problem.NewDownstream("ledger", connect.CodeFailedPrecondition, errors.New("no funds"))
	cases := map[string]struct {
		runs    []error // how the runs end, in their order; nil is a panic; then success
		delayed []string
		dead    bool
	}{
		"succeeds":                  {},
		"fails within its attempts": {runs: []error{errors.New("a"), errors.New("b")}, delayed: []string{"done"}},
		"fails beyond its attempts": {
			runs:    slices.Repeat([]error{errors.New("away")}, 3*quick.MaxAttempts),
			delayed: append(slices.Repeat([]string{"away"}, 2*quick.MaxAttempts+1), "done"),
		},
		"panics beyond its attempts": {runs: make([]error, 3*quick.MaxAttempts), delayed: []string{"done"}},
		"is refused":                 {runs: []error{final, final}, delayed: []string{final.Error(), final.Error(), "done"}},
		"is cancelled":               {runs: []error{jobs.Cancel(errors.New("no use"))}, dead: true},
	}
	pool := pgtest.New(t, jobs.Migrate)
	r := newRegistry(t, pool)
	var mu sync.Mutex
	ran, delayed := map[string]int{}, map[string][]string{}
	names := map[int64]string{}
	policy := quick
	policy.Endless = true
	policy.Delayed = func(_ context.Context, job *rivertype.JobRow, err error) error {
		mu.Lock()
		defer mu.Unlock()
		text := "done"
		if err != nil {
			text = err.Error()
		}
		delayed[names[job.ID]] = append(delayed[names[job.ID]], text)
		return nil
	}
	jobs.Register(r, policy, func(_ context.Context, job *river.Job[mailArgs]) error {
		mu.Lock()
		defer mu.Unlock()
		name := job.Args.OrderID
		run, ends := ran[name], cases[name].runs
		ran[name], names[job.ID] = run+1, name
		if run >= len(ends) {
			return nil
		}
		if ends[run] == nil {
			panic("at the disco")
		}
		return ends[run]
	})
	start(t, r)
	for name := range cases {
		if err := r.Insert(t.Context(), mailArgs{OrderID: name}); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range cases {
		table, letters := `select count(*) from river_job where state = 'completed' and args->>'order_id' = `, 0
		if c.dead {
			table, letters = `select count(*) from dead_letters where args->>'order_id' = `, 1
		}
		eventually(t, name, func() bool { return count(t, pool, table+"'"+name+"'") == 1 })
		mu.Lock()
		if got := delayed[name]; !slices.Equal(got, c.delayed) {
			t.Errorf("%s: reported %q, want %q", name, got, c.delayed)
		}
		mu.Unlock()
		if n := count(t, pool, `select count(*) from dead_letters where args->>'order_id' = '`+name+"'"); n != letters {
			t.Errorf("%s: %d dead letters", name, n)
		}
		if n := count(t, pool, `select coalesce(max(array_length(errors, 1)), 0) from river_job where args->>'order_id' = '`+name+"'"); n > 3*quick.MaxAttempts {
			t.Errorf("%s: the row keeps %d errors", name, n)
		}
	}
}
