package passsvc

import (
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what an operator watches. A nil registry counts for nobody.
type metrics struct {
	fetches  map[int]prometheus.Counter // by the statuses that servePass answers with
	archives prometheus.Counter
	pushes   *prometheus.CounterVec
}

func newMetrics(registry *prometheus.Registry) *metrics {
	fetches := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "pass_fetches_total", Help: "Answers to devices that fetch a pass, by status.",
	}, []string{"status"})
	m := &metrics{
		fetches: map[int]prometheus.Counter{},
		archives: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "pass_archives_built_total", Help: "Packages that were built and signed; the rest came from memory.",
		}),
		pushes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pass_pushes_total", Help: "Answers of APNs to pushes, by what they mean.",
		}, []string{"outcome"}),
	}
	for _, status := range []int{http.StatusOK, http.StatusNotModified, http.StatusUnauthorized, http.StatusServiceUnavailable} {
		m.fetches[status] = fetches.WithLabelValues(strconv.Itoa(status))
	}
	if registry != nil {
		registry.MustRegister(fetches, m.archives, m.pushes)
	}
	return m
}

func (m *metrics) fetched(status int) { m.fetches[status].Inc() }

func (m *metrics) pushed(o outcome) { m.pushes.WithLabelValues(o.String()).Inc() }
