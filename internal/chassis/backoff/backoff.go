// Package backoff says how long to wait before another attempt.
//
// The number of attempts is in a row or a loop of the caller, so a policy is a
// pure function of it. The arithmetic is github.com/cenkalti/backoff's.
package backoff

import (
	"time"

	exponential "github.com/cenkalti/backoff/v5"
)

// Policy doubles a delay from First up to Max.
type Policy struct {
	First time.Duration // after the first failed attempt
	Max   time.Duration
	// Jitter spreads attempts that failed together: a delay is between 1-Jitter
	// and 1+Jitter of what the doubling says. 0 is no jitter.
	Jitter float64
}

// Delay is the wait after failed attempt number attempt; 1 is the first, and less
// counts as 1.
func (p Policy) Delay(attempt int) time.Duration {
	b := exponential.ExponentialBackOff{
		InitialInterval: p.First, MaxInterval: p.Max, Multiplier: 2, RandomizationFactor: p.Jitter,
	}
	delay := b.NextBackOff()
	interval := p.First // what delay is before jitter
	for range attempt - 1 {
		if interval >= p.Max {
			break
		}
		interval *= 2
		delay = b.NextBackOff()
	}
	return delay
}

// Full returns a policy with full jitter: a delay is anywhere between nothing and
// what doubling from first up to most says. Use it for callers that nobody queues,
// so that those who failed together do not come back together.
func Full(first, most time.Duration) Policy {
	return Policy{First: first / 2, Max: most / 2, Jitter: 1}
}
