package rpc

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts calls. Labels are procedures of our schema and codes of the protocol, never ids.
type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	inFlight prometheus.Gauge
}

// newMetrics returns the metrics of registry and registers them if that was not done. Several services of one process
// may share a registry. Without a registry the numbers go nowhere.
func newMetrics(registry *prometheus.Registry) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rpc_requests_total",
			Help: "RPCs answered, by procedure and code.",
		}, []string{"procedure", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "rpc_request_seconds",
			Help:    "Time from the headers of an RPC to its answer.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"procedure"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "rpc_requests_in_flight",
			Help: "RPCs being served now.",
		}),
	}
	if registry == nil {
		return m
	}
	m.requests = register(registry, m.requests)
	m.seconds = register(registry, m.seconds)
	m.inFlight = register(registry, m.inFlight)
	return m
}

// register returns c, or the collector of that name that the registry already has.
func register[C prometheus.Collector](registry *prometheus.Registry, c C) C {
	err := registry.Register(c)
	if err == nil {
		return c
	}
	if already, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		if existing, same := already.ExistingCollector.(C); same {
			return existing
		}
	}
	panic("rpc: metric cannot be registered: " + err.Error())
}

func (m *metrics) ended(procedure, code string, took time.Duration) {
	m.requests.WithLabelValues(procedure, code).Inc()
	m.seconds.WithLabelValues(procedure).Observe(took.Seconds())
}
