package orderstore

import (
	"context"
	"fmt"
)

// orderMarkersSQL reads which versions of its rows each order consists of: a row that was written by another transaction than before
// has another xmin.
const orderMarkersSQL = `select o.id, concat_ws(' ', o.xmin, h.xmin,
		(select string_agg(c.xmin::text, ' ' order by c.id) from tickets c where c.order_id = o.id), '|',
		(select string_agg(c.xmin::text, ' ' order by c.id) from payment_intents c where c.order_id = o.id), '|',
		(select string_agg(c.xmin::text, ' ' order by c.id) from refunds c where c.order_id = o.id), '|',
		(select string_agg(c.xmin::text, ' ' order by c.id) from disputes c where c.order_id = o.id), '|',
		(select string_agg(c.xmin::text, ' ' order by c.id) from ticket_transfers c where c.order_id = o.id))
	from orders o left join holds h on h.order_id = o.id where o.id = any($1)`

// ReadMarkers returns a text for each order, which is another one once anything of the order has changed. It costs a fraction of
// loading the orders. Ids that are no order's are passed over.
func (s *Store) ReadMarkers(ctx context.Context, ids []string) (map[string]string, error) {
	rows, err := s.Pool.Query(ctx, orderMarkersSQL, ids)
	if err != nil {
		return nil, fmt.Errorf("read markers: %w", err)
	}
	defer rows.Close()
	markers := make(map[string]string, len(ids))
	for rows.Next() {
		var id, marker string
		if err := rows.Scan(&id, &marker); err != nil {
			return nil, fmt.Errorf("read markers: %w", err)
		}
		markers[id] = marker
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read markers: %w", err)
	}
	return markers, nil
}
