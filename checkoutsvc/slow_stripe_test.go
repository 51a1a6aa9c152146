package checkoutsvc_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/dayof/dayof/checkoutsvc"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// gate stands between checkoutsvc and Stripe and holds requests back while it is closed.
type gate struct {
	open  atomic.Pointer[chan struct{}] // closed channel: requests pass
	calls atomic.Int64                  // that have arrived
}

// close holds back what arrives from now on, until the function that it returns is called.
func (g *gate) close() (open func()) {
	c := make(chan struct{})
	g.open.Store(&c)
	return func() { close(c) }
}

// through is an option that puts the gate in front of Stripe.
func (g *gate) through(t *testing.T) option {
	t.Helper()
	return func(c *checkoutsvc.Config) {
		target, err := url.Parse(c.StripeURL)
		if err != nil {
			t.Fatal(err)
		}
		proxy := httputil.NewSingleHostReverseProxy(target)
		c.StripeURL = serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			g.calls.Add(1)
			if open := g.open.Load(); open != nil {
				select {
				case <-*open:
				case <-r.Context().Done():
					return
				}
			}
			proxy.ServeHTTP(w, r)
		}))
	}
}

// shortWait is how long callers of these tests wait for Stripe: it is held back for longer, however long that takes.
const shortWait = 50 * time.Millisecond

// TestShortDeadlinesLeaveTheBreakerClosed has callers give up that waited for Stripe: others go on selling.
func TestShortDeadlinesLeaveTheBreakerClosed(t *testing.T) {
	var g gate
	w := newHarness(t, g.through(t))
	s := w.start("impatient", 1)
	open := g.close()
	for i := range 8 {
		ctx, cancel := context.WithTimeout(rpc.WithBearerToken(w.keyed(fmt.Sprintf("claim/%d", i)), s.GetOrderAccessToken()), shortWait)
		_, err := w.replicas[0].checkout.CompleteCheckout(ctx, &checkoutv1.CompleteCheckoutRequest{
			OrderId: s.GetOrder().GetId(), PaymentIntentId: s.GetPaymentIntentId(),
		})
		cancel()
		if err == nil {
			t.Fatal("a call succeeds without Stripe")
		}
	}
	open()
	w.start("after", 1)
}

// TestStartCheckoutThatIsCutOffGetsItsIntent has the buyer hang up while Stripe makes the intent: it is written down when it is
// there, so that the stock is not held for nothing, and a retry finds it.
func TestStartCheckoutThatIsCutOffGetsItsIntent(t *testing.T) {
	var g gate
	w := newHarness(t, g.through(t))
	open := g.close()
	ctx, cancel := context.WithCancel(w.keyed("cut-off"))
	failed := make(chan error, 1)
	go func() {
		_, err := w.replicas[0].checkout.StartCheckout(ctx, w.cart(1))
		failed <- err
	}()
	w.waitUntil("Stripe is asked", func() bool { return g.calls.Load() > 0 })
	cancel()
	if err := <-failed; err == nil {
		t.Fatal("a call succeeds without Stripe")
	}
	open()
	w.waitUntil("the intent is known", func() bool {
		return w.count("select count(*) from payment_intents where stripe_id is not null") == 1
	})
	calls := g.calls.Load()
	if s := w.start("nothing", 1); s.GetPaymentIntentId() == "" || g.calls.Load() != calls+1 {
		t.Errorf("another sale: %v", s)
	}
	res, err := w.replicas[0].checkout.StartCheckout(w.keyed("cut-off"), w.cart(1))
	if err != nil || res.GetPaymentIntentId() == "" || g.calls.Load() != calls+1 {
		t.Errorf("the retry: %v, %v, %d calls", res, err, g.calls.Load()-calls)
	}
}

// TestMadeUpIntentsCostFewCalls claims intents that are not the order's, and the order's own one again and again.
func TestMadeUpIntentsCostFewCalls(t *testing.T) {
	var g gate
	w := newHarness(t, g.through(t))
	s, other := w.start("claims", 1), w.start("other", 1)
	claim := func(key, intent string) error {
		ctx := rpc.WithBearerToken(w.keyed(key), s.GetOrderAccessToken())
		_, err := w.replicas[0].checkout.CompleteCheckout(ctx, &checkoutv1.CompleteCheckoutRequest{
			OrderId: s.GetOrder().GetId(), PaymentIntentId: intent,
		})
		return err
	}
	before := g.calls.Load()
	for i := range 100 {
		intent := fmt.Sprintf("pi_madeup%d", i)
		if i == 0 {
			intent = other.GetPaymentIntentId()
		}
		err := claim(fmt.Sprintf("made-up/%d", i), intent)
		if reason := problem.Reason(err); reason != "PAYMENT_INTENT_NOT_FOUND" && reason != "TOO_MANY_CLAIMS" {
			t.Fatalf("%s: %v", intent, err)
		}
	}
	// The minute of the limit may have changed once, here and below.
	if n := g.calls.Load() - before; n > 6 {
		t.Errorf("100 made-up intents cost %d calls at Stripe", n)
	}
	before = g.calls.Load()
	refused := 0
	for i := range 100 {
		err := claim(fmt.Sprintf("own/%d", i), s.GetPaymentIntentId())
		switch problem.Reason(err) {
		case "PAYMENT_NOT_SUCCEEDED":
		case "TOO_MANY_CLAIMS":
			refused++
			if problem.Code(err) != connect.CodeResourceExhausted || problem.RetryAfter(err) <= 0 {
				t.Fatalf("refused with %v", err)
			}
		default:
			t.Fatal(err)
		}
	}
	if n := g.calls.Load() - before; n > 60 || refused < 40 {
		t.Errorf("100 claims of one intent cost %d calls at Stripe, %d were refused", n, refused)
	}
	if err := claimOf(w, other); !strings.Contains(fmt.Sprint(err), "PAYMENT_NOT_SUCCEEDED") {
		t.Errorf("another order: %v", err)
	}
}

func claimOf(w *harness, s *checkoutv1.StartCheckoutResponse) error {
	ctx := rpc.WithBearerToken(w.keyed("claim/"+s.GetOrder().GetId()), s.GetOrderAccessToken())
	_, err := w.replicas[0].checkout.CompleteCheckout(ctx, &checkoutv1.CompleteCheckoutRequest{
		OrderId: s.GetOrder().GetId(), PaymentIntentId: s.GetPaymentIntentId(),
	})
	return err
}

// waitUntil polls until a condition holds.
func (w *harness) waitUntil(what string, ok func() bool) {
	w.t.Helper()
	deadline := time.After(patience)
	for !ok() {
		select {
		case <-deadline:
			w.t.Fatalf("gave up waiting until %s", what)
		case <-time.After(10 * time.Millisecond):
		}
	}
}
