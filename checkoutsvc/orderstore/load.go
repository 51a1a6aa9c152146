package orderstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/checkoutsvc/order"
)

// orderIDSQL is the id of the order of a Key: $1 our id, $2 the account, $3 the intent.
const orderIDSQL = `coalesce((select order_id from payment_intents where stripe_id = nullif($3, '') and stripe_account = $2), $1)`

// The statements that load an order. The lock comes first, in a statement of its own, so that the other reads what the
// last holder committed: each statement of a transaction has a snapshot of its own (read committed).
//
// All that hangs on an order is read as one JSON object: nine statements less for each load, of which a sale needs ten.
const (
	lockOrderSQL   = `select from orders where id = ` + orderIDSQL + ` for update`
	selectOrderSQL = orderSQL + ` where o.id = ` + orderIDSQL
	// lockOrdersSQL locks those of several orders that nobody else has locked.
	lockOrdersSQL = `select id from orders where id = any($1) for update skip locked`
	// selectOrdersSQL loads several orders, the newest first.
	selectOrdersSQL = orderSQL + ` where o.id = any($1) order by o.create_time desc, o.id desc`
	orderSQL        = `select json_build_object(
		'order', to_json(o),
		'lines', (select json_agg(c order by c.position) from order_lines c where c.order_id = o.id),
		'hold', case when h.order_id is not null then to_json(h) end,
		'hold_due', h.expire_time <= now(),
		'hold_overdue_seconds', extract(epoch from now() - h.expire_time)::float8,
		'fulfilling_seconds', extract(epoch from now() - o.fulfilment_start_time)::float8,
		'tickets', (select json_agg(c order by c.position) from tickets c where c.order_id = o.id),
		'intents', (select json_agg(c order by c.number) from payment_intents c where c.order_id = o.id),
		'refunds', (select json_agg(c order by c.create_time, c.id) from refunds c where c.order_id = o.id),
		'disputes', (select json_agg(c order by c.create_time, c.id) from disputes c where c.order_id = o.id),
		'funds', (select json_agg(c order by c.funds_time, c.balance_transaction_id) from dispute_funds c where c.order_id = o.id),
		'warnings', (select json_agg(c order by c.id) from fraud_warnings c where c.order_id = o.id),
		'reviews', (select json_agg(c order by c.id) from reviews c where c.order_id = o.id),
		'transfers', (select json_agg(c order by c.create_time, c.id)
			from (select x.*, x.expire_time <= now() as due from ticket_transfers x where x.order_id = o.id) c),
		'transfer_terms', json_build_object('allowed', e.transfers_allowed, 'end_time', e.transfer_end_time, 'limit', e.transfer_limit,
			'holder_end_time', e.holder_change_end_time),
		'schedule', json_build_object('number', e.schedule_number, 'doors_time', e.doors_time, 'start_time', e.start_time,
			'end_time', e.end_time, 'cancel_time', e.cancel_time),
		'seats_return_until', case when not e.keep_refunded_seats then coalesce(e.doors_time, e.start_time) end
	) from orders o join events e on e.id = o.event_id left join holds h on h.order_id = o.id`
)

// stored is an order as selectOrderSQL returns it.
type stored struct {
	Order              order.Order           `json:"order"`
	Lines              []order.Line          `json:"lines"`
	Hold               *order.Hold           `json:"hold"`
	HoldDue            bool                  `json:"hold_due"`
	HoldOverdueSeconds float64               `json:"hold_overdue_seconds"`
	FulfillingSeconds  float64               `json:"fulfilling_seconds"`
	Tickets            []order.Ticket        `json:"tickets"`
	Intents            []order.PaymentIntent `json:"intents"`
	Refunds            []order.Refund        `json:"refunds"`
	Disputes           []order.Dispute       `json:"disputes"`
	Funds              []order.DisputeFunds  `json:"funds"`
	Warnings           []order.FraudWarning  `json:"warnings"`
	Reviews            []order.Review        `json:"reviews"`
	Transfers          []order.Transfer      `json:"transfers"`
	TransferTerms      order.TransferTerms   `json:"transfer_terms"`
	Schedule           order.Schedule        `json:"schedule"`
	SeatsReturnUntil   *time.Time            `json:"seats_return_until"`
}

