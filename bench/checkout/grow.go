package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

// benchSales makes up the sales of numbers $1 to $2, which stand for themselves in the text. Their ids are spread over all that ids can
// be, as real ones, but rise with the number: rows in the order of their keys are written in a fraction of the time.
const benchSales = `
	create temporary table bench_sales as
	select i, prefix || lpad(i::text, 19, '0') as id, 'pi_' || prefix || lpad(i::text, 22, '0') as intent, 'organizer-' || i % 200 as organizer,
		'event-' || i % 1000 as event, now() - interval '60 days' + i * interval '2 seconds' as t
	from (
		select i, substr(letters, (k / 62 + 1)::int, 1) || substr(letters, (k % 62 + 1)::int, 1) as prefix
		from (
			select i, (i - $1) * 3844 / ($2 - $1 + 1) as k, '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz' as letters
			from generate_series($1::bigint, $2::bigint) i
		) n
	) s`

// growth are the rows that completed sales leave in each service's tables. The sandbox's own books do not grow: they are none of the
// product's.
var growth = map[string][]string{
	"checkout": {
		`insert into orders (id, organizer_id, event_id, buyer_name, buyer_email, language, currency, total_minor_units,
			application_fee_minor_units, taxes, payment, fulfilment, paying_intent, capture_time, next_attempt_time,
			fulfilment_start_time, create_time, complete_time, receipt_sent_time)
		select id, organizer, event, 'Ada Lovelace', 'ada@example.org', 'en', 'EUR', 4900, 250, '[]', 'paid', 'completed', intent, t, t, t, t, t, t
		from bench_sales`,
		`insert into order_lines (order_id, position, variant_id, variant_version, product_name, variant_name, quantity,
			unit_price_minor_units, snapshot)
		select id, 1, 'variant-' || i % 1000, 1, 'Day', 'Seat', 1, 4900, jsonb_build_object('filler', repeat('seat ', 120)) from bench_sales`,
		`insert into holds (order_id, state, expire_time, end_time) select id, 'consumed', t, t from bench_sales`,
		`insert into tickets (id, order_id, position, event_id, variant_id, variant_version, code_key_version, create_time,
			snapshot_schema, snapshot, state, pass_serial, valid_time)
		select id, id, 1, event, 'variant-' || i % 1000, 1, 1, t, 1, jsonb_build_object('filler', repeat('seat ', 120)), 'valid', id, t
		from bench_sales`,
		`insert into payment_intents (id, order_id, number, stripe_account, stripe_id, currency, amount_minor_units, status, status_time,
			captured_minor_units, succeeded, charge_id, balance_transaction_id, create_time)
		select id, id, 1, '', intent, 'EUR', 4900, 'succeeded', t, 4900, true, replace(intent, 'pi_', 'ch_'), replace(intent, 'pi_', 'txn_'), t
		from bench_sales`,
		`insert into timeline (order_id, time, step) select id, t, 'submitted' from bench_sales, generate_series(1, 4)`,
		`insert into idempotency_keys (caller, method, key, fingerprint, subject, created_time)
		select 'storefront', 'StartCheckout', id, '\x00', id, t from bench_sales`,
	},
	"webhook": {
		`insert into webhook_events (endpoint, event_id, source, type, api_version, livemode, stripe_account, object_id, create_time,
			receive_time, delivery_count, state, end_time, queue_time, body)
		select 'account', 'evt_' || id || n, 'delivery', 'payment_intent.succeeded', '2023-10-16', false, '', intent, t, t, 1, 'applied', t, t,
			convert_to(repeat('webhook ', 100), 'UTF8')
		from bench_sales, generate_series(1, 3) n`,
	},
	"pass": {
		`insert into passes (serial, pass_type, ticket_id, order_id, event_id, ticket_change_number, content, content_hash, issue_hash,
			token_key_version, revision, revise_time, modify_time, create_time)
		select id, 'pass.dayof', id, id, event, 1, jsonb_build_object('filler', repeat('seat ', 120)), '\x00', '\x00', 1, 1, t,
			date_trunc('second', t), t
		from bench_sales`,
		`insert into pass_revisions (serial, revision, content_hash, revise_time, origin, changes)
		select id, 1, '\x00', t, 'issue', '[]' from bench_sales`,
		`insert into idempotency_keys (caller, method, key, fingerprint, created_time)
		select 'checkoutsvc', 'IssuePasses', 'order/' || id, '\x00', t from bench_sales`,
	},
	"ledger": {
		`insert into entries (ledger_transaction_id, reference, kind, order_id, organizer_id, payment_intent_id, stripe_account, dispute_id,
			fingerprint, effective_time, post_time)
		select 1000000000 + 2 * i + n, case n when 0 then 'capture:' else 'fee:txn_' end || intent,
			case n when 0 then 'sale' else 'stripe_fee' end, id, organizer, intent, '', '', '\x00', t, t
		from bench_sales, generate_series(0, 1) n`,
		`insert into postings (ledger_transaction_id, position, source, destination, asset, amount)
		select 1000000000 + 2 * i + n / 4, n % 4,
			case n when 0 then 'stripe:platform:main:00' when 4 then 'platform:costs:stripe_fees' else 'orders:' || id || ':payment' end,
			case n when 0 then 'orders:' || id || ':payment' when 1 then 'organizers:' || organizer || ':payable'
				when 2 then 'platform:revenue:application_fees:00' when 3 then 'taxes:de:vat' else 'stripe:platform:main:00' end,
			'EUR/2', 100
		from bench_sales, generate_series(0, 4) n`,
		`insert into idempotency_keys (caller, method, key, fingerprint, created_time)
		select 'checkoutsvc', 'RecordSale', intent, '\x00', t from bench_sales`,
	},
}

