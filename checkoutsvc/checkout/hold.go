package checkout

import (
	"context"
	"fmt"

	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/orderstore"
)

// dueHoldsMax is how many holds one sweep ends.
const dueHoldsMax = 200

// ExpireHolds ends the holds that have run out. Two replicas may do it at once: the order's lock lets one of them through,
// the other finds the hold ended.
func (s *Service) ExpireHolds(ctx context.Context) error {
	due, err := s.q.ListDueHolds(ctx, s.Orders.Pool, dueHoldsMax)
	if err != nil {
		return fmt.Errorf("list due holds: %w", err)
	}
	for _, id := range due {
		if _, _, err := s.Orders.Observe(ctx, orderstore.Key{ID: id}, nil, order.HoldEnd{}); err != nil {
			return fmt.Errorf("expire hold of order %s: %w", id, err)
		}
	}
	return nil
}
