package breaker_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dayof/dayof/internal/chassis/breaker"
)

var (
	errAway     = errors.New("no answer")
	errDeclined = errors.New("card declined")
)

func answer(err error) func(context.Context) error {
	return func(context.Context) error { return err }
}

func newBreaker(changes *[]string) *breaker.Breaker {
	return breaker.New(breaker.Config{
		Party: "stripe", Failures: 3, OpenFor: 10 * time.Second,
		IsFailure: func(err error) bool { return !errors.Is(err, errDeclined) },
		OnChange:  func(state string) { *changes = append(*changes, state) },
	})
}

func TestBreaker(t *testing.T) {
	t.Parallel()

	t.Run("opens on failures in a row, probes, closes", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			var changes []string
			b := newBreaker(&changes)
			for range 3 {
				if err := b.Do(t.Context(), answer(errAway)); !errors.Is(err, errAway) {
					t.Fatalf("got %v, want the call's own error", err)
				}
			}
			called := false
			err := b.Do(t.Context(), func(context.Context) error { called = true; return nil })
			if !errors.Is(err, breaker.ErrOpen) || called {
				t.Fatalf("open: got %v, called %v", err, called)
			}
			time.Sleep(b.OpenFor() + time.Millisecond) // synctest's clock
			if err := b.Do(t.Context(), answer(errAway)); !errors.Is(err, errAway) {
				t.Fatalf("probe: got %v", err)
			}
			if err := b.Do(t.Context(), answer(nil)); !errors.Is(err, breaker.ErrOpen) {
				t.Fatalf("after a failed probe: got %v", err)
			}
			time.Sleep(b.OpenFor() + time.Millisecond)
			for range 2 {
				if err := b.Do(t.Context(), answer(nil)); err != nil {
					t.Fatalf("after the party is back: %v", err)
				}
			}
			if got := b.State(); got != "closed" {
				t.Errorf("state %q", got)
			}
			want := []string{"open", "half-open", "open", "half-open", "closed"}
			if len(changes) != len(want) {
				t.Errorf("changes %v, want %v", changes, want)
			}
		})
	})

	t.Run("one call probes, the others are refused", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			var changes []string
			b := newBreaker(&changes)
			for range 3 {
				_ = b.Do(t.Context(), answer(errAway))
			}
			time.Sleep(b.OpenFor() + time.Millisecond)
			err := b.Do(t.Context(), func(ctx context.Context) error {
				if err := b.Do(ctx, answer(nil)); !errors.Is(err, breaker.ErrOpen) {
					t.Errorf("second call during the probe: got %v", err)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	})

	t.Run("the end of the caller's patience does not open it", func(t *testing.T) {
		t.Parallel()
		var changes []string
		b := newBreaker(&changes)
		impatient, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
		defer cancel()
		for range 10 {
			if err := b.Do(impatient, answer(errAway)); !errors.Is(err, errAway) {
				t.Fatalf("got %v, want the call's own error", err)
			}
		}
		if len(changes) != 0 || b.State() != "closed" {
			t.Errorf("changes %v, state %s", changes, b.State())
		}
	})

	t.Run("what speaks against the request does not open it", func(t *testing.T) {
		t.Parallel()
		var changes []string
		b := newBreaker(&changes)
		for range 10 {
			_ = b.Do(t.Context(), answer(errDeclined))
			_ = b.Do(t.Context(), answer(context.Canceled))
		}
		for range 2 {
			_ = b.Do(t.Context(), answer(errAway))
		}
		_ = b.Do(t.Context(), answer(nil)) // breaks the row
		for range 2 {
			_ = b.Do(t.Context(), answer(errAway))
		}
		if len(changes) != 0 || b.State() != "closed" {
			t.Errorf("changes %v, state %s", changes, b.State())
		}
		_ = b.Do(t.Context(), answer(context.DeadlineExceeded))
		if got := b.State(); got != "open" {
			t.Errorf("a timeout is a failure, but the state is %s", got)
		}
	})
}
