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
	checkoutdb.Order
	Lines    []checkoutdb.OrderLine
	Hold     checkoutdb.Hold
	Tickets  []checkoutdb.Ticket        // by position; none before payment
	Intents  []checkoutdb.PaymentIntent // by number
	Refunds  []checkoutdb.Refund        // by time
	Disputes []checkoutdb.Dispute       // by time
	Funds    []checkoutdb.DisputeFund   // of all disputes
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

// The statements that read an order. The first one locks it, so that the others see what its last writer committed:
// each statement of a transaction has a snapshot of its own (read committed).
var (
	orderColumns = `id, organizer_id, event_id, buyer_name, buyer_email, language, currency, total_minor_units,
		application_fee_minor_units, taxes, payment, fulfilment, paying_intent, capture_time, attempt, next_attempt_time,
		walk_start_time, last_error, create_time, complete_time,
		issue_passes_ms, record_sale_ms, receipt_sent_time, review`
	selectOrder = `select ` + orderColumns + ` from orders where id = ` + orderIDSQL
	lockOrder   = selectOrder + ` for update`
	selectLines = `select order_id, position, variant_id, variant_version, product_name, variant_name, quantity,
		unit_price_minor_units, snapshot from order_lines where order_id = ` + orderIDSQL + ` order by position`
	selectHold    = `select order_id, state, expire_time, end_time from holds where order_id = ` + orderIDSQL
	selectTickets = `select id, order_id, position, event_id, variant_id, variant_version, state, snapshot, snapshot_schema,
		code_key_version, pass_serial, change_number, create_time, valid_time from tickets where order_id = ` + orderIDSQL + ` order by position`
	selectIntents = `select id, order_id, number, stripe_account, stripe_id, client_secret, currency, amount_minor_units, status,
		status_time, captured_minor_units, succeeded, canceled, charge_id, balance_transaction_id, failure_code, surplus,
		mismatch, create_time from payment_intents where order_id = ` + orderIDSQL + ` order by number`
	selectRefunds = `select id, order_id, payment_intent, stripe_refund_id, amount_minor_units, application_fee_minor_units, taxes,
		currency, state, reason, note, ticket_ids, failure_code, refund_time, create_time from refunds where order_id = ` + orderIDSQL + ` order by create_time, id`
	selectDisputes = `select id, order_id, payment_intent, status, amount_minor_units, currency, dispute_reason, evidence_due_time,
		close_time, create_time from disputes where order_id = ` + orderIDSQL + ` order by create_time, id`
	selectFunds = `select balance_transaction_id, dispute_id, order_id, minor_units, fee_minor_units, funds_time, currency
		from dispute_funds where order_id = ` + orderIDSQL + ` order by funds_time, balance_transaction_id`
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
	return loadOrder(ctx, db, key, selectOrder)
}

// lockOrderForUpdate loads an order in one flush and keeps its row locked until tx ends: whoever decides about an order
// holds this lock.
//
// Problems: ORDER_NOT_FOUND.
func lockOrderForUpdate(ctx context.Context, tx pgx.Tx, key orderKey) (*order, error) {
	return loadOrder(ctx, tx, key, lockOrder)
}

func loadOrder(ctx context.Context, db batcher, key orderKey, first string) (*order, error) {
	o := &order{}
	var found []checkoutdb.Order
	var holds []checkoutdb.Hold
	b := &pgx.Batch{}
	queueRows(b, first, key, &found)
	queueRows(b, selectLines, key, &o.Lines)
	queueRows(b, selectHold, key, &holds)
	queueRows(b, selectTickets, key, &o.Tickets)
	queueRows(b, selectIntents, key, &o.Intents)
	queueRows(b, selectRefunds, key, &o.Refunds)
	queueRows(b, selectDisputes, key, &o.Disputes)
	queueRows(b, selectFunds, key, &o.Funds)
	if err := db.SendBatch(ctx, b).Close(); err != nil {
		return nil, fmt.Errorf("load order: %w", err)
	}
	if len(found) == 0 {
		return nil, errNoOrder
	}
	if len(holds) != 1 {
		return nil, errors.New("load order: an order without its hold")
	}
	o.Order, o.Hold = found[0], holds[0]
	return o, nil
}

// queueRows queues a query by an orderKey whose rows are appended to dst.
func queueRows[T any](b *pgx.Batch, sql string, key orderKey, dst *[]T) {
	b.Queue(sql, key.ID, key.StripeAccount, key.StripeID).Query(func(rows pgx.Rows) error {
		got, err := pgx.CollectRows(rows, pgx.RowToStructByName[T])
		*dst = got
		return err
	})
}
