package ledgersvc

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/ledgersvc/journal"
)

// How posting an entry ended.
const (
	outcomePosted      = "posted"      // the ledger took it
	outcomeReadBack    = "read_back"   // it was found under its reference after an unknown or taken outcome
	outcomeReplayed    = "replayed"    // our copy had it
	outcomeRefused     = "refused"     // the ledger decided against it
	outcomeConflict    = "conflict"    // the reference holds something else
	outcomeUnavailable = "unavailable" // still unknown at the deadline
	outcomeFailed      = "failed"      // our own mistake, or our database
)

// metrics counts what happens at the ledger.
type metrics struct {
	posts     *prometheus.CounterVec
	seconds   prometheus.Histogram
	imbalance *prometheus.GaugeVec
}

func newMetrics(registry *prometheus.Registry) *metrics {
	m := &metrics{
		posts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ledger_posts_total", Help: "Entries asked for, by kind and outcome.",
		}, []string{"kind", "outcome"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "ledger_post_seconds", Help: "Time to post an entry, repeats and the copy included.",
			Buckets: []float64{.002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5},
		}),
		imbalance: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "ledger_imbalance_minor_units", Help: "Sum of all balances per asset at the last trial balance. Must be zero.",
		}, []string{"asset"}),
	}
	if registry != nil {
		registry.MustRegister(m.posts, m.seconds, m.imbalance)
	}
	return m
}

func (m *metrics) posted(kind ledgerv1.EntryKind, outcome string, took time.Duration) {
	m.posts.WithLabelValues(journal.KindName(kind), outcome).Inc()
	m.seconds.Observe(took.Seconds())
}
