// Package stripeapi makes a Stripe client and classifies its errors.
package stripeapi

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	stripe "github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/client"

	"github.com/dayof/dayof/internal/chassis/breaker"
	"github.com/dayof/dayof/internal/chassis/config"
)

// idleTimeout closes connections to Stripe that nothing uses; callsMax is how many
// calls run at once, and how many connections are kept.
const (
	idleTimeout = 90 * time.Second
	callsMax    = 256
)

// timeoutDefault is how long a call may take when nobody says.
const timeoutDefault = 30 * time.Second

// Config says how to reach Stripe.
type Config struct {
	Key     config.Secret
	URL     string        // of the API: https://api.stripe.com
	Timeout time.Duration // of one call, default 30 s
	Limits  Limits        // of calls in a second; the zero value is none
	// Transport is for tests; nil is a transport that obeys the proxy of the
	// environment.
	Transport http.RoundTripper
	// Logger gets a line when the circuit breaker changes. Nil logs nothing.
	Logger *slog.Logger
}

// Client is stripe-go's client without global state and without its retries,
// whose sleeps ignore the context and whose keys would not survive a crash of
// ours, below Stripe's limits and behind circuit breakers: one of Stripe, and one of each Target.
type Client struct {
	*client.API

	limiter *limiter
	breaker *breaker.Breaker // of all calls: whether Stripe answers
	hasKey  bool
	timeout time.Duration
	places  chan struct{} // of calls that may outlive their callers
	logger  *slog.Logger

	mu      sync.Mutex
	targets map[endpoint]*breaker.Breaker // what Stripe answers; one for each that was called for
}

// Target is what Stripe limits and refuses together: one kind of an account's objects. Too many refunds stop no sale.
//
// Source: Stripe, "Rate limits", for limits by endpoint.
type Target struct {
	Account  string // a connected account; "" is the platform's own
	Objects  string // as the API's paths name them, such as refunds; "" where one is as good as another
	Priority Priority
}

// endpoint is a target without the priority of a call.
type endpoint struct{ account, objects string }

func (t Target) endpoint() endpoint { return endpoint{t.Account, t.Objects} }

// party is what logs call the target.
func (t Target) party() string {
	party := "stripe"
	if t.Objects != "" {
		party += " " + t.Objects
	}
	if t.Account != platform {
		party += " for " + t.Account
	}
	return party
}

// New returns a client. Without a key it can be made, but not used: see HasKey.
func New(c Config) *Client {
	transport := c.Transport
	if transport == nil {
		transport = &http.Transport{
			Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, MaxIdleConns: callsMax, MaxIdleConnsPerHost: callsMax, IdleConnTimeout: idleTimeout,
		}
	}
	if c.Timeout <= 0 {
		c.Timeout = timeoutDefault
	}
	httpClient := &http.Client{Timeout: c.Timeout, Transport: transport}
	backend := func() *stripe.BackendConfig { // a new value per backend: the library writes into it
		return &stripe.BackendConfig{
			URL:               new(strings.TrimSuffix(c.URL, "/")),
			HTTPClient:        httpClient,
			LeveledLogger:     &stripe.LeveledLogger{Level: stripe.LevelNull},
			MaxNetworkRetries: stripe.Int64(0),
			EnableTelemetry:   new(false),
		}
	}
	return &Client{
		hasKey:  c.Key.IsSet(),
		timeout: c.Timeout,
		places:  make(chan struct{}, callsMax),
		breaker: breaker.New(breaker.Config{Party: "stripe", Logger: c.Logger, IsFailure: unanswered}),
		logger:  c.Logger, targets: map[endpoint]*breaker.Breaker{},
		limiter: newLimiter(c.Limits, c.Logger),
		API: client.New(c.Key.Reveal(), &stripe.Backends{
			API:     stripe.GetBackendWithConfig(stripe.APIBackend, backend()),
			Connect: stripe.GetBackendWithConfig(stripe.ConnectBackend, backend()),
			Uploads: stripe.GetBackendWithConfig(stripe.UploadsBackend, backend()),
		}),
	}
}

// platform is the account of calls that are for no connected account.
const platform = ""

// IsAway says whether Stripe does not answer, or answers calls for some of the platform's own objects with failures alone.
func (c *Client) IsAway() bool {
	if c.breaker.IsAway() {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for target, b := range c.targets {
		if target.account == platform && b.IsAway() {
			return true
		}
	}
	return false
}

// breakerOf returns the circuit breaker of a target.
func (c *Client) breakerOf(target Target) *breaker.Breaker {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.targets[target.endpoint()]
	if b == nil {
		b = breaker.New(breaker.Config{Party: target.party(), Logger: c.logger, IsFailure: IsFailure})
		c.targets[target.endpoint()] = b
	}
	return b
}

// guarded runs f behind the circuit breakers of Stripe and of a target. What Stripe answers to calls for one target, too many
// requests or an error of its own, says nothing about the others; no answer does.
func (c *Client) guarded(ctx context.Context, target Target, f func(ctx context.Context) error) error {
	return c.breakerOf(target).Do(ctx, func(ctx context.Context) error {
		return c.breaker.Do(ctx, func(ctx context.Context) error { return withoutContent(f(ctx)) })
	})
}

// turn waits until the limits leave room for a call. While a breaker is open there is nothing to wait for.
func (c *Client) turn(ctx context.Context, target Target) error {
	if c.breaker.IsAway() || c.breakerOf(target).IsAway() {
		return nil
	}
	return c.limiter.wait(ctx, target)
}

// HasKey says whether there is a key to call with.
func (c *Client) HasKey() bool { return c.hasKey }

// Do runs f, which makes one call for a target, in its turn and behind the circuit breakers. Its parameters must
// carry ctx. The text of an error names class and code of a refusal and nothing that Stripe sent along. While a breaker is open
// the error is breaker.ErrOpen, and so is ErrLimited. It is for callers whose deadline is ours; see Call.
func (c *Client) Do(ctx context.Context, target Target, f func() error) error {
	if err := c.turn(ctx, target); err != nil {
		return err
	}
	return c.guarded(ctx, target, func(context.Context) error { return f() })
}

// Call runs f, which makes one call for a target with the context that it is given,
// in its turn and behind the circuit breakers. The call has the deadline of the configuration and no
// other, and only that one counts at the breaker: when ctx ends, Call returns
// its error, and the call goes on to its end without anybody waiting for it.
//
// At most 256 calls run at once; more wait. While a breaker is open the error
// is breaker.ErrOpen, and so is ErrLimited.
func Call[T any](ctx context.Context, c *Client, target Target, f func(ctx context.Context) (T, error)) (T, error) {
	var none T
	turn, cancel := context.WithTimeout(ctx, patience)
	err := c.turn(turn, target)
	cancel()
	if err != nil {
		return none, err
	}
	select {
	case c.places <- struct{}{}:
	case <-ctx.Done():
		return none, ctx.Err()
	}
	type answer struct {
		value T
		err   error
	}
	answered := make(chan answer, 1)
	callCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.timeout)
	go func() {
		defer func() { <-c.places }()
		defer cancel()
		var a answer
		defer func() {
			if value := recover(); value != nil {
				a = answer{err: fmt.Errorf("panic: %v\n%s", value, debug.Stack())}
			}
			answered <- a
		}()
		a.err = c.guarded(callCtx, target, func(ctx context.Context) (err error) {
			a.value, err = f(ctx)
			return err
		})
	}()
	select {
	case a := <-answered:
		return a.value, a.err
	case <-ctx.Done():
		return none, ctx.Err()
	}
}
