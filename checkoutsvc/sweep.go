package checkoutsvc

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
)

// dueWalksMax is how many due orders are leased and walked at once, so that each has its whole lease.
const dueWalksMax = 64

// sweepOrders walks the orders that are due: their walker died, or the backoff after a failure is over. Every replica
// does this; SKIP LOCKED and the lease keep them from doing the same work. When there are more than fit, the next ones
// follow at once: a replica that dies in the rush of a sale leaves hundreds of orders behind.
func (s *Service) sweepOrders(ctx context.Context) (int, error) {
	walked := 0
	for {
		n, err := s.walkDueOrders(ctx)
		walked += n
		if err != nil || n < dueWalksMax || ctx.Err() != nil {
			return walked, err
		}
	}
}

// walkDueOrders walks as many due orders as may be walked at once.
func (s *Service) walkDueOrders(ctx context.Context) (int, error) {
	due, err := s.q.ClaimDueOrders(ctx, s.Pool, s.Config.WalkLease.Seconds(), dueWalksMax)
	if err != nil {
		return 0, fmt.Errorf("claim due orders: %w", err)
	}
	var g errgroup.Group
	for _, claimed := range due {
		g.Go(func() error {
			o, err := readOrder(ctx, s.Pool, orderKey{ID: claimed.ID})
			if err != nil {
				return fmt.Errorf("read due order %s: %w", claimed.ID, err)
			}
			if o.Attempt == claimed.Attempt && o.inWalk() {
				s.walk(context.WithoutCancel(ctx), o)
			}
			return nil
		})
	}
	return len(due), g.Wait()
}