// grow adds sales of numbers first to last to the tables, all services' at once, and lets Postgres settle.
func (b *bench) grow(ctx context.Context, first, last int) error {
	group, together := errgroup.WithContext(ctx)
	for database, statements := range growth {
		group.Go(func() error {
			return b.withDatabase(together, database, func(conn *pgx.Conn) error {
				// The rows are whole; triggers and references would only take time.
				if _, err := conn.Exec(together, `set session_replication_role = replica; set synchronous_commit = off`); err != nil {
					return err
				}
				for _, statement := range append([]string{benchSales}, statements...) {
					if _, err := conn.Exec(together, strings.NewReplacer("$1", strconv.Itoa(first), "$2", strconv.Itoa(last)).Replace(statement)); err != nil {
						return fmt.Errorf("%s: %w", statement, err)
					}
				}
				_, err := conn.Exec(together, `vacuum analyze`)
				return err
			})
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return b.withDatabase(ctx, "checkout", func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, `checkpoint`)
		return err
	})
}

// measureSizes measures with more and more orders in the tables.
func (b *bench) measureSizes(ctx context.Context, sizes string, rounds int, counts []int, out io.Writer) error {
	orders, err := numbers(sizes)
	if err != nil {
		return fmt.Errorf("-orders: %w", err)
	}
	printMachine(out)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "orders before\tcallers\tsales/s\tcomplete p50\tp99\tCPU ms/sale\tof it Postgres\tWAL kB/sale\t")
	written := 0
	for _, size := range orders {
		if size > written {
			from := b.clock.Now()
			if err := b.grow(ctx, written+1, size); err != nil {
				return fmt.Errorf("write orders: %w", err)
			}
			fmt.Fprintf(out, "%d orders written in %v\n", size-written, b.clock.Now().Sub(from).Round(100*time.Millisecond))
			written = size
		}
		results, _, err := b.measureRounds(ctx, rounds, counts, false, nil)
		if err != nil {
			return err
		}
		for _, n := range counts {
			r := results[n]
			complete := func(r result) []time.Duration { return r.complete }
			fmt.Fprintf(w, "%d\t%d\t%.0f\t%s\t%s\t%.1f\t%.1f\t%.1f\t\n", size, n, median(r, func(r result) float64 { return r.rate }),
				quantile(r, 0.5, complete), quantile(r, 0.99, complete), median(r, func(r result) float64 { return 1000 * (r.busy + r.postgres) / r.rate }),
				median(r, func(r result) float64 { return 1000 * r.postgres / r.rate }), median(r, func(r result) float64 { return r.wal }))
		}
		if err := w.Flush(); err != nil { // before the next size, which takes minutes to write
			return err
		}
	}
	printMachine(out)
	return nil
}
