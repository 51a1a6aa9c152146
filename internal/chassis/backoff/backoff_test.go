package backoff_test

import (
	"testing"
	"time"

	"github.com/dayof/dayof/internal/chassis/backoff"
)

func TestDelay(t *testing.T) {
	t.Parallel()
	exact := backoff.Policy{First: time.Second, Max: 5 * time.Minute}
	for attempt, want := range map[int]time.Duration{
		-1: time.Second, 0: time.Second, 1: time.Second, 2: 2 * time.Second, 4: 8 * time.Second, 9: 256 * time.Second,
		10: 5 * time.Minute, 11: 5 * time.Minute, 1 << 40: 5 * time.Minute,
	} {
		if got := exact.Delay(attempt); got != want {
			t.Errorf("attempt %d: %s, want %s", attempt, got, want)
		}
	}
	if got := (backoff.Policy{First: time.Minute, Max: time.Second}).Delay(3); got > time.Minute {
		t.Errorf("a maximum below the first delay: %s", got)
	}
}

func TestJitter(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		policy      backoff.Policy
		least, most time.Duration // of the third delay
	}{
		"a fifth": {backoff.Policy{First: time.Second, Max: time.Minute, Jitter: 0.2}, 3200 * time.Millisecond, 4800 * time.Millisecond},
		"full":    {backoff.Full(time.Second, time.Minute), 0, 4 * time.Second},
	} {
		lowest, highest := tc.most, tc.least
		for range 10_000 {
			got := tc.policy.Delay(3)
			if got < tc.least || got > tc.most+1 {
				t.Fatalf("%s: %s, want %s to %s", name, got, tc.least, tc.most)
			}
			lowest, highest = min(lowest, got), max(highest, got)
		}
		if span := tc.most - tc.least; highest-lowest < span*9/10 {
			t.Errorf("%s: delays are within %s to %s only", name, lowest, highest)
		}
	}
}
