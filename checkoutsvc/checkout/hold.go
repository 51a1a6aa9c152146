package checkout

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/orderstore"
)

const (
	// dueHoldsMax is how many holds one sweep ends.
	dueHoldsMax = 200
	// expireTimeout bounds the end of one hold, whose order somebody else may have locked.
	expireTimeout = 10 * time.Second
	// failedHoldWait is the pause before a hold that could not be ended is tried again.
	failedHoldWait = time.Minute
)

// ExpireHolds ends the holds that have run out. Two replicas may do it at once: the order's lock lets one of them through,
// the other finds the hold ended. A hold that cannot be ended is left alone for a minute, so that it stops no other one; the
// error that is returned names it.
func (s *Service) ExpireHolds(ctx context.Context) error {
	now := s.Orders.Clock.Now()
	maps.DeleteFunc(s.failedHolds, func(_ string, next time.Time) bool { return !next.After(now) })
	due, err := s.q.ListDueHolds(ctx, s.Orders.Pool, s.ProcessingHoldMax.Seconds(), slices.AppendSeq([]string{}, maps.Keys(s.failedHolds)), dueHoldsMax)
	if err != nil {
		return fmt.Errorf("list due holds: %w", err)
	}
	var errs []error
	for _, id := range due {
		if err := s.expireHold(ctx, id); err != nil {
			if s.failedHolds == nil {
				s.failedHolds = map[string]time.Time{}
			}
			s.failedHolds[id] = now.Add(failedHoldWait)
			errs = append(errs, fmt.Errorf("expire hold of order %s: %w", id, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}

func (s *Service) expireHold(ctx context.Context, orderID string) error {
	ctx, cancel := context.WithTimeout(ctx, expireTimeout)
	defer cancel()
	_, _, err := s.Orders.Observe(ctx, orderstore.Key{ID: orderID}, nil, order.HoldEnd{})
	return err
}
