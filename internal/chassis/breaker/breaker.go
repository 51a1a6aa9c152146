// Package breaker stops calling an outside party that does not answer.
//
// There is one Breaker per party and process (Stripe, the ledger, APNs, mail),
// around the call and outside of any retry. After a number of failures in a row
// it opens: calls are refused at once with ErrOpen, so that callers do not pile
// up behind timeouts. After a while single calls probe the party; one that
// succeeds closes it again. A job that meets ErrOpen snoozes, which costs it no
// attempt (package jobs).
package breaker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/sony/gobreaker/v2"
)

// ErrOpen is returned, wrapped with the party's name, instead of calling.
var ErrOpen = errors.New("circuit breaker is open")

const (
	// failuresDefault is how many failures in a row open a breaker: more than
	// the tries of one caller, so that it takes several callers to decide that
	// the party is unavailable.
	failuresDefault = 5
	// openDefault is how long an open breaker waits before it probes.
	openDefault = 5 * time.Second
)

// Config says whom the breaker guards and when it opens.
type Config struct {
	// Party is the outside party's name, for errors and logs.
	Party string
	// Failures in a row that open the breaker, default 5.
	Failures int
	// OpenFor is how long it stays open before one call may probe, default 5 s.
	OpenFor time.Duration
	// IsFailure separates errors that speak against the party (no answer, 5xx, 429)
	// from those that speak against the request (a card was declined). By
	// default every error is a failure. Once the caller's own context has ended,
	// an error is neither a failure nor a success: a caller that has no patience
	// says nothing about the party; neither does ErrOpen of a breaker within. So whoever calls gives the call a deadline of
	// its own, below the caller's.
	IsFailure func(err error) bool
	// Logger gets one line per change of state. Nil logs nothing.
	Logger *slog.Logger
	// OnChange, if set, is called at every change, with "closed", "half-open" or
	// "open"; it must not block.
	OnChange func(state string)
}

// Breaker guards one party. It may be used by many goroutines.
type Breaker struct {
	party   string
	openFor time.Duration
	circuit *gobreaker.CircuitBreaker[struct{}]
}

// New returns a closed breaker.
func New(config Config) *Breaker {
	failures, openFor := config.Failures, config.OpenFor
	if failures <= 0 {
		failures = failuresDefault
	}
	if openFor <= 0 {
		openFor = openDefault
	}
	isFailure := config.IsFailure
	if isFailure == nil {
		isFailure = func(error) bool { return true }
	}
	return &Breaker{
		party:   config.Party,
		openFor: openFor,
		circuit: gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
			Name:    config.Party,
			Timeout: openFor,
			ReadyToTrip: func(counts gobreaker.Counts) bool {
				return int64(counts.ConsecutiveFailures) >= int64(failures)
			},
			IsSuccessful: func(err error) bool { return err == nil || !isFailure(err) },
			IsExcluded: func(err error) bool {
				_, gone := errors.AsType[*callerGone](err)
				return gone || errors.Is(err, context.Canceled) || errors.Is(err, ErrOpen)
			},
			OnStateChange: onChange(config),
		}),
	}
}

func onChange(config Config) func(party string, from, to gobreaker.State) {
	return func(party string, from, to gobreaker.State) {
		if config.Logger != nil {
			level := slog.LevelInfo
			if to == gobreaker.StateOpen {
				level = slog.LevelWarn
			}
			config.Logger.LogAttrs(context.Background(), level, "circuit breaker changed",
				slog.String("party", party), slog.String("from", from.String()), slog.String("to", to.String()))
		}
		if config.OnChange != nil {
			config.OnChange(to.String())
		}
	}
}

// Do calls f unless the breaker is open, and returns f's error as it is. While
// the breaker is open, or another call is probing, it returns an error that
// wraps ErrOpen and f is not called.
func (b *Breaker) Do(ctx context.Context, f func(ctx context.Context) error) error {
	var called bool
	_, err := b.circuit.Execute(func() (struct{}, error) {
		called = true
		err := f(ctx)
		if err != nil && ctx.Err() != nil {
			err = &callerGone{err}
		}
		return struct{}{}, err
	})
	if !called {
		return fmt.Errorf("%s: %w", b.party, ErrOpen)
	}
	if gone, ok := errors.AsType[*callerGone](err); ok {
		return gone.error
	}
	return err
}

// callerGone is an error of a call whose caller does not wait any more.
type callerGone struct{ error }

// OpenFor is how long the breaker stays open: a good time to snooze.
func (b *Breaker) OpenFor() time.Duration { return b.openFor }

// IsAway says whether the party does not answer: the breaker is open, or the call that probes has not succeeded yet.
func (b *Breaker) IsAway() bool { return b.circuit.State() != gobreaker.StateClosed }

// State is "closed", "half-open" or "open".
func (b *Breaker) State() string { return b.circuit.State().String() }
