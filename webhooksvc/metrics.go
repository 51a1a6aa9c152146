package webhooksvc

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dayof/dayof/internal/chassis/alert"
)

// countInterval is how often a process counts the open events.
const countInterval = 30 * time.Second

// metrics counts deliveries and events. Labels are endpoints, results and types of our own lists, never ids.
type metrics struct {
	deliveries *prometheus.CounterVec
	ackSeconds prometheus.Histogram
	events     *prometheus.CounterVec
	lagSeconds prometheus.Histogram
	open       *prometheus.GaugeVec
}

func newMetrics(registry *prometheus.Registry) *metrics {
	m := &metrics{
		deliveries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "webhook_deliveries_total", Help: "Requests at the webhook endpoints, by what was answered.",
		}, []string{"endpoint", "result"}),
		ackSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "webhook_ack_seconds", Help: "Time from the headers of a delivery to its 200.",
			Buckets: []float64{.001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5},
		}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "webhook_event_tries_total", Help: "Tries to process an event, by type and the state it is in after.",
		}, []string{"type", "state"}),
		lagSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "webhook_event_applied_seconds", Help: "Time from the delivery or replay of an event until it was applied.",
			Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 15, 60, 300, 1800},
		}),
		open: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "webhook_events_open", Help: "Events that are still to do (received, deferred) or need a person (dead).",
		}, []string{"state"}),
	}
	if registry != nil {
		m.deliveries = register(registry, m.deliveries)
		m.ackSeconds = register(registry, m.ackSeconds)
		m.events = register(registry, m.events)
		m.lagSeconds = register(registry, m.lagSeconds)
		m.open = register(registry, m.open)
	}
	return m
}

// register returns c, or the collector of that name that another replica in this process registered.
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
	panic("webhooksvc: metric cannot be registered: " + err.Error())
}

func (m *metrics) delivered(endpoint, result string, took time.Duration) {
	m.deliveries.WithLabelValues(endpoint, result).Inc()
	if result == answerStored.result || result == answerDuplicate.result {
		m.ackSeconds.Observe(took.Seconds())
	}
}

func (m *metrics) processed(eventType, state string, lag time.Duration, known map[string]handler) {
	if _, ok := known[eventType]; !ok {
		eventType = "other" // Stripe's types are open-ended, and anybody may pick one
	}
	m.events.WithLabelValues(eventType, state).Inc()
	if state == stateApplied {
		m.lagSeconds.Observe(lag.Seconds())
	}
}

// Open counts the events that are still to do: received and waiting for a try, or deferred. Both zero mean that the
// inbox is idle.
func (s *Service) Open(ctx context.Context) (received, deferred int64, err error) {
	counts, err := s.q.CountOpenWebhookEvents(ctx, s.Pool)
	if err != nil {
		return 0, 0, fmt.Errorf("count open webhook events: %w", err)
	}
	return counts.Received, counts.Deferred, nil
}

// overdueAfter is after how long people hear of events that are due and that nobody tries. On a system that works it is milliseconds.
const overdueAfter = 5 * time.Minute

// watchOverdue tells people of events that are due and that nobody tries, such as when the database refuses it.
func (s *Service) watchOverdue(ctx context.Context) error {
	overdue, err := s.q.CountOverdueWebhookEvents(ctx, s.Pool, overdueAfter.Seconds())
	if err != nil {
		return fmt.Errorf("count overdue webhook events: %w", err)
	}
	if overdue == 0 {
		return alert.Resolve(ctx, s.Pool, alertDelayed, alertAllDelayed)
	}
	return alert.Raise(ctx, s.Pool, alertDelayed, alertAllDelayed, map[string]any{"events": overdue}, alert.Link(s.Config.ConsoleURL, "/webhooks"))
}

func (s *Service) countOpen(ctx context.Context) error {
	counts, err := s.q.CountOpenWebhookEvents(ctx, s.Pool)
	if err != nil {
		return fmt.Errorf("count open webhook events: %w", err)
	}
	s.metrics.open.WithLabelValues(stateReceived).Set(float64(counts.Received))
	s.metrics.open.WithLabelValues(stateDeferred).Set(float64(counts.Deferred))
	s.metrics.open.WithLabelValues(stateDead).Set(float64(counts.Dead))
	return nil
}
