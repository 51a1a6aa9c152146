package clock_test

import (
	"testing"
	"time"

	"github.com/dayof/dayof/internal/chassis/clock"
)

func TestClock(t *testing.T) {
	t.Parallel()

	t.Run("system time survives a Postgres row", func(t *testing.T) {
		t.Parallel()
		now := clock.System{}.Now()
		if now.Location() != time.UTC {
			t.Errorf("location %v, want UTC", now.Location())
		}
		if now != now.Round(0) || now.Nanosecond()%1000 != 0 {
			t.Errorf("%v has a monotonic reading or more than microseconds", now)
		}
	})

	t.Run("fake moves only when it is set", func(t *testing.T) {
		t.Parallel()
		berlin := time.FixedZone("CET", 3600)
		start := time.Date(2026, 3, 1, 20, 0, 0, 123456789, berlin)
		fake := clock.NewFake(start)
		want := time.Date(2026, 3, 1, 19, 0, 0, 123456000, time.UTC)
		if got := fake.Now(); got != want {
			t.Errorf("start: got %v, want %v", got, want)
		}
		fake.Advance(time.Minute)
		if got := fake.Now(); got != want.Add(time.Minute) {
			t.Errorf("advanced: got %v", got)
		}
		fake.Set(start)
		if got := fake.Now(); got != want {
			t.Errorf("set: got %v, want %v", got, want)
		}
	})
}
