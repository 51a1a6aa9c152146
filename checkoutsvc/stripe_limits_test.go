package checkoutsvc_test

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"

	"github.com/dayof/dayof/checkoutsvc"
	"github.com/dayof/dayof/internal/chassis/stripeapi"
)

// TestSalesStayBelowStripesLimits has more buyers at once than Stripe allows calls, at two replicas. They wait for their turn instead of
// being refused, and Stripe refuses nobody.
func TestSalesStayBelowStripesLimits(t *testing.T) {
	w := newHarness(t, func(c *checkoutsvc.Config) { c.StripeLimits = stripeapi.Limits{PerSecond: 100, PerEndpoint: 25} })
	w.control("PATCH", "/_sandbox/settings", map[string]any{"calls_per_second": 100, "calls_per_endpoint": 25})
	second := w.addReplica()
	if _, err := second.checkout.StartCheckout(w.keyed("first of the second"), w.cart(1)); err != nil { // it is known from now on
		t.Fatal(err)
	}
	w.start("first of the first", 1)
	var wg sync.WaitGroup
	for n := range 60 {
		wg.Go(func() {
			replica := w.replicas[n%2]
			if _, err := replica.checkout.StartCheckout(w.keyed(fmt.Sprintf("rush/%d", n)), w.cart(1)); err != nil {
				t.Errorf("buyer %d: %v", n, err)
			}
		})
	}
	wg.Wait()
	var requests []struct {
		Path   string `json:"path"`
		Status int    `json:"status"`
	}
	if err := json.Unmarshal(w.control("GET", "/_sandbox/requests", nil), &requests); err != nil {
		t.Fatal(err)
	}
	made := 0
	for _, r := range requests {
		if r.Status == 429 {
			t.Errorf("stripe refuses a call of %s", r.Path)
		} else if r.Path == "/v1/payment_intents" {
			made++
		}
	}
	if made != 62 {
		t.Errorf("%d payment intents of 62 orders", made)
	}
}
