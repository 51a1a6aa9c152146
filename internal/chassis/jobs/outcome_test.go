package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/riverqueue/river"

	"github.com/dayof/dayof/devenv/pgtest"
	"github.com/dayof/dayof/internal/chassis/breaker"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/jobs"
	"github.com/dayof/dayof/internal/chassis/problem"
)

func TestOutcome(t *testing.T) {
	t.Parallel()
	downstream := func(code connect.Code) error {
		return fmt.Errorf("record sale: %w", problem.NewDownstream("ledger", code, errors.New("cause")))
	}
	const (
		done    = "completed"
		waiting = "waiting"
		dead    = "dead"
	)
	cases := map[string]struct {
		errs     []error // of the attempts in order; then success
		state    string
		attempts int    // spent
		reason   string // of the dead letter
	}{
		"success":                            {errs: nil, state: done, attempts: 1},
		"an error is tried again":            {errs: []error{errors.New("a"), errors.New("b")}, state: done, attempts: 3},
		"a panic too":                        {errs: []error{nil}, state: done, attempts: 2},
		"exhausted":                          {errs: []error{errors.New("a"), errors.New("b"), errors.New("last")}, state: dead, attempts: 3, reason: "exhausted: last"},
		"cancelled":                          {errs: []error{fmt.Errorf("x: %w", jobs.Cancel(errors.New("no use")))}, state: dead, attempts: 1, reason: "cancelled: x: JobCancelError: no use"},
		"a short snooze spends nothing":      {errs: []error{jobs.Snooze(0), jobs.Snooze(0), jobs.Snooze(0), jobs.Snooze(0)}, state: done, attempts: 1},
		"a long snooze":                      {errs: []error{jobs.Snooze(time.Hour)}, state: waiting, attempts: 0},
		"an open breaker snoozes":            {errs: slices.Repeat([]error{fmt.Errorf("stripe: %w", breaker.ErrOpen)}, 100), state: waiting, attempts: 0},
		"a peer that is away is tried again": {errs: []error{downstream(connect.CodeUnavailable)}, state: done, attempts: 2},
		"a peer that broke too":              {errs: []error{downstream(connect.CodeInternal)}, state: done, attempts: 2},
		"a peer that refuses ends it":        {errs: []error{downstream(connect.CodeAlreadyExists)}, state: dead, attempts: 1, reason: "cancelled: record sale: call ledger: already_exists: cause"},
		"a problem of our own that refuses":  {errs: []error{problem.InvalidField("a", "b")}, state: dead, attempts: 1, reason: "cancelled: invalid_argument INVALID_FIELD: a: b"},
		"a problem of our own that may pass": {errs: []error{problem.New(connect.CodeAborted, "CONFLICT", "retry")}, state: done, attempts: 2},
		"the time a peer asks for is honoured": {
			errs:  []error{problem.NewDownstream("stripe", connect.CodeResourceExhausted, nil).WithRetryAfter(time.Hour)},
			state: waiting, attempts: 1,
		},
	}
	pool := pgtest.New(t, jobs.Migrate)
	r := newRegistry(t, pool)
	jobs.Register(r, quick, func(_ context.Context, job *river.Job[mailArgs]) error {
		errs := cases[job.Args.OrderID].errs
		run := len(job.Errors) + snoozes(job) // how often it ran before
		if run >= len(errs) {
			return nil
		}
		if errs[run] == nil {
			panic("as the case says")
		}
		return errs[run]
	})
	for name := range cases {
		insert(t, r, mailArgs{OrderID: name})
	}
	start(t, r)
	for name, tc := range cases {
		var state, reason string
		var attempts int
		eventually(t, name+": the job is "+tc.state, func() bool {
			err := pool.QueryRow(t.Context(), `
				SELECT CASE WHEN scheduled_at > now() + interval '1 second' THEN 'waiting' ELSE state::text END, attempt, ''
				FROM river_job WHERE args ->> 'order_id' = $1
				UNION ALL
				SELECT 'dead', attempts, reason || ': ' || error FROM dead_letters WHERE args ->> 'order_id' = $1`,
				name).Scan(&state, &attempts, &reason)
			if err != nil {
				t.Fatal(err)
			}
			return state == tc.state
		})
		if attempts != tc.attempts || reason != tc.reason {
			t.Errorf("%s: %d attempts spent, reason %q; want %d, %q", name, attempts, reason, tc.attempts, tc.reason)
		}
	}
	if n := count(t, pool, `
		SELECT count(*) FROM river_job
		WHERE state = 'retryable' AND scheduled_at - attempted_at >= interval '1 hour'`); n != 1 {
		t.Errorf("%d jobs wait as long as they were asked to, want 1", n)
	}
}

func snoozes(job *river.Job[mailArgs]) int {
	var metadata struct {
		Snoozes int `json:"snoozes"`
	}
	if err := unmarshal(job.Metadata, &metadata); err != nil {
		panic(err)
	}
	return metadata.Snoozes
}

// An attempt ends at its kind's timeout, not when River takes it for lost.
func TestTimeout(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, jobs.Migrate)
	r := newRegistry(t, pool)
	policy := quick
	policy.Timeout = 50 * time.Millisecond
	jobs.Register(r, policy, func(ctx context.Context, job *river.Job[mailArgs]) error {
		deadline, ok := ctx.Deadline()
		if rest := deadline.Sub(clock.System{}.Now()); !ok || rest > policy.Timeout {
			t.Errorf("%s left of %s", rest, policy.Timeout)
		}
		if job.Attempt == 1 {
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	})
	insert(t, r, mailArgs{})
	start(t, r)
	eventually(t, "the second attempt succeeds", func() bool {
		return count(t, pool, `SELECT count(*) FROM river_job WHERE state = 'completed' AND attempt = 2`) == 1
	})
}
