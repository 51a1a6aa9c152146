package jobs_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/dayof/dayof/devenv/pgtest"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/jobs"
	"github.com/dayof/dayof/internal/chassis/pgdb"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// patience is how long a test waits for something that must happen.
const patience = 3 * time.Minute

var quick = jobs.Policy{MaxAttempts: 3, Timeout: 10 * time.Second, Backoff: func(int) time.Duration { return time.Millisecond }}

// mailArgs is the kind of job that the tests insert.
type mailArgs struct {
	OrderID string `json:"order_id"`
}

func (mailArgs) Kind() string { return "mail" }

func newRegistry(tb testing.TB, pool *pgxpool.Pool, configure ...func(*jobs.Config)) *jobs.Registry {
	tb.Helper()
	config := jobs.Config{Logger: slog.New(slog.DiscardHandler), Clock: clock.System{}, PollOnly: true}
	for _, c := range configure {
		c(&config)
	}
	return jobs.New(pool, config)
}

// start runs the registry until the test ends.
func start(tb testing.TB, r *jobs.Registry) {
	tb.Helper()
	if err := r.Start(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := r.Stop(ctx); err != nil {
			tb.Error(err)
		}
	})
}

// eventually polls until condition is true.
func eventually(tb testing.TB, what string, condition func() bool) {
	tb.Helper()
	deadline := time.After(patience)
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for !condition() {
		select {
		case <-poll.C:
		case <-deadline:
			tb.Fatalf("did not happen within %s: %s", patience, what)
		}
	}
}

func count(tb testing.TB, pool *pgxpool.Pool, query string) int {
	tb.Helper()
	var n int
	if err := pool.QueryRow(tb.Context(), query).Scan(&n); err != nil {
		tb.Fatal(err)
	}
	return n
}

func insert(tb testing.TB, r *jobs.Registry, args ...river.JobArgs) {
	tb.Helper()
	if err := r.Insert(tb.Context(), args...); err != nil {
		tb.Fatal(err)
	}
}

// received collects what jobs did.
type received struct {
	mu    sync.Mutex
	items []string
}

func (r *received) add(item string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.items = append(r.items, item)
	return len(r.items)
}

func (r *received) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.items...)
}

func TestInsertTx(t *testing.T) {
	t.Parallel()

	t.Run("a job exists if and only if its fact does", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.New(t, jobs.Migrate)
		r := newRegistry(t, pool)
		var ran received
		jobs.Register(r, quick, func(_ context.Context, job *river.Job[mailArgs]) error {
			ran.add(job.Args.OrderID)
			return nil
		})
		start(t, r)
		errChanged := errors.New("changed my mind")
		err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
			if err := r.InsertTx(t.Context(), tx, mailArgs{OrderID: "rolled back"}); err != nil {
				return err
			}
			return errChanged
		})
		if !errors.Is(err, errChanged) {
			t.Fatal(err)
		}
		insert(t, r, mailArgs{OrderID: "committed"})
		eventually(t, "the committed job runs", func() bool { return len(ran.all()) > 0 })
		if n := count(t, pool, `SELECT count(*) FROM river_job`); n != 1 {
			t.Errorf("%d jobs, want 1", n)
		}
		if got := ran.all(); len(got) != 1 || got[0] != "committed" {
			t.Errorf("ran %v", got)
		}
	})

	t.Run("many jobs are one round trip without NOTIFY", func(t *testing.T) {
		t.Parallel()
		_, address := pgtest.NewNamed(t, "jobs", jobs.Migrate)
		var traced queries
		pool, err := pgdb.Open(t.Context(), address, pgdb.Options{Tracers: []pgx.QueryTracer{&traced}, MaxConns: 1})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(pool.Close)
		r := newRegistry(t, pool)
		jobs.Register(r, quick, func(context.Context, *river.Job[mailArgs]) error { return nil })
		insert(t, r, mailArgs{OrderID: "0"}) // River asks for the server's version once
		if got := strings.Join(traced.all(), "\n"); strings.Contains(got, "pg_notify(") {
			t.Errorf("the insert notifies:\n%s", got)
		}
		traced.forget()
		insert(t, r, mailArgs{OrderID: "1"}, mailArgs{OrderID: "2"}, jobs.At(time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC), mailArgs{OrderID: "3"}))
		got := traced.all()
		if len(got) != 3 || !strings.Contains(got[1], "INSERT INTO") {
			t.Errorf("statements, BEGIN and COMMIT included: %q", got)
		}
		if n := count(t, pool, `SELECT count(*) FROM river_job WHERE max_attempts = 3`); n != 4 {
			t.Errorf("%d jobs with their policy, want 4", n)
		}
		due, err := jobs.Unfinished(t.Context(), pool, time.Hour)
		if err != nil || len(due) != 3 {
			t.Errorf("due within the hour: %v, %v; want 3", due, err)
		}
	})

	t.Run("unknown kinds are refused", func(t *testing.T) {
		t.Parallel()
		r := newRegistry(t, pgtest.New(t, jobs.Migrate))
		if err := r.Insert(t.Context(), mailArgs{}); err == nil {
			t.Error("no error")
		}
		if err := r.Insert(t.Context()); err != nil {
			t.Errorf("no jobs: %v", err)
		}
	})
}

