package checkoutsvc

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	"github.com/dayof/dayof/internal/chassis/problem"
)

// The states of an order's fulfilment.
const (
	fulfilmentNone          = "none"
	fulfilmentInProgress    = "in_progress"
	fulfilmentLedgerBlocked = "ledger_blocked"
	fulfilmentCompleted     = "completed"
	fulfilmentUnfulfillable = "unfulfillable"
)

// order is an order with all that hangs on it, as one transaction sees it. Rules are methods on it that change it in
// memory; whoever loaded it writes the changes.
type order struct {
	checkoutdb.Order `json:"order"`

	Lines    []checkoutdb.OrderLine     `json:"lines"`
	Hold     checkoutdb.Hold            `json:"hold"`
	Tickets  []checkoutdb.Ticket        `json:"tickets"`  // by position; none before payment
	Intents  []checkoutdb.PaymentIntent `json:"intents"`  // by number
	Refunds  []checkoutdb.Refund        `json:"refunds"`  // by time
	Disputes []checkoutdb.Dispute       `json:"disputes"` // by time
	Funds    []checkoutdb.DisputeFund   `json:"funds"`    // of all disputes
}

// inWalk says whether a walker may be on its way.
func (o *order) inWalk() bool {
	return o.Fulfilment == fulfilmentInProgress || o.Fulfilment == fulfilmentLedgerBlocked
}

// settled says whether the walk has ended, one way or the other.
func (o *order) settled() bool {
	return o.Fulfilment == fulfilmentCompleted || o.Fulfilment == fulfilmentUnfulfillable
}

// ticketCount is the number of tickets that the lines add up to.
func (o *order) ticketCount() int {
	n := 0
	for _, l := range o.Lines {
		n += int(l.Quantity)
	}
	return n
}

// intent returns the intent of that id at Stripe; nil if the order has none.
func (o *order) intent(account, stripeID string) *checkoutdb.PaymentIntent {
	i := slices.IndexFunc(o.Intents, func(p checkoutdb.PaymentIntent) bool {
		return p.StripeAccount == account && p.StripeID != nil && *p.StripeID == stripeID
	})
	if i < 0 {
		return nil
	}
	return &o.Intents[i]
}

// paying returns the intent whose money the order is about; nil before payment.
func (o *order) paying() *checkoutdb.PaymentIntent {
	if o.PayingIntent == nil {
		return nil
	}
	i := slices.IndexFunc(o.Intents, func(p checkoutdb.PaymentIntent) bool { return p.StripeID != nil && *p.StripeID == *o.PayingIntent })
	if i < 0 {
		panic("order " + o.ID + " is paid by an intent that is not its own")
	}
	return &o.Intents[i]
}

// orderKey finds an order: by our id, or by an intent at Stripe, which wins when both are given.
type orderKey struct {
	ID            string
	StripeAccount string
	StripeID      string
}

// orderIDSQL is the id of the order of an orderKey: $1 our id, $2 the account, $3 the intent.
const orderIDSQL = `coalesce((select order_id from payment_intents where stripe_id = nullif($3, '') and stripe_account = $2), $1)`

// The statements that load an order. The lock comes first, in a statement of its own, so that the other sees what the
// last holder committed: each statement of a transaction has a snapshot of its own (read committed).
//
// All that hangs on an order is read as one JSON object: seven statements less for each load, of which a sale needs ten.
const (
	lockOrderSQL   = `select from orders where id = ` + orderIDSQL + ` for update`
	selectOrderSQL = `select json_build_object(
		'order', to_json(o),
		'lines', (select json_agg(c order by c.position) from order_lines c where c.order_id = o.id),
		'hold', (select to_json(c) from holds c where c.order_id = o.id),
		'tickets', (select json_agg(c order by c.position) from tickets c where c.order_id = o.id),
		'intents', (select json_agg(c order by c.number) from payment_intents c where c.order_id = o.id),
		'refunds', (select json_agg(c order by c.create_time, c.id) from refunds c where c.order_id = o.id),
		'disputes', (select json_agg(c order by c.create_time, c.id) from disputes c where c.order_id = o.id),
		'funds', (select json_agg(c order by c.funds_time, c.balance_transaction_id) from dispute_funds c where c.order_id = o.id)
	) from orders o where id = ` + orderIDSQL
)

// errNoOrder is what loading an order that does not exist ends in.
var errNoOrder = problem.New(connect.CodeNotFound, "ORDER_NOT_FOUND", "there is no such order, or the token does not open it")

// batcher is what sends a batch: a pool, a connection or a transaction.
type batcher interface {
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

// readOrder loads an order in one flush, without locking it.
//
// Problems: ORDER_NOT_FOUND.
func readOrder(ctx context.Context, db batcher, key orderKey) (*order, error) {
	return loadOrder(ctx, db, key)
}

// lockOrderForUpdate loads an order in one flush and keeps its row locked until tx ends: whoever decides about an order
// holds this lock.
//
// Problems: ORDER_NOT_FOUND.
func lockOrderForUpdate(ctx context.Context, tx pgx.Tx, key orderKey) (*order, error) {
	return loadOrder(ctx, tx, key, lockOrderSQL)
}

func loadOrder(ctx context.Context, db batcher, key orderKey, before ...string) (*order, error) {
	b := &pgx.Batch{}
	for _, sql := range before {
		b.Queue(sql, key.ID, key.StripeAccount, key.StripeID)
	}
	var o *order
	b.Queue(selectOrderSQL, key.ID, key.StripeAccount, key.StripeID).QueryRow(func(row pgx.Row) error {
		return row.Scan(&o)
	})
	err := db.SendBatch(ctx, b).Close()
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, errNoOrder
	case err != nil:
		return nil, fmt.Errorf("load order: %w", err)
	case o.Hold.OrderID == "":
		return nil, errors.New("load order: an order without its hold")
	}
	return o, nil
}
