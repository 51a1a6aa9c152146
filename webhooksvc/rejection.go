package webhooksvc

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/dayof/dayof/internal/chassis/alert"
	"github.com/dayof/dayof/internal/chassis/pgdb"
)

const (
	// rejectionWindow is the time over which refused deliveries are counted for an alert.
	rejectionWindow = 5 * time.Minute
	// rejectionQuiet is for how long nothing may be refused before the incident is over.
	rejectionQuiet = 15 * time.Minute
	// alertRejected is the alert about deliveries with bad signatures; its subject is the endpoint. Somebody knocks, or
	// Stripe signs with a secret that we do not have: then its events are lost after three days.
	alertRejected = "webhook_signatures_refused"
)

// rejections counts refused deliveries in memory until the next round, so that a flood of forged ones costs no writes of
// its own.
type rejections struct {
	mu     sync.Mutex
	counts map[string]int64 // by endpoint
}

func (r *rejections) add(endpoint string, count int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.counts == nil {
		r.counts = map[string]int64{}
	}
	r.counts[endpoint] += count
}

// take returns what was counted since the last time.
func (r *rejections) take() map[string]int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	counts := r.counts
	r.counts = nil
	return counts
}

// watchRejections writes down what this process refused, and raises one alert per endpoint and incident over all
// replicas: it is open from too many refused deliveries within the window until a quiet time is over. What was refused by
// a process that dies before its next round is not counted. An endpoint that cannot be dealt with does not stop the other one.
func (s *Service) watchRejections(ctx context.Context) error {
	now := s.Clock.Now()
	var errs []error
	for endpoint, count := range s.rejected.take() {
		if err := s.q.AddRejections(ctx, s.Pool, endpoint, now.Truncate(time.Minute), count); err != nil {
			s.rejected.add(endpoint, count) // for the next round
			errs = append(errs, fmt.Errorf("add rejections: %w", err))
		}
	}
	for _, endpoint := range []string{endpointAccount, endpointConnect} {
		errs = append(errs, s.evaluateRejections(ctx, endpoint, now))
	}
	if err := s.q.DeleteOldRejections(ctx, s.Pool, now.Add(-24*time.Hour)); err != nil {
		errs = append(errs, fmt.Errorf("delete old rejections: %w", err))
	}
	return errors.Join(errs...)
}

func (s *Service) evaluateRejections(ctx context.Context, endpoint string, now time.Time) error {
	since := now.Add(-rejectionWindow)
	recent, err := s.q.CountRejections(ctx, s.Pool, endpoint, since)
	if err != nil {
		return fmt.Errorf("count rejections: %w", err)
	}
	if recent >= int64(s.Config.RejectionAlert) {
		return alert.Raise(ctx, s.Pool, alertRejected, endpoint, map[string]any{
			"endpoint": endpoint, "refused": recent, "within_minutes": int(rejectionWindow / time.Minute),
		}, alert.Link(s.Config.ConsoleURL, "/webhooks"))
	}
	if recent > 0 {
		return nil
	}
	quiet, err := s.q.CountRejections(ctx, s.Pool, endpoint, now.Add(-rejectionQuiet))
	if err != nil || quiet > 0 {
		return err
	}
	return alert.Resolve(ctx, s.Pool, alertRejected, endpoint)
}

// endedEvents are events that were received and ended before a time. What is still to do, or needs a person, stays however old it is.
const endedEvents = "state in ('applied', 'ignored', 'rejected') and receive_time < $1 and end_time < $1"

// purge deletes events that ended long ago. Idempotent: repeated, or on two replicas at once, it deletes each row once.
func (s *Service) purge(ctx context.Context) error {
	before := s.Clock.Now().Add(-s.Config.Retention)
	_, err := pgdb.Purge(ctx, s.Pool, "webhook_events", endedEvents, before)
	return err
}
