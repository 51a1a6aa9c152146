package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// purchase is what a buyer wants. Key is the idempotency key, and the id of the order.
type purchase struct {
	Key      string `json:"key"`
	Variant  string `json:"variant"`
	Quantity int    `json:"quantity"`
	Email    string `json:"email"`
}

// minorUnits is the price of one ticket.
const minorUnits = 4900

// variantCount spreads the buyers, as bench/checkout does: all who buy of one variant queue for its stock row.
const variantCount = 8

// schema is the same for all engines; each has a database of its own on one server.
const schema = `
CREATE TABLE stock (
    variant  text PRIMARY KEY,
    capacity bigint NOT NULL,
    taken    bigint NOT NULL DEFAULT 0,
    CONSTRAINT stock_is_never_oversold CHECK (taken <= capacity)
) WITH (fillfactor = 50);
INSERT INTO stock (variant, capacity) SELECT 'variant_' || n, 1000000 FROM generate_series(0, 7) AS n;

CREATE TABLE orders (
    id                text PRIMARY KEY,
    variant           text NOT NULL,
    quantity          integer NOT NULL,
    email             text NOT NULL,
    total_minor_units bigint NOT NULL,
    create_time       timestamptz NOT NULL DEFAULT now(),
    state             text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'completed')),
    attempt           integer NOT NULL DEFAULT 1,
    next_attempt_time timestamptz DEFAULT now() + interval '8 s', -- the lease while somebody attempts it
    payment_intent    text,
    ledger_entry      text,
    complete_time     timestamptz
) WITH (fillfactor = 70);
CREATE INDEX order_due ON orders (next_attempt_time) WHERE state = 'pending';

CREATE TABLE idempotency_keys (
    key         text PRIMARY KEY,
    order_id    text NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE holds (
    order_id    text PRIMARY KEY REFERENCES orders,
    expire_time timestamptz NOT NULL DEFAULT now() + interval '15 min',
    state       text NOT NULL DEFAULT 'active'
) WITH (fillfactor = 70);
CREATE TABLE payments (
    payment_intent text PRIMARY KEY,
    order_id       text NOT NULL UNIQUE REFERENCES orders,
    minor_units    bigint NOT NULL,
    create_time    timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE tickets (
    id          text PRIMARY KEY,
    order_id    text NOT NULL REFERENCES orders,
    position    integer NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now(),
    UNIQUE (order_id, position)
);`

// The statements of an attempt. attempt.js has the same.
const (
	insertKey   = `INSERT INTO idempotency_keys (key, order_id) VALUES ($1, $1)`
	insertOrder = `INSERT INTO orders (id, variant, quantity, email, total_minor_units) VALUES ($1, $2, $3, $4, $5)`
	insertHold  = `INSERT INTO holds (order_id) VALUES ($1)`
	takeStock   = `UPDATE stock SET taken = taken + $2 WHERE variant = $1`

	completeOrder = `UPDATE orders SET state = 'completed', next_attempt_time = NULL, complete_time = now(), payment_intent = $3, ledger_entry = $4
		WHERE id = $1 AND attempt = $2 AND state = 'pending'`
	consumeHold   = `UPDATE holds SET state = 'consumed' WHERE order_id = $1`
	insertPayment = `INSERT INTO payments (payment_intent, order_id, minor_units) VALUES ($1, $2, $3)`
	insertTickets = `INSERT INTO tickets (id, order_id, position) SELECT $1 || '-' || n, $1, n FROM generate_series(1, $2::integer) AS n`
)

// shop is what the steps of an attempt need. All engines call the same three steps; they differ in who remembers how far an attempt got.
type shop struct {
	pool    *pgxpool.Pool
	parties *parties
	// followUp counts follow-up jobs that have run, by kind and order.
	followUp *tally
}

