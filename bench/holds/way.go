package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
)

// way is one way to take tickets of a variant that everybody wants.
type way struct {
	name string
	take func(ctx context.Context) error
}

// ticketsPerHold is how many tickets a hold keeps.
const ticketsPerHold = 2

// slotCount is how many seats there are as rows: more than can be sold while they are measured.
const slotCount = 1_000_000

// errNothingTaken says that a way found no stock, of which there is enough for all.
var errNothingTaken = errors.New("no stock was taken")

// tables are those of the ways that the product does not take.
const tables = `
create table bench_row (id integer primary key, available bigint not null check (available >= 0)) with (fillfactor = 50);
insert into bench_row values (1, 1000000000);
create table bench_slots (seat integer primary key, hold text) with (fillfactor = 80);
insert into bench_slots select generate_series(1, ` + "%d" + `);
create index bench_slots_free on bench_slots (seat) where hold is null;
create table bench_holds (id text primary key, expire_time timestamptz not null);
`

const (
	takeRow    = `update bench_row set available = available - $1 where id = 1 and available >= $1`
	takeShards = `select from take_stock($1, $2) as enough where enough`
	takeSlots  = `update bench_slots set hold = 'hold' where seat in (select seat from bench_slots where hold is null limit $1 for update skip locked)`
	insertHold = `insert into bench_holds values (gen_random_uuid(), now() + interval '10 minutes')`
)

// ways prepares the tables, and two variants.
func (b *bench) ways(ctx context.Context) ([]way, error) {
	if _, err := b.pool.Exec(ctx, fmt.Sprintf(tables, slotCount)); err != nil {
		return nil, fmt.Errorf("make tables: %w", err)
	}
	one, err := b.variant(ctx, 1_000_000)
	if err != nil {
		return nil, err
	}
	if _, err := b.pool.Exec(ctx, `delete from stock where variant_id = $1 and shard > 0`, one.GetId()); err != nil {
		return nil, err
	}
	if _, err := b.pool.Exec(ctx, `update stock set capacity = 1000000 where variant_id = $1`, one.GetId()); err != nil {
		return nil, err
	}
	many, err := b.variant(ctx, 1_000_000)
	if err != nil {
		return nil, err
	}
	if _, err := b.pool.Exec(ctx, `update stock set capacity = 1000000000 where variant_id = $1`, many.GetId()); err != nil {
		return nil, err
	}
	return []way{
		{"stock alone: one row, UPDATE ... WHERE available >= n", b.statement(takeRow, ticketsPerHold)},
		{"stock alone: shards, as the product", b.statement(takeShards, many.GetId(), ticketsPerHold)},
		{"stock alone: a row per seat, SKIP LOCKED", b.statement(takeSlots, ticketsPerHold)},
		{"hold and stock: one row", b.hold(takeRow, ticketsPerHold)},
		{"hold and stock: shards", b.hold(takeShards, many.GetId(), ticketsPerHold)},
		{"hold and stock: a row per seat", b.hold(takeSlots, ticketsPerHold)},
		{"StartCheckout: variant with one shard", b.checkout(one)},
		{"StartCheckout: variant with all shards", b.checkout(many)},
	}, nil
}

// statement takes stock by one statement, which is its own transaction.
func (b *bench) statement(sql string, args ...any) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		tag, err := b.pool.Exec(ctx, sql, args...)
		if err == nil && tag.RowsAffected() == 0 {
			return errNothingTaken
		}
		return err
	}
}

// hold writes a hold and takes its stock, last, as StartCheckout does.
func (b *bench) hold(sql string, args ...any) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		return pgx.BeginFunc(ctx, b.pool, func(tx pgx.Tx) error {
			var batch pgx.Batch
			batch.Queue(insertHold)
			batch.Queue(sql, args...)
			return tx.SendBatch(ctx, &batch).Close()
		})
	}
}

// checkout is the front door.
func (b *bench) checkout(variant *checkoutv1.Variant) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		_, err := b.client.Start(ctx, variant, ticketsPerHold)
		return err
	}
}
