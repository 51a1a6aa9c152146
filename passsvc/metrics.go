package passsvc

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what an operator watches. A nil registry counts for nobody.
type metrics struct {
	fetches  *prometheus.CounterVec
	archives prometheus.Counter
	pushes   *prometheus.CounterVec
}

func newMetrics(registry *prometheus.Registry) *metrics {
	m := &metrics{
		fetches: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pass_fetches_total", Help: "Answers to devices that fetch a pass, by status.",
		}, []string{"status"}),
		archives: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "pass_archives_built_total", Help: "Packages that were built and signed; the rest came from memory.",
		}),
		pushes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pass_pushes_total", Help: "Answers of APNs to pushes, by what they mean.",
		}, []string{"outcome"}),
	}
	if registry != nil {
		registry.MustRegister(m.fetches, m.archives, m.pushes)
	}
	return m
}

func (m *metrics) fetched(status int) { m.fetches.WithLabelValues(strconv.Itoa(status)).Inc() }

func (m *metrics) pushed(v verdict) { m.pushes.WithLabelValues(v.String()).Inc() }