// write is step 1: stock, order, idempotency key and hold. Idempotent: the second time the unique key refuses all of it, and the
// error is known.
func (s *shop) write(ctx context.Context, tx pgx.Tx, p purchase) error {
	b := &pgx.Batch{}
	b.Queue(insertKey, p.Key)
	b.Queue(insertOrder, p.Key, p.Variant, p.Quantity, p.Email, minorUnits*p.Quantity)
	b.Queue(insertHold, p.Key)
	b.Queue(takeStock, p.Variant, p.Quantity) // last, since others wait for this row
	return tx.SendBatch(ctx, b).Close()
}

// known says whether write was refused because the order is written already.
func known(err error) bool {
	var refused *pgconn.PgError
	return errors.As(err, &refused) && refused.ConstraintName == "idempotency_keys_pkey"
}

// call is the steps 2 and 4: the payment intent, which is paid at once, and the sale at the ledger. Idempotent: the keys are made of the
// order's id.
func (s *shop) call(ctx context.Context, p purchase) (intent, entry string, err error) {
	if intent, err = s.parties.call(ctx, intentPath, p.Key, fmt.Sprintf("amount=%d&currency=eur&metadata[order]=%s", minorUnits*p.Quantity, p.Key)); err != nil {
		return "", "", err
	}
	entry, err = s.parties.call(ctx, entryPath, p.Key, fmt.Sprintf("amount=%d&currency=eur&payment_intent=%s", minorUnits*p.Quantity, intent))
	return intent, entry, err
}

// errFenced says that the order is no longer this attempt's to complete.
var errFenced = errors.New("the order is completed, or another attempt has it")

// finish is the steps 3 and 5: payment, tickets, and the order completed. Idempotent: a completed order is left alone.
func (s *shop) finish(ctx context.Context, tx pgx.Tx, p purchase, attempt int, intent, entry string) error {
	b := &pgx.Batch{}
	b.Queue(completeOrder, p.Key, attempt, intent, entry)
	b.Queue(consumeHold, p.Key)
	b.Queue(insertPayment, intent, p.Key, minorUnits*p.Quantity)
	b.Queue(insertTickets, p.Key, p.Quantity)
	results := tx.SendBatch(ctx, b)
	tag, err := results.Exec()
	if err == nil && tag.RowsAffected() != 1 {
		err = errFenced
	}
	return errors.Join(err, results.Close())
}

// completed says whether an order is completed. An engine that runs an attempt again asks when it was fenced: the run before it may have been
// cut off after its last commit.
func (s *shop) completed(ctx context.Context, id string) (done bool, err error) {
	err = s.pool.QueryRow(ctx, "SELECT state = 'completed' FROM orders WHERE id = $1", id).Scan(&done)
	return done, err
}

// clear empties the tables of the attempt.
func (s *shop) clear(ctx context.Context) error {
	s.parties.forget()
	s.followUp.forget()
	_, err := s.pool.Exec(ctx, "TRUNCATE orders, idempotency_keys, holds, payments, tickets; UPDATE stock SET taken = 0")
	return err
}

// verify fails unless so many orders of so many tickets are completed, each exactly once, and the stock adds up.
func (s *shop) verify(ctx context.Context, orders, quantity int) error {
	want := []int{orders, orders, orders, orders, orders, orders * quantity, orders * quantity}
	got := make([]int, len(want))
	if err := s.pool.QueryRow(ctx, `SELECT
			(SELECT count(*) FROM orders),
			(SELECT count(*) FROM orders WHERE state = 'completed' AND payment_intent = 'pi_' || id AND ledger_entry = 'entry_' || id),
			(SELECT count(*) FROM idempotency_keys),
			(SELECT count(*) FROM holds WHERE state = 'consumed'),
			(SELECT count(*) FROM payments),
			(SELECT count(*) FROM tickets),
			(SELECT sum(taken)::bigint FROM stock)`).
		Scan(&got[0], &got[1], &got[2], &got[3], &got[4], &got[5], &got[6]); err != nil {
		return err
	}
	if !slices.Equal(got, want) {
		names := strings.Split("orders, completed orders, keys, consumed holds, payments, tickets, stock taken", ", ")
		return fmt.Errorf("after %d attempts: %v are %v, want %v", orders, names, got, want)
	}
	return s.parties.verify(orders)
}
