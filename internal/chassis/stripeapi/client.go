// Package stripeapi makes a Stripe client and classifies its errors.
package stripeapi

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	stripe "github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/client"

	"github.com/dayof/dayof/internal/chassis/breaker"
	"github.com/dayof/dayof/internal/chassis/config"
)

// idleTimeout closes connections to Stripe that nothing uses; idleMax keeps as
// many as a page of parallel calls needs.
const (
	idleTimeout = 90 * time.Second
	idleMax     = 256
)

// Config says how to reach Stripe.
type Config struct {
	Key     config.Secret
	URL     string        // of the API: https://api.stripe.com
	Timeout time.Duration // of one call
	// Transport is for tests; nil is a transport that obeys the proxy of the
	// environment.
	Transport http.RoundTripper
	// Logger gets a line when the circuit breaker changes. Nil logs nothing.
	Logger *slog.Logger
}

// Client is stripe-go's client without global state and without its retries,
// whose sleeps ignore the context and whose keys would not survive a crash of
// ours, behind a circuit breaker.
type Client struct {
	*client.API

	breaker *breaker.Breaker
	hasKey  bool
}

// New returns a client. Without a key it can be made, but not used: see HasKey.
func New(c Config) *Client {
	transport := c.Transport
	if transport == nil {
		transport = &http.Transport{
			Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, MaxIdleConns: idleMax, MaxIdleConnsPerHost: idleMax, IdleConnTimeout: idleTimeout,
		}
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
		breaker: breaker.New(breaker.Config{Party: "stripe", Logger: c.Logger, IsFailure: IsFailure}),
		API: client.New(c.Key.Reveal(), &stripe.Backends{
			API:     stripe.GetBackendWithConfig(stripe.APIBackend, backend()),
			Connect: stripe.GetBackendWithConfig(stripe.ConnectBackend, backend()),
			Uploads: stripe.GetBackendWithConfig(stripe.UploadsBackend, backend()),
		}),
	}
}

// HasKey says whether there is a key to call with.
func (c *Client) HasKey() bool { return c.hasKey }

// Do runs f, which makes one call, behind the circuit breaker. Its parameters
// must carry ctx. The text of an error names class and code of a refusal and nothing that Stripe sent along. While the breaker is open the error wraps breaker.ErrOpen.
func (c *Client) Do(ctx context.Context, f func() error) error {
	return c.breaker.Do(ctx, func(context.Context) error { return withoutContent(f()) })
}
