package jobs_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dayof/dayof/devenv/pgtest"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/jobs"
)

// watched is a clock that counts how often it was read.
type watched struct {
	*clock.Fake

	times atomic.Int64
}

func (w *watched) Now() time.Time {
	w.times.Add(1)
	return w.Fake.Now()
}

func TestPeriodic(t *testing.T) {
	t.Parallel()

	t.Run("once per tick over all replicas, once after a long outage", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.New(t, jobs.Migrate)
		now := clock.NewFake(time.Date(2026, 5, 1, 12, 30, 0, 0, time.UTC))
		var ran received
		var clocks []*watched
		replica := func() *jobs.Registry {
			watch := &watched{Fake: now}
			clocks = append(clocks, watch)
			r := newRegistry(t, pool, func(config *jobs.Config) { config.Clock = watch })
			r.Periodic("report", time.Hour, func(context.Context) error {
				ran.add(now.Now().Format("15:04"))
				return nil
			})
			return r
		}
		noticed := func(what string, ticks int) {
			t.Helper()
			before := make([]int64, len(clocks))
			for i, watch := range clocks {
				before[i] = watch.times.Load()
			}
			for i, watch := range clocks { // the second one comes after the first is dealt with
				eventually(t, "every replica has checked for "+what, func() bool { return watch.times.Load() >= before[i]+2 })
			}
			eventually(t, what, func() bool {
				return count(t, pool, `SELECT count(*) FROM job_ticks`) == ticks &&
					count(t, pool, `SELECT count(*) FROM river_job WHERE state <> 'completed'`) == 0
			})
		}
		for range 3 {
			start(t, replica())
		}
		noticed("the tick of 12:00", 1)
		now.Advance(40 * time.Minute)
		noticed("the tick of 13:00", 2)
		now.Advance(10 * time.Hour) // nobody was there
		noticed("the tick of 23:00", 3)
		start(t, replica())
		noticed("nothing new", 3)
		now.Advance(time.Hour)
		noticed("the tick of midnight", 4)
		got := ran.all()
		want := []string{"12:30", "13:10", "23:10", "00:10"}
		if len(got) != len(want) {
			t.Fatalf("ran at %v, want %v", got, want)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("ran at %v, want %v", got, want)
			}
		}
	})

	t.Run("a tick during an unfinished run is passed over", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.New(t, jobs.Migrate)
		now := clock.NewFake(time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC))
		r := newRegistry(t, pool, func(config *jobs.Config) { config.Clock = now })
		running, release := make(chan struct{}, 10), make(chan struct{})
		r.Periodic("slow", time.Minute, func(ctx context.Context) error {
			running <- struct{}{}
			select {
			case <-release:
			case <-ctx.Done():
			}
			return nil
		})
		start(t, r)
		<-running
		now.Advance(time.Minute)
		eventually(t, "the second tick is noticed", func() bool { return count(t, pool, `SELECT count(*) FROM job_ticks`) == 2 })
		if n := count(t, pool, `SELECT count(*) FROM river_job`); n != 1 {
			t.Errorf("%d jobs, want 1", n)
		}
		close(release)
		eventually(t, "the first run is done", func() bool {
			return count(t, pool, `SELECT count(*) FROM river_job WHERE state = 'completed'`) == 1
		})
		now.Advance(time.Minute)
		<-running
		if due, err := jobs.Unfinished(t.Context(), pool, time.Hour); err != nil || len(due) != 0 {
			t.Errorf("periodic jobs count as work left to do: %v, %v", due, err)
		}
	})
}

func TestSweep(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, pgtest.New(t, jobs.Migrate))
	rounds := make(chan int)
	n := 0
	now := r.Sweep("unlucky", time.Hour, func(ctx context.Context) error {
		n++
		select {
		case rounds <- n:
		case <-ctx.Done():
		}
		switch n {
		case 1:
			panic("first round")
		case 2:
			return errors.New("second round")
		}
		return nil
	})
	start(t, r)
	for want := 1; want <= 3; want++ {
		if got := <-rounds; got != want {
			t.Errorf("round %d, want %d", got, want)
		}
		now()
		now() // asking twice is asking once
	}
}