func TestRegister(t *testing.T) {
	t.Parallel()
	work := func(context.Context, *river.Job[mailArgs]) error { return nil }
	cases := map[string]func(r *jobs.Registry){
		"no attempts": func(r *jobs.Registry) { jobs.Register(r, jobs.Policy{Timeout: time.Second}, work) },
		"no timeout":  func(r *jobs.Registry) { jobs.Register(r, jobs.Policy{MaxAttempts: 1}, work) },
		"twice": func(r *jobs.Registry) {
			jobs.Register(r, quick, work)
			jobs.Register(r, quick, work)
		},
		"too late": func(r *jobs.Registry) {
			if _, err := r.Client(); err != nil {
				t.Error(err)
			}
			jobs.Register(r, quick, work)
		},
	}
	pool := pgtest.New(t, nil)
	for name, mistake := range cases {
		t.Run(name+" panics", func(t *testing.T) {
			t.Parallel()
			r := newRegistry(t, pool)
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			mistake(r)
		})
	}
}

func TestMigrate(t *testing.T) {
	t.Parallel()
	t.Run("many replicas at once", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.New(t, nil)
		errs := make(chan error)
		for range 8 {
			go func() { errs <- jobs.Migrate(t.Context(), pool) }()
		}
		for range 8 {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		if n := count(t, pool, `SELECT count(*) FROM dead_letters, alerts, job_ticks, river_job`); n != 0 {
			t.Errorf("%d rows", n)
		}
	})
}

func TestStop(t *testing.T) {
	t.Parallel()

	t.Run("waits for running jobs and can start again", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.New(t, jobs.Migrate)
		r := newRegistry(t, pool)
		running, release := make(chan struct{}), make(chan struct{})
		jobs.Register(r, quick, func(_ context.Context, job *river.Job[mailArgs]) error {
			if job.Args.OrderID == "slow" {
				close(running)
				<-release
			}
			return nil
		})
		if err := r.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		insert(t, r, mailArgs{OrderID: "slow"})
		<-running
		stopped := make(chan error)
		go func() { stopped <- r.Stop(context.WithoutCancel(t.Context())) }()
		select {
		case err := <-stopped:
			t.Fatalf("stopped while a job ran: %v", err)
		default:
		}
		close(release)
		if err := <-stopped; err != nil {
			t.Fatal(err)
		}
		if n := count(t, pool, `SELECT count(*) FROM river_job WHERE state = 'completed'`); n != 1 {
			t.Errorf("%d completed jobs, want 1", n)
		}
		start(t, r)
		insert(t, r, mailArgs{OrderID: "later"})
		eventually(t, "the second job is done", func() bool {
			return count(t, pool, `SELECT count(*) FROM river_job WHERE state = 'completed'`) == 2
		})
	})

	t.Run("an interrupted job keeps its attempts", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.New(t, jobs.Migrate)
		r := newRegistry(t, pool)
		running := make(chan struct{})
		jobs.Register(r, quick, func(ctx context.Context, _ *river.Job[mailArgs]) error {
			close(running)
			<-ctx.Done()
			return errors.New("cut off")
		})
		if err := r.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		insert(t, r, mailArgs{})
		<-running
		expired, cancel := context.WithCancel(t.Context())
		cancel()
		if err := r.Stop(expired); err != nil {
			t.Fatal(err)
		}
		if n := count(t, pool, `SELECT count(*) FROM river_job WHERE state = 'available' AND attempt = 0`); n != 1 {
			t.Errorf("%d jobs are available with all their attempts, want 1", n)
		}
	})
}

// queries is a tracer that keeps statements.
type queries struct{ received }

func (q *queries) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	q.add(data.SQL)
	return ctx
}

func (q *queries) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (q *queries) forget() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.items = nil
}

// TestStopLetsSweepsInsert has a sweep insert a job when it is stopped, as a periodic job may that is just due.
func TestStopLetsSweepsInsert(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, jobs.Migrate)
	r := newRegistry(t, pool)
	jobs.Register(r, quick, func(context.Context, *river.Job[mailArgs]) error { return nil })
	swept := make(chan struct{}, 1)
	r.Sweep("insert at the end", time.Hour, func(ctx context.Context) error {
		swept <- struct{}{}
		<-ctx.Done()
		return r.Insert(context.WithoutCancel(ctx), mailArgs{OrderID: "the last"})
	})
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-swept
	ended := make(chan error, 1)
	go func() { ended <- r.Stop(t.Context()) }()
	select {
	case err := <-ended:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(patience):
		t.Fatal("Stop and the sweep wait for each other")
	}
	if n := count(t, pool, `SELECT count(*) FROM river_job`); n != 1 {
		t.Errorf("%d jobs, want 1", n)
	}
}
