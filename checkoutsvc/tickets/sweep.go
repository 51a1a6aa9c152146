package tickets

import (
	"context"
	"fmt"
	"slices"

	"github.com/dayof/dayof/checkoutsvc/order"
)

const (
	// dueTransfersMax is how many transfers one sweep ends, and duePageSize of how many orders in one transaction.
	dueTransfersMax, duePageSize = 2000, 100
)

// ExpireTransfers ends the transfers that have run out. Two replicas may do it at once: what one of them has locked, the other passes over.
func (s *Service) ExpireTransfers(ctx context.Context) error {
	ids, err := s.q.ListDueTransfers(ctx, s.Orders.Pool, dueTransfersMax)
	if err != nil {
		return fmt.Errorf("list due transfers: %w", err)
	}
	for page := range slices.Chunk(ids, duePageSize) {
		if err := s.Orders.ObserveAll(ctx, page, order.TransfersDue{}); err != nil {
			return fmt.Errorf("expire transfers: %w", err)
		}
	}
	return nil
}
