package fulfilment

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dayof/dayof/checkoutsvc/order"
)

// Metrics are what an operator watches of attempts. Make them with NewMetrics.
type Metrics struct {
	attempts *prometheus.CounterVec
	seconds  prometheus.Histogram
}

// NewMetrics registers the metrics; a nil registry counts for nobody.
func NewMetrics(registry *prometheus.Registry) *Metrics {
	m := &Metrics{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "checkout_fulfilment_attempts_total",
			Help: "Attempts to fulfil an order, by result: completed, failed, or fenced when another attempt had the order.",
		}, []string{"result"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "checkout_fulfilment_attempt_seconds", Help: "How long attempts took, whatever their result.",
			Buckets: prometheus.ExponentialBuckets(0.005, 2, 11), // 5 ms to 5.1 s; an attempt ends after 6 s
		}),
	}
	if registry != nil {
		registry.MustRegister(m.attempts, m.seconds)
	}
	return m
}

// attempted counts an attempt that ended with err, nil when it completed the order.
func (m *Metrics) attempted(err error, took time.Duration) {
	result := "completed"
	switch {
	case errors.Is(err, order.ErrFenced):
		result = "fenced"
	case err != nil:
		result = "failed"
	}
	m.attempts.WithLabelValues(result).Inc()
	m.seconds.Observe(took.Seconds())
}
