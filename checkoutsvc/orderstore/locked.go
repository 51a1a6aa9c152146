package orderstore

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/checkoutsvc/order"
)

// lockInOrderSQL locks several orders and waits for them, in the order of their ids, so that two callers cannot block each other.
const lockInOrderSQL = `select id from orders where id = any($1) order by id for update`

// Lock locks orders in the caller's transaction and loads them in the same flush, behind the locks, by their ids. Ids that are no order's
// are passed over.
func (s *Store) Lock(ctx context.Context, tx pgx.Tx, ids []string) (map[string]*order.Order, error) {
	var orders []order.Order
	b := &pgx.Batch{}
	b.Queue(lockInOrderSQL, ids)
	b.Queue(selectOrdersSQL, ids).Query(func(rows pgx.Rows) (err error) {
		orders, err = collectOrders(rows)
		return err
	})
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return nil, fmt.Errorf("lock orders: %w", err)
	}
	locked := make(map[string]*order.Order, len(orders))
	for i := range orders {
		locked[orders[i].ID] = &orders[i]
	}
	return locked, nil
}

// Observation is a fact about an order.
type Observation struct {
	OrderID string
	Fact    order.Fact
}

// ObserveLocked has orders that Lock has locked observe facts, one after the other, and writes what changed in one flush. The orders are then
// as the facts leave them.
func (s *Store) ObserveLocked(ctx context.Context, tx pgx.Tx, locked map[string]*order.Order, observations []Observation) error {
	if len(observations) == 0 {
		return nil
	}
	w := s.newWrites(s.Clock.Now())
	for _, seen := range observations {
		o, _, err := s.observe(ctx, tx, w, *locked[seen.OrderID], seen.Fact)
		if err != nil {
			return err
		}
		*locked[seen.OrderID] = o
	}
	return w.flush(ctx, tx)
}