// batcher is what sends a batch: a pool, a connection or a transaction.
type batcher interface {
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

// querier is what makes one query: a pool, a connection or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// load loads an order in one flush, behind the statements before it.
func load(ctx context.Context, db batcher, key Key, before ...string) (order.Order, error) {
	b := &pgx.Batch{}
	for _, sql := range before {
		b.Queue(sql, key.ID, key.StripeAccount, key.StripeID)
	}
	return loadBehind(ctx, db, b, key)
}

// loadBehind loads an order in one flush, behind what is queued.
func loadBehind(ctx context.Context, db batcher, b *pgx.Batch, key Key) (order.Order, error) {
	var s stored
	b.Queue(selectOrderSQL, key.ID, key.StripeAccount, key.StripeID).QueryRow(func(row pgx.Row) error { return row.Scan(&s) })
	err := db.SendBatch(ctx, b).Close()
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return order.Order{}, ErrNotFound
	case err != nil:
		return order.Order{}, fmt.Errorf("load order: %w", err)
	}
	return s.toOrder()
}

// loadAll loads several orders in one statement, the newest first.
func loadAll(ctx context.Context, db querier, ids []string) ([]order.Order, error) {
	rows, err := db.Query(ctx, selectOrdersSQL, ids)
	if err != nil {
		return nil, fmt.Errorf("load orders: %w", err)
	}
	return collectOrders(rows)
}

// lockAll locks those of several orders that nobody else has locked, and loads them in the same flush, behind the lock.
func lockAll(ctx context.Context, tx pgx.Tx, ids []string) ([]order.Order, error) {
	var locked []string
	var orders []order.Order
	b := &pgx.Batch{}
	b.Queue(lockOrdersSQL, ids).Query(func(rows pgx.Rows) (err error) {
		locked, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	b.Queue(selectOrdersSQL, ids).Query(func(rows pgx.Rows) (err error) {
		orders, err = collectOrders(rows)
		return err
	})
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return nil, fmt.Errorf("lock orders: %w", err)
	}
	return slices.DeleteFunc(orders, func(o order.Order) bool { return !slices.Contains(locked, o.ID) }), nil
}

// collectOrders puts together what rows of selectOrdersSQL hold.
func collectOrders(rows pgx.Rows) ([]order.Order, error) {
	all, err := pgx.CollectRows(rows, pgx.RowTo[stored])
	if err != nil {
		return nil, fmt.Errorf("load orders: %w", err)
	}
	orders := make([]order.Order, 0, len(all))
	for _, s := range all {
		o, err := s.toOrder()
		if err != nil {
			return nil, err
		}
		orders = append(orders, o)
	}
	return orders, nil
}

// toOrder puts together what was stored.
func (s stored) toOrder() (order.Order, error) {
	if s.Hold == nil {
		return order.Order{}, errors.New("load order: an order without its hold")
	}
	o := s.Order
	o.Lines, o.Hold, o.Tickets, o.Intents, o.Refunds = s.Lines, *s.Hold, s.Tickets, s.Intents, s.Refunds
	o.Disputes, o.Funds, o.Warnings, o.Reviews = s.Disputes, s.Funds, s.Warnings, s.Reviews
	o.Transfers, o.TransferTerms = s.Transfers, s.TransferTerms
	o.HoldDue, o.Schedule, o.SeatsReturnUntil = s.HoldDue, s.Schedule, s.SeatsReturnUntil
	o.HoldOverdue = time.Duration(s.HoldOverdueSeconds * float64(time.Second))
	o.FulfillingFor = time.Duration(s.FulfillingSeconds * float64(time.Second))
	return o, nil
}
