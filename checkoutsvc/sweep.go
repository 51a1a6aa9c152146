package checkoutsvc

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
)

// dueWalksMax is how many due orders a replica walks at once: each is leased only when it is walked, so that it has its
// whole lease.
const dueWalksMax = 64

// sweepOrders walks the orders that are due: their walker died, or the backoff after a failure is over. Every replica
// does this; SKIP LOCKED and the lease keep them from doing the same work.
//
// It does not wait for the walks. A replica that dies in the rush of a sale leaves hundreds of orders behind, whose leases
// run out one after the other; those of the next moment must not wait for the walks of this one.
func (s *Service) sweepOrders(ctx context.Context) (int, error) {
	free := dueWalksMax - int(s.dueWalks.Load()) // only this goroutine makes them more
	if free <= 0 {
		return 0, nil
	}
	due, err := s.q.ClaimDueOrders(ctx, s.Pool, s.Config.WalkLease.Seconds(), int32(free))
	if err != nil {
		return 0, fmt.Errorf("claim due orders: %w", err)
	}
	s.dueWalks.Add(int64(len(due)))
	for _, claimed := range due {
		s.walks.Go(func() {
			defer s.dueWalks.Add(-1)
			s.walkDue(context.WithoutCancel(ctx), claimed)
		})
	}
	return len(due), nil
}

// walkDue walks an order that was leased to this replica. When it cannot be read, the lease runs out and somebody tries
// again.
func (s *Service) walkDue(ctx context.Context, claimed checkoutdb.ClaimDueOrdersRow) {
	ctx, cancel := context.WithTimeout(ctx, s.Config.WalkLease)
	defer cancel()
	o, err := readOrder(ctx, s.Pool, orderKey{ID: claimed.ID})
	if err != nil {
		s.Logger.LogAttrs(ctx, slog.LevelWarn, "due order not read", slog.String("order_id", claimed.ID), slog.Any("error", err))
		return
	}
	if o.Attempt == claimed.Attempt && o.inWalk() {
		s.walk(ctx, o)
	}
}
