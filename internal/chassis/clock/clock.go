// Package clock is the only place that asks the machine what time it is.
//
// Everything that depends on time takes a Clock, so that a test can say when
// it is. Times are in UTC and in whole microseconds, because that is what
// Postgres keeps: a time that went through a row equals the one that was sent.
package clock

import (
	"sync"
	"time"
)

// Clock returns the time, in UTC and in whole microseconds.
type Clock interface {
	Now() time.Time
}

// System is the machine's clock.
type System struct{}

// Now returns the present instant without a monotonic reading, so that it
// compares equal to the same instant read back from a row.
func (System) Now() time.Time {
	return normalise(time.Now())
}

// Fake is a clock that moves only when a test says so. It may be used by several
// goroutines. The zero value stands at the zero time; use NewFake.
type Fake struct {
	mu  sync.Mutex
	now time.Time
}

// NewFake returns a clock that stands at t.
func NewFake(t time.Time) *Fake {
	return &Fake{now: normalise(t)}
}

// Now returns the instant the clock was last set to.
func (f *Fake) Now() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

// Advance moves the clock by d; a negative d moves it back.
func (f *Fake) Advance(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = normalise(f.now.Add(d))
}

// Set moves the clock to t.
func (f *Fake) Set(t time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = normalise(t)
}

// normalise strips the monotonic reading (Truncate does) and the time zone.
func normalise(t time.Time) time.Time {
	return t.UTC().Truncate(time.Microsecond)
}
