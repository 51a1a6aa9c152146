package stripeapi_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	stripe "github.com/stripe/stripe-go/v76"

	"github.com/dayof/dayof/internal/chassis/breaker"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/config"
	"github.com/dayof/dayof/internal/chassis/stripeapi"
)

// now is the time in a test's bubble.
func now() time.Time { return clock.System{}.Now() }

// arrivals is a Stripe that answers at once and notes when each call came.
type arrivals struct {
	mu    sync.Mutex
	calls map[string][]time.Time // by path
}

// RoundTrip implements http.RoundTripper.
func (a *arrivals) RoundTrip(r *http.Request) (*http.Response, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls[r.URL.Path] = append(a.calls[r.URL.Path], now())
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Request: r, Body: io.NopCloser(strings.NewReader(`{"id": "x_1"}`))}, nil
}

// most returns the largest number of calls in any second.
func most(calls []time.Time) int {
	largest := 0
	for i, first := range calls {
		n := 0
		for _, c := range calls[i:] {
			if c.Sub(first) < time.Second {
				n++
			}
		}
		largest = max(largest, n)
	}
	return largest
}

func (a *arrivals) client(limits stripeapi.Limits) *stripeapi.Client {
	return stripeapi.New(stripeapi.Config{Key: config.NewSecret("sk_test_1"), URL: "http://stripe.test", Transport: a, Limits: limits})
}

// get makes one call of a charge or, with a path of its own, of a dispute.
func get(ctx context.Context, c *stripeapi.Client, target stripeapi.Target) error {
	_, err := stripeapi.Call(ctx, c, target, func(ctx context.Context) (any, error) {
		if target.Objects == "disputes" {
			params := &stripe.DisputeParams{}
			params.Context = ctx
			return c.Disputes.Get("x_1", params)
		}
		params := &stripe.ChargeParams{}
		params.Context = ctx
		return c.Charges.Get("x_1", params)
	})
	return err
}

// TestLimits calls from two replicas more often than Stripe allows. No second has more calls than that, all but what waits too
// long is called, and what is not called says that nothing was tried.
func TestLimits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := &arrivals{calls: map[string][]time.Time{}}
		limits := stripeapi.Limits{PerSecond: 100, PerEndpoint: 25, Replicas: func(context.Context) int { return 2 }}
		var wg sync.WaitGroup
		var mu sync.Mutex
		limited := 0
		for range 2 {
			c := server.client(limits)
			for _, objects := range []string{"charges", "disputes"} {
				for range 100 {
					wg.Go(func() {
						err := get(t.Context(), c, stripeapi.Target{Objects: objects})
						mu.Lock()
						defer mu.Unlock()
						switch {
						case err == nil:
						case errors.Is(err, stripeapi.ErrLimited) && errors.Is(err, breaker.ErrOpen) && stripeapi.Away(err) && stripeapi.Status(err) == 0:
							limited++
						default:
							t.Errorf("a call ends with %v", err)
						}
					})
				}
			}
		}
		wg.Wait()
		made := 0
		for path, calls := range server.calls {
			made += len(calls)
			if n := most(calls); n > 25 || n < 20 {
				t.Errorf("%s: %d calls in one second", path, n)
			}
		}
		if made+limited != 400 || made < 200 {
			t.Errorf("%d calls were made and %d not", made, limited)
		}
	})
}

// TestFirstComesFirst lets many calls of a lower priority wait and then makes some of the first.
func TestFirstComesFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := &arrivals{calls: map[string][]time.Time{}}
		c := server.client(stripeapi.Limits{PerSecond: 100})
		var wg sync.WaitGroup
		for range 500 {
			wg.Go(func() {
				err := get(t.Context(), c, stripeapi.Target{Objects: "disputes", Priority: stripeapi.Second})
				if err != nil && !errors.Is(err, stripeapi.ErrLimited) {
					t.Error(err)
				}
			})
		}
		synctest.Wait() // all wait
		began := now()
		for range 60 {
			wg.Go(func() {
				if err := get(t.Context(), c, stripeapi.Target{Objects: "charges"}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		first := server.calls["/v1/charges/x_1"]
		if took := first[len(first)-1].Sub(began); len(first) != 60 || took > 1200*time.Millisecond {
			t.Errorf("%d of 60 calls after %s", len(first), took)
		}
		if n := len(server.calls["/v1/disputes/x_1"]); n > 150 || n < 100 {
			t.Errorf("%d calls of the lower priority in the five seconds that they wait, want 30 a second at most", n)
		}
	})
}

// TestNoTurnWhileStripeIsAway: calls are refused at once while the breaker is open, however many wait for their turn.
func TestNoTurnWhileStripeIsAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := stripeapi.New(stripeapi.Config{
			Key: config.NewSecret("sk_test_1"), URL: "http://stripe.test", Transport: failing{}, Limits: stripeapi.Limits{PerSecond: 10},
		})
		for range 5 {
			if err := get(t.Context(), c, stripeapi.Target{}); !stripeapi.Away(err) || errors.Is(err, breaker.ErrOpen) {
				t.Errorf("a call that gets no answer: %v", err)
			}
		}
		began := now()
		for range 100 {
			if err := get(t.Context(), c, stripeapi.Target{}); !errors.Is(err, breaker.ErrOpen) || errors.Is(err, stripeapi.ErrLimited) {
				t.Errorf("a call while the breaker is open: %v", err)
			}
		}
		if took := now().Sub(began); took > 0 {
			t.Errorf("they waited %s", took)
		}
	})
}

// TestWhoLeavesTakesNoTurn ends callers while they wait: the calls of others are made no later for it.
func TestWhoLeavesTakesNoTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := &arrivals{calls: map[string][]time.Time{}}
		c := server.client(stripeapi.Limits{PerSecond: 10})
		ctx, leave := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() { _ = get(ctx, c, stripeapi.Target{Objects: "disputes"}) })
		}
		synctest.Wait()
		leave()
		wg.Wait()
		began := now()
		if err := get(t.Context(), c, stripeapi.Target{Objects: "charges"}); err != nil || now().Sub(began) > 200*time.Millisecond {
			t.Errorf("%v after %s", err, now().Sub(began))
		}
	})
}

// failing is a Stripe that does not answer.
type failing struct{}

// RoundTrip implements http.RoundTripper.
func (failing) RoundTrip(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF }
