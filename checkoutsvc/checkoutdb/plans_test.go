package checkoutdb_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	"github.com/dayof/dayof/devenv/pgtest"
	"github.com/dayof/dayof/internal/chassis/pgdb"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// grown fills the tables that grow with sales: 100,000 orders of 1000 events in 20 days, most of them completed.
// No payment is processing, as where only cards are taken: statistics then say nothing of that state.
var grown = []string{
	`set session_replication_role = replica`,
	`insert into orders (id, organizer_id, event_id, buyer_name, buyer_email, language, currency, total_minor_units,
		application_fee_minor_units, taxes, payment, fulfilment, paying_intent, capture_time, next_attempt_time,
		fulfilment_start_time, create_time, complete_time)
	select 'order-' || i, 'organizer-' || i % 200, 'event-' || i % 1000, 'Buyer', 'buyer' || i || '@example.com', 'en', 'EUR',
		8900, 500, '[]', case when i % 10 = 0 then 'expired' else 'paid' end,
		case when i % 10 = 0 then 'none' when i % 1000 = 1 then 'in_progress' when i % 1000 = 2 then 'unfulfillable' else 'completed' end,
		case when i % 10 > 0 then 'pi_' || i end, case when i % 10 > 0 then t end, case when i % 10 > 0 then t end,
		case when i % 10 > 0 then t end, t, case when i % 10 > 0 and i % 1000 not in (1, 2) then t end
	from (select i, now() - i * interval '17 seconds' as t from generate_series(1, 100000) i) s`,
	`insert into order_lines (order_id, position, variant_id, variant_version, product_name, variant_name, quantity,
		unit_price_minor_units, snapshot)
	select id, 1, 'variant-' || right(id, 3), 1, 'Day', 'Adult', 2, 4450, '{}' from orders`,
	`insert into holds (order_id, state, expire_time, end_time)
	select id, case when fulfilment = 'none' then 'expired' else 'consumed' end, create_time, create_time from orders`,
	`update holds set state = 'active', end_time = null where order_id like '%00'`,
	`insert into tickets (id, order_id, position, event_id, variant_id, variant_version, code_key_version, create_time,
		snapshot_schema, snapshot)
	select 'ticket-' || n || id, id, n, event_id, 'variant-' || right(id, 3), 1, 1, create_time, 1, '{}'
	from orders, generate_series(1, 2) n`,
	`insert into payment_intents (id, order_id, number, stripe_account, stripe_id, currency, amount_minor_units, status, status_time,
		captured_minor_units, charge_id, create_time)
	select 'intent-' || id, id, 1, 'acct_' || organizer_id, replace(id, 'order-', 'pi_'), 'EUR', 8900,
		case when fulfilment <> 'none' then 'succeeded' else 'requires_payment_method' end, create_time,
		case when fulfilment <> 'none' then 8900 else 0 end, case when fulfilment <> 'none' then replace(id, 'order-', 'ch_') else '' end, create_time
	from orders`,
	`insert into refunds (id, order_id, payment_intent, stripe_refund_id, amount_minor_units, currency, state, reason,
		refund_time, create_time)
	select 'refund-' || id, id, coalesce(paying_intent, id), 're_' || id, 8900, 'EUR', 'succeeded',
		case when id like '%77' then 'late' else 'requested' end, create_time, create_time
	from orders`,
	`insert into disputes (id, order_id, payment_intent, status, amount_minor_units, currency, dispute_reason,
		evidence_due_time, close_time, create_time)
	select 'dispute-' || id, id, coalesce(paying_intent, id), case when id like '%99' then 'needs_response' when id like '%1' then 'won' else 'lost' end,
		8900, 'EUR', 'fraudulent', create_time + interval '7 days', create_time, create_time
	from orders`,
	`insert into dispute_funds (balance_transaction_id, dispute_id, order_id, minor_units, fee_minor_units, funds_time)
	select 'txn_' || id, 'dispute-' || id, id, -8900, 1500, create_time from orders`,
	`insert into waiting_rooms (event_id, open_time, admissions_per_minute, closed, pace_time)
	select 'event-' || i, now(), 60, false, now() from generate_series(0, 99999) i`,
	`insert into waiting_room_orders (event_id, number, order_id) select event_id, replace(id, 'order-', '')::bigint, id from orders`,
	`insert into timeline (order_id, time, step) select id, create_time, 'submitted' from orders, generate_series(1, 3)`,
	`insert into review_cases (id, kind, subject, order_id, facts, suggested_action, create_time, resolve_time)
	select 'case-' || id, 'kind', id, id, '{}', '', create_time, create_time from orders`,
	`insert into fraud_warnings (id, order_id, payment_intent, charge_id, fraud_type, actionable, create_time)
	select 'issfr_' || id, id, coalesce(paying_intent, id), '', '', false, create_time from orders`,
	`insert into reviews (id, order_id, payment_intent, open, closed_reason, create_time)
	select 'prv_' || id, id, coalesce(paying_intent, id), false, 'approved', create_time from orders`,
	`insert into buyer_mails (id, order_id, sent_time) select 'refund.' || id, id, create_time from orders`,
	`insert into dispute_reminders (dispute_id, seconds_before, raise_time) select id, 86400, create_time from disputes where id like '%999'`,
	`insert into idempotency_keys (caller, method, key, fingerprint, created_time)
	select 'storefront', 'StartCheckout', id, '\x00', create_time from orders`,
	`insert into promotion_codes (id, event_id, code, basis_points, currency, per_ticket, create_time)
	select 'promotion-' || i, 'event-' || i % 5000, 'CODE' || i, 1000, '', false, now() from generate_series(1, 20000) i`,
	`insert into promotion_code_variants (promotion_code_id, variant_id, discounted, unlocked)
	select 'promotion-' || i, 'variant-' || n || '-' || i, true, false from generate_series(1, 20000) i, generate_series(1, 2) n`,
	// Every ticket was scanned, two in a hundred twice; five in a hundred are void.
	`insert into door_devices (id, event_id, gate, name, create_time, created_by, enrol_handle, enrol_expire_time, enrol_time, token_hash)
	select 'device-' || i, 'event-' || i % 20000, 'north', 'scanner', now(), 'operator', 'handle' || i, now(), now(), ('hash' || i)::bytea
	from generate_series(1, 20000) i`,
	`insert into door_scans (id, ticket_id, event_id, gate, device_id, direction, scan_time, record_time, offline, reentry, counts, outcome)
	select 'scan-' || id, id, event_id, 'north', 'device-1', 'in', create_time, create_time, false, false, true, 'entered' from tickets`,
	`insert into door_scans (id, ticket_id, event_id, gate, device_id, direction, scan_time, record_time, offline, reentry, counts, outcome)
	select 'again-' || id, id, event_id, 'south', 'device-1', 'in', create_time, create_time, true, false, true, 'already_used' from tickets where id like '%77'`,
	`insert into admissions (id, ticket_id, event_id, order_id, entry_number, entry_gate, entry_device_id, entry_time, record_time, reentry, offline)
	select 'scan-' || id, id, event_id, order_id, 1, 'north', 'device-1', create_time, create_time, false, false from tickets`,
	`insert into door_changes (ticket_id, event_id, change_xid, state) select id, event_id, '1000', 'used' from tickets`,
	`insert into event_operations (id, event_id, kind, state, actor, schedule_number, old_start_time, old_end_time, start_time, end_time,
		total_ticket_count, create_time, finish_time)
	select 'operation-' || i, 'event-' || i, 'move', case when i % 1000 = 0 then 'running' else 'completed' end, '', 2, t, t, t, t, 1, t,
		case when i % 1000 > 0 then t end
	from (select i, now() - i * interval '1 minute' as t from generate_series(1, 20000) i) s`,
	`insert into ticket_transfers (id, order_id, ticket_id, state, recipient_name, recipient_email, recipient_language, create_time, expire_time, end_time)
	select 'transfer-' || id, order_id, id, case when id like '%99' then 'pending' else 'accepted' end, 'Bob', 'bob@example.com', 'en', create_time, create_time,
		case when id not like '%99' then create_time end from tickets where id like 'ticket-1%'`,
	`insert into event_operation_orders (operation_id, order_id) select 'operation-' || right(id, 2) || '00', id from orders where id like '%7'`,
	// Organisers and what they sell grow too, if slowly: 20,000 events of 2,000 organisers.
	`insert into organizers (id, name) select 'organizer-' || i, 'Organizer ' || i from generate_series(1, 20000) i`,
	`insert into stripe_accounts (id, organizer_id, create_time) select 'acct_' || i, 'organizer-' || i, now() from generate_series(1, 20000) i`,
	`insert into events (id, organizer_id, organizer_name, name, venue_name, venue_address, time_zone, start_time, end_time, create_time)
	select 'event-' || i, 'organizer-' || i % 2000, 'Organizer ' || i % 2000, 'Event', 'Hall', 'Street', 'UTC', t, t + interval '3 hours', t
	from (select i, now() - i * interval '1 hour' as t from generate_series(1, 20000) i) s`,
	`insert into products (id, event_id, name, create_time) select 'product-' || id, id, 'Day', create_time from events`,
	`insert into variants (id, product_id, event_id, name, order_ticket_limit, current_version, create_time)
	select 'variant-' || id, 'product-' || id, id, 'Adult', 10, 1, create_time from events`,
	`insert into variant_versions (variant_id, version, currency, price_minor_units, application_fee_minor_units, tax_minor_units,
		tax_country, tax_kind, terms, create_time)
	select 'variant-' || id, 1, 'EUR', 4900, 250, 0, '', '', '', create_time from events`,
	`insert into door_policies (event_id, reentry, pass_shows_used, update_time) select id, 'after_exit', false, create_time from events`,
	`insert into stock (variant_id, capacity) select 'variant-' || id, 1000 from events`,
	// Every event has two sections, and every hundredth their seats: 250 each, most of them sold.
	`insert into seat_sections (event_id, name, seat_count, create_time)
	select id, 'section-' || n, 250, create_time from events, generate_series(1, 2) n`,
	`insert into seats (id, event_id, section, row_label, label, variant_id, row_number, place, quality_rank, accessible, order_id)
	select 'seat-' || event_id || name || i, event_id, name, (i / 25)::text, (i % 25)::text, 'variant-' || event_id, i / 25, i % 25, i / 25, i % 100 = 0,
		case when i % 10 > 0 then 'order-' || i end
	from seat_sections, generate_series(1, 250) i where event_id like '%00'`,
	`set session_replication_role = origin`,
	`analyze`,
}

// migrateAndGrow makes the tables and fills them.
func migrateAndGrow(ctx context.Context, pool *pgxpool.Pool) error {
	if err := pgdb.Migrate(ctx, pool, checkoutdb.Migrations()); err != nil {
		return err
	}
	return pool.AcquireFunc(ctx, func(conn *pgxpool.Conn) error {
		for _, statement := range grown {
			if _, err := conn.Exec(ctx, statement); err != nil {
				return fmt.Errorf("%s: %w", statement, err)
			}
		}
		return nil
	})
}

// No query reads a table that grows with sales from its beginning to its end.
func TestQueriesHaveTheirIndex(t *testing.T) {
	t.Parallel()
	pgtest.CheckPlans(t, pgtest.New(t, migrateAndGrow), pgtest.Plans{
		Packages: []string{"../orderstore", "../../internal/chassis/idem"},
		Small: map[string]string{
			"replicas": "has a row per replica", "dispute_reminders": "has those of disputes that still want evidence",
		},
		MayScan: map[string]string{"orderSQL": "is only the beginning of others"},
	})
}

// A page of orders costs about a page, whatever it is filtered by: orders of an event and orders in a rare state are not searched
// among all.
func TestListOrdersReadsAPage(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, migrateAndGrow)
	for name, params := range map[string]checkoutdb.ListOrdersParams{
		"all":            {},
		"event":          {EventID: "event-7"},
		"state":          {Fulfilment: "unfulfillable"},
		"event in state": {EventID: "event-2", Fulfilment: "unfulfillable"},
		"unknown event":  {EventID: "event-none"},
		"under way":      {Fulfilment: "in_progress"},
	} {
		params.BeforeTime, params.PageSize = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), 51
		err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(t.Context(), pgtest.GenericPlans); err != nil {
				return err
			}
			before, err := ordersRead(t.Context(), tx)
			if err != nil {
				return err
			}
			listed, err := checkoutdb.New().ListOrders(t.Context(), tx, params)
			if err != nil {
				return err
			}
			if want := name != "unknown event"; want != (len(listed) == 51) {
				t.Errorf("%s: %d orders listed", name, len(listed))
			}
			read, err := ordersRead(t.Context(), tx)
			if read -= before; read > 200 {
				t.Errorf("%s: %d orders read for a page of 51", name, read)
			}
			return err
		})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
}

// ordersRead returns how many rows of orders the session has read, but for those that it has reported to the server.
func ordersRead(ctx context.Context, tx pgx.Tx) (int64, error) {
	var read int64
	err := tx.QueryRow(ctx, `select coalesce(sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)), 0)::bigint
		from pg_stat_xact_user_tables where relname = 'orders'`).Scan(&read)
	return read, err
}
