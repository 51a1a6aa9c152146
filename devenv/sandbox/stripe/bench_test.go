package stripe_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	stripego "github.com/stripe/stripe-go/v76"

	"github.com/dayof/dayof/devenv/sandbox/stripe"
)

// BenchmarkSale is one sale from Stripe's side: create, confirm, read with the fee, three webhooks, over real sockets.
// A load test of the cluster must not be limited by it: more than 1,000 a second.
func BenchmarkSale(b *testing.B) {
	sink := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
	}))
	b.Cleanup(sink.Close)
	sb := newSandbox(b, func(c *stripe.Config) {
		c.WebhookEndpoints = []stripe.Endpoint{{URL: sink.URL, Secret: accountSecret}}
	})
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			pi := sb.newIntent()
			confirm := &stripego.PaymentIntentConfirmParams{PaymentMethod: new("pm_card_visa"), ReturnURL: new("https://x.example")}
			if _, err := sb.api.PaymentIntents.Confirm(pi.ID, confirm); err != nil {
				b.Errorf("confirm: %v", err)
			}
			sb.intent(pi.ID)
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "sales/s")
	b.StopTimer()
	sb.settled()
}
