package stripeapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/dayof/dayof/internal/chassis/breaker"
	"github.com/dayof/dayof/internal/chassis/config"
)

// ErrLimited is returned, wrapped, instead of a call that Stripe's limits leave no room for. Nothing was tried, so it is a
// breaker.ErrOpen to those who ask.
var ErrLimited = errors.New("more calls than stripe allows")

// Priority says which calls go first when there are more than the limits allow.
type Priority int

const (
	// First is what somebody waits for.
	First Priority = iota
	// Second is what somebody is owed who does not wait.
	Second
	// Last is what will be known in another way, too: lists, and objects that are looked up.
	Last
)

// shares are the parts of all calls that a priority takes at most. What the others leave, half at least, is for the first.
var shares = [...]float64{First: 1, Second: 0.3, Last: 0.2}

// burstShare is the part of a second's calls that may be made at once; the others are spread, so that no second has more calls than
// the limit, whenever it begins.
const burstShare = 0.2

// patience is for how long Call waits for the turn of a call; Do waits until its context ends.
const patience = 5 * time.Second

// Limits are how many calls a service makes in a second, all its replicas together.
//
// Source: Stripe, "Rate limits": 100 calls a second in live mode and 25 in test mode, and 25 for each endpoint.
type Limits struct {
	PerSecond   float64 // of all calls; 0 is no limit
	PerEndpoint float64 // of the calls for one Target; 0 is no limit
	// Replicas says how many replicas share the limits now. Nil: one.
	Replicas func(ctx context.Context) int
}

// LoadLimits reads what Stripe allows the account; share is the part of all calls that a service may make of it.
func LoadLimits(l *config.Loader, share float64) Limits {
	return Limits{
		PerSecond: share * float64(l.Int("DAYOF_STRIPE_CALLS_PER_SECOND", 100,
			"calls that Stripe allows the account in a second, 25 in its test mode; checkoutsvc makes 70 % of them, webhooksvc 20 % and ledgersvc 10 %; 0 is no limit")),
		PerEndpoint: float64(l.Int("DAYOF_STRIPE_CALLS_PER_ENDPOINT", 25,
			"calls of one kind, such as new payment intents, that Stripe allows an account in a second; more sales than this need a higher limit from Stripe; 0 is no limit")),
	}
}

// limiter makes calls wait for their turn.
type limiter struct {
	limits Limits
	logger *slog.Logger
	logged rate.Sometimes

	mu         sync.Mutex
	replicas   int
	priorities [Last + 1]*line // the first is of all calls
	targets    map[endpoint]*line
}

func newLimiter(limits Limits, logger *slog.Logger) *limiter {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	l := &limiter{limits: limits, logger: logger, logged: rate.Sometimes{Interval: time.Minute}, targets: map[endpoint]*line{}}
	l.divide(1)
	return l
}

// wait returns when it is the turn of a call, or at once with ErrLimited when ctx ends before that.
func (l *limiter) wait(ctx context.Context, target Target) error {
	if l.limits.PerSecond <= 0 && l.limits.PerEndpoint <= 0 {
		return nil
	}
	for _, line := range l.linesOf(ctx, target) {
		if err := line.wait(ctx); errors.Is(err, context.Canceled) {
			return err
		} else if err != nil {
			l.logged.Do(func() {
				l.logger.WarnContext(ctx, "calls of stripe wait for longer than their callers: Stripe's limits are reached", slog.String("calls", target.party()))
			})
			return &limitedError{target: target}
		}
	}
	return nil
}

// linesOf returns the lines that a call stands in, that of all calls at last: who waits in another one takes no turn from the others.
func (l *limiter) linesOf(ctx context.Context, target Target) []*line {
	replicas := 1
	if l.limits.Replicas != nil {
		replicas = max(1, l.limits.Replicas(ctx))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if replicas != l.replicas {
		l.divide(replicas)
	}
	of := l.targets[target.endpoint()]
	if of == nil {
		of = newLine(l.limits.PerEndpoint, replicas)
		l.targets[target.endpoint()] = of
	}
	if target.Priority == First {
		return []*line{of, l.priorities[First]}
	}
	return []*line{of, l.priorities[target.Priority], l.priorities[First]}
}

// divide makes the limits one replica's part of them.
func (l *limiter) divide(replicas int) {
	l.replicas = replicas
	for priority, share := range shares {
		if l.priorities[priority] == nil {
			l.priorities[priority] = newLine(l.limits.PerSecond*share, replicas)
		} else {
			l.priorities[priority].set(l.limits.PerSecond*share, replicas)
		}
	}
	for _, of := range l.targets {
		of.set(l.limits.PerEndpoint, replicas)
	}
}

// line is where calls wait for one limit, in the order in which they come. Only the one at its head has a claim on the limit: a
// caller that leaves takes no turn with it.
type line struct {
	head  chan struct{}
	limit *rate.Limiter
}

func newLine(limit float64, replicas int) *line {
	return &line{head: make(chan struct{}, 1), limit: rate.NewLimiter(perSecond(limit, replicas))}
}

func (l *line) wait(ctx context.Context) error {
	select {
	case l.head <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-l.head }()
	return l.limit.Wait(ctx)
}

func (l *line) set(limit float64, replicas int) {
	each, burst := perSecond(limit, replicas)
	l.limit.SetLimit(each)
	l.limit.SetBurst(burst)
}

// perSecond is a replica's part of a limit: how many calls a second, and how many of them at once.
func perSecond(limit float64, replicas int) (rate.Limit, int) {
	if limit <= 0 {
		return rate.Inf, 0
	}
	own := limit / float64(replicas)
	burst := max(1, int(own*burstShare))
	return rate.Limit(max(own-float64(burst), own/2)), burst
}

// limitedError is ErrLimited for a target.
type limitedError struct{ target Target }

func (e *limitedError) Error() string { return fmt.Sprintf("%s: %v", e.target.party(), ErrLimited) }

// Is implements the interface of errors.Is.
func (e *limitedError) Is(target error) bool {
	return target == ErrLimited || target == breaker.ErrOpen
}
