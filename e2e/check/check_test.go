package check

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/devenv/cluster"
	"github.com/dayof/dayof/devenv/invariant"
	"github.com/dayof/dayof/devenv/sandbox/fault"
	"github.com/dayof/dayof/e2e/e2etest"
	"github.com/dayof/dayof/internal/server"
)

// withScans is a statement after two entries with each ticket of an order.
func withScans(statement string) string {
	return `with scans as (insert into door_scans (id, ticket_id, event_id, gate, direction, scan_time, record_time, offline, reentry, counts, outcome)
		select t.id || n, t.id, t.event_id, 'north', 'in', now(), now(), false, true, true, 'entered' from tickets t, generate_series(1, 2) n
		where t.order_id = $1 returning ticket_id, event_id, right(id, 1)::integer as n) ` + statement
}

// seatedVariant begins a statement with a seated variant of the event of an order.
const seatedVariant = `with made as (insert into variants (id, product_id, event_id, name, order_ticket_limit, current_version, create_time, seated)
	select 'seated' || $1, '', event_id, '', 1, 1, now(), true from orders where id = $1 returning id) `

// violations are ways to break the system behind its back, by the invariant that must notice each. Every statement gets the id
// of a completed order of its own as $1.
var violations = map[string]struct{ service, sql string }{
	"valid_ticket_has_completed_order": {"checkout", `update orders set fulfilment = 'in_progress', complete_time = null,
		next_attempt_time = now() + interval '1 hour', fulfilment_start_time = now() where id = $1`},
	"completed_order_has_its_tickets":        {"checkout", `delete from tickets where order_id = $1`},
	"completed_order_is_not_reserved":        {"checkout", `update tickets set state = 'reserved' where order_id = $1`},
	"unpaid_order_has_no_tickets":            {"checkout", `update orders set fulfilment = 'none', complete_time = null where id = $1`},
	"unfulfillable_order_has_no_live_ticket": {"checkout", `update orders set fulfilment = 'unfulfillable', complete_time = null where id = $1`},
	"completed_order_is_paid":                {"checkout", `update payment_intents set captured_minor_units = 1 where order_id = $1`},
	"tickets_fit_capacity":                   {"checkout", `update stock set taken = 0 where variant_id = (select variant_id from tickets where order_id = $1)`},
	"place_has_joined": {"checkout", `with room as (insert into waiting_rooms (event_id, open_time, admissions_per_minute, closed, joined_count, pace_time)
			select event_id, now(), 60, true, 1, now() from orders where id = $1 on conflict do nothing)
		insert into waiting_room_orders (event_id, number, order_id) select event_id, 1, id from orders where id = $1`},
	"returned_seat_has_a_void_ticket": {"checkout", `update tickets set seat_returned = true where order_id = $1`},
	"nothing_is_sold_after_the_end":   {"checkout", `update orders set create_time = (select end_time from events e where e.id = event_id) where id = $1`},
	"draft_is_not_sold": {"checkout", `with unguarded as (select set_config('session_replication_role', 'replica', true))
		update events set publication = 'draft' from unguarded where id = (select event_id from orders where id = $1)`},
	"price_is_sold_from_its_time": {"checkout", `with unguarded as (select set_config('session_replication_role', 'replica', true))
		update variant_versions set effective_time = now() + interval '1 day' from unguarded where variant_id = (select variant_id from tickets where order_id = $1 limit 1)`},
	"taken_seat_has_a_claim": {"checkout", `insert into seats (id, event_id, section, row_label, label, variant_id, row_number, place, quality_rank, accessible, order_id)
		select 'seatForNothing', event_id, 'Hall', 'A', '1', '', 0, 0, 0, false, id from orders where id = $1`},
	"claim_has_its_seat": {"checkout", `update tickets set seat_id = 'seatOfNobody' where order_id = $1`},
	"seat_has_one_ticket": {"checkout", `update tickets set snapshot = snapshot || '{"seat": {"id": "doubleSeat"}}'
		where order_id in ($1, (select id from orders order by create_time limit 1))`}, // see the last one
	"seated_ticket_has_its_seat": {"checkout", seatedVariant + `update tickets set variant_id = 'seated' || $1 from made where order_id = $1`},
	"seated_stock_is_its_seats":  {"checkout", seatedVariant + `insert into stock (variant_id, capacity) select id, 5 from made`},
	"used_ticket_has_a_stay":     {"checkout", `update tickets set state = 'used' where order_id = $1`},
	"admitted_ticket_was_valid": {"checkout", withScans(`insert into admissions (id, ticket_id, event_id, order_id, entry_number, entry_gate, entry_time, record_time,
			reentry, offline) select ticket_id || n, ticket_id, event_id, $1, n, 'north', now(), now(), false, false from scans where n = 1`)},
	"ticket_admits_once_per_policy": {"checkout", withScans(`insert into admissions (id, ticket_id, event_id, order_id, entry_number, entry_gate, entry_time, record_time,
			exit_gate, exit_time, reentry, offline)
		select ticket_id || n, ticket_id, event_id, $1, n, 'north', now() - interval '1 hour', now(), 'north', now(), true, false from scans`)},
	"stay_follows_from_its_scan": {"checkout", withScans(`select from scans`)},
	"order_being_fulfilled_has_a_next_attempt": {"checkout", `update orders set fulfilment = 'in_progress', complete_time = null,
		next_attempt_time = now() - interval '1 hour', fulfilment_start_time = now() where id = $1`},
	"blocked_order_has_an_alert": {"checkout", `update orders set fulfilment = 'ledger_blocked', complete_time = null,
		next_attempt_time = now() + interval '1 hour', fulfilment_start_time = now() where id = $1`},
	"ended_order_has_no_alert":        {"checkout", `insert into alerts (kind, subject, facts, link) values ('order_blocked', $1::text, '{}', '')`},
	"completed_order_has_its_receipt": {"checkout", `update orders set receipt_sent_time = null where id = $1`},
	"buyer_is_told_of_refunds": {"checkout", `insert into refunds (id, order_id, payment_intent, amount_minor_units, currency, state, reason, create_time,
			stripe_refund_id, refund_time)
		select 'untold', id, paying_intent, 1, currency, 'succeeded', 'requested', now(), 're_untold', now() from orders where id = $1`},
	"hold_ends_in_time": {"checkout", `update holds set state = 'active', end_time = null, expire_time = now() - interval '1 hour' where order_id = $1`},
	"captured_money_has_an_end": {"checkout", `with gone as (delete from tickets where order_id = $1)
		update orders set fulfilment = 'none', complete_time = null where id = $1`},
	"refunds_fit_captured": {"checkout", `insert into refunds (id, order_id, payment_intent, amount_minor_units, currency, state, reason, create_time,
			stripe_refund_id, refund_time)
		select 'tooMuch', id, paying_intent, 1000000, currency, 'pending', 'requested', now(), 're_toomuch', now() from orders where id = $1`},
	"ticket_is_refunded_once": {"checkout", `insert into refunds (id, order_id, payment_intent, amount_minor_units, currency, state, reason, create_time,
			stripe_refund_id, refund_time, ticket_ids)
		select 'again' || n, id, paying_intent, 1, currency, 'succeeded', 'requested', now(), 're_again' || n, now(),
			array(select t.id from tickets t where t.order_id = orders.id)
		from orders, generate_series(1, 2) n where id = $1`},
	"requested_refund_is_under_way": {"checkout", `insert into refunds (id, order_id, payment_intent, amount_minor_units, currency, state, reason, create_time)
		select 'leftBehind', id, paying_intent, 1, currency, 'requested', 'requested', now() from orders where id = $1`},
	"refund_is_booked": {"checkout", `insert into refunds (id, order_id, payment_intent, amount_minor_units, currency, state, reason, create_time,
			stripe_refund_id, refund_time)
		select 'unbooked', id, paying_intent, 1, currency, 'succeeded', 'requested', now(), 're_unbooked', now() from orders where id = $1`},
	"given_up_money_is_booked": {"checkout", `insert into refunds (id, order_id, payment_intent, amount_minor_units, currency, state, reason, create_time,
			stripe_refund_id, refund_time)
		select 'ofNothing', id, 'pi_nothing', 1, currency, 'pending', 'duplicate_payment', now(), 're_ofnothing', now() from orders where id = $1`},
	"completed_order_is_booked": {"checkout", `with p as (update payment_intents set stripe_id = 'pi_unbooked' where order_id = $1)
		update orders set paying_intent = 'pi_unbooked' where id = $1`},
	"stripe_fee_is_booked": {"checkout", `update payment_intents set balance_transaction_id = 'txn_unbooked' where order_id = $1`},
	"copy_matches_ledger": {"ledger", `with p as (delete from postings where ledger_transaction_id in (
			select ledger_transaction_id from entries where order_id = $1))
		delete from entries where order_id = $1`},
	"refund_shares_add_up": {"checkout", `insert into refunds (id, order_id, payment_intent, amount_minor_units, currency, state, reason, create_time,
			stripe_refund_id, refund_time)
		select 'untaxed', id, paying_intent, total_minor_units, currency, 'succeeded', 'requested', now(), 're_untaxed', now() from orders where id = $1`},
	"partial_capture_is_said": {"checkout", `with p as (update payment_intents set mismatch = 'amount', captured_minor_units = 1 where order_id = $1)
		update orders set payment = 'awaiting_payment', paying_intent = null, capture_time = null, fulfilment = 'none', complete_time = null where id = $1`},
	"free_order_asks_for_nothing": {"checkout", `update orders set total_minor_units = 0, application_fee_minor_units = 0, taxes = '[]', payment = 'not_required',
		paying_intent = null, capture_time = null where id = $1`},
	"free_order_is_booked":         {"ledger", `insert into free_sales (order_id, organizer_id, currency, sale_time, record_time) values ($1, 'somebody', 'EUR', now(), now())`},
	"complimentary_ticket_says_so": {"checkout", `update tickets set snapshot = snapshot || '{"complimentary": true}' where order_id = $1`},
	"discount_adds_up":             {"checkout", `update orders set discount_minor_units = 1 where id = $1`},
	"promotion_use_is_counted": {"checkout", `insert into promotion_codes (id, event_id, code, basis_points, currency, per_ticket, create_time, used_order_count)
		select 'promotion' || id, event_id, 'FORGOTTEN', 1000, '', false, now(), 1 from orders where id = $1`},
	"released_ticket_was_free": {"checkout", `insert into timeline (order_id, time, step, detail)
		select order_id, now(), 'ticket_released', id || ': by mistake' from tickets where order_id = $1`},
	"unwanted_money_goes_back":   {"checkout", `update payment_intents set duplicate = true where order_id = $1`},
	"void_ticket_has_its_reason": {"checkout", `update tickets set state = 'void' where order_id = $1`},
	"valid_ticket_has_its_pass":  {"checkout", `update tickets set pass_serial = 'anotherPass' where order_id = $1`},
	"void_ticket_has_void_pass":  {"checkout", `update tickets set state = 'void' where order_id = $1`},
	"ticket_has_its_events_schedule": {"checkout", `with op as (insert into event_operations (id, event_id, kind, state, actor, schedule_number,
			old_start_time, old_end_time, start_time, end_time, total_ticket_count, create_time, finish_time)
		select 'moved', e.id, 'move', 'completed', '', e.schedule_number, e.start_time, e.end_time, e.start_time, e.end_time, 1, now(), now()
		from events e join orders o on o.event_id = e.id where o.id = $1)
		update tickets set schedule_number = 0 where order_id = $1`},
	// Of the event that the one before says was moved.
	"pass_shows_its_events_schedule": {"pass", `update passes set content = jsonb_set(content, '{event,start_time}', '"2020-01-01T00:00:00Z"') where order_id = $1`},
	"canceled_event_admits_nobody": {"checkout", `with gone as (insert into events
			select (jsonb_populate_record(e, '{"id": "canceledEvent0000001", "cancel_time": "2026-01-01T00:00:00Z"}')).*
			from events e join orders o on o.event_id = e.id where o.id = $1),
		op as (insert into event_operations (id, event_id, kind, state, actor, schedule_number, old_start_time, old_end_time, start_time, end_time,
			total_ticket_count, create_time, finish_time) values ('canceled', 'canceledEvent0000001', 'cancel', 'completed', '', 1, now(), now(), now(), now(), 1, now(), now()))
		update orders set event_id = 'canceledEvent0000001' where id = $1`},
	"pass_has_a_ticket": {"pass", `update passes set ticket_id = 'ticketOfNobody' where order_id = $1`},
	"revision_has_its_pushes": {"pass", `with device as (insert into registrations (device_id, pass_type, serial, push_token, register_time)
			select 'deaf', pass_type, serial, 'f00d', revise_time from passes where order_id = $1)
		update passes set revision = 2, revise_time = revise_time + interval '1 minute' where order_id = $1`},
	"push_has_its_revision": {"pass", `insert into pushes (id, pass_type, serial, revision, device_id, push_token, state, create_time, due_time)
		select gen_random_uuid(), pass_type, serial, 7, 'early', 'f00d', 'sent', now(), now() from passes where order_id = $1`},
	"acknowledged_event_is_stored": {"webhook", `delete from webhook_events where convert_from(body, 'UTF8') like '%' || $1::text || '%'`},
	"open_webhook_event_is_tried": {"webhook", `update webhook_events set state = 'deferred', end_time = null, next_try_time = now() - interval '1 hour' where id =
		(select max(id) from webhook_events where convert_from(body, 'UTF8') like '%' || $1::text || '%')`},
	"dead_webhook_event_has_an_alert": {"webhook", `update webhook_events set state = 'dead' where id =
		(select max(id) from webhook_events where convert_from(body, 'UTF8') like '%' || $1::text || '%')`},
	"dead_checkout_job_has_an_alert": {"checkout", deadLetter},
	"dead_pass_job_has_an_alert":     {"pass", deadLetter},
	"dead_webhook_job_has_an_alert":  {"webhook", deadLetter},
	"dead_ledger_job_has_an_alert":   {"ledger", deadLetter},
	"difference_is_resolved": {"ledger", `insert into reconcile_differences (id, kind, subject, digest, order_id, organizer_id, payment_intent_id,
			stripe_account, expected_currency, expected_amount, found_currency, found_amount, sides, cause, first_run_id, first_observed_time, last_observed_time)
		values ('found', 1, 'capture:pi_lost', '', $1, '', '', '', 'EUR', 1, '', 0, '', '', '', now(), now())`},
	"running_reconciliation_has_a_job": {"ledger", `insert into reconcile_runs (id, kind, from_time, until_time, create_time)
		values ('abandoned' || $1, 3, now() - interval '1 hour', now(), now())`},
	"intent_is_on_the_orders_account": {"checkout", `insert into payment_intents (id, order_id, number, stripe_account, stripe_id, currency, amount_minor_units,
			status, status_time, create_time)
		select 'foreign', order_id, number + 1, 'acct_foreign', 'pi_foreign', currency, amount_minor_units, status, status_time, now()
		from payment_intents where order_id = $1`},
	"closed_organizer_sells_nothing": {"checkout", `with account as (
			insert into stripe_accounts (id, organizer_id, fetches_begun, fetch_merged, fetch_time, create_time)
			select 'acct_closed', organizer_id, 1, 1, now(), now() from orders where id = $1)
		insert into alerts (kind, subject, facts, link, opened_time) values ('account_cannot_sell', 'acct_closed', '{}', '', now() - interval '1 day')`},
	"closed_account_has_an_alert": {"checkout", `insert into stripe_accounts (id, organizer_id, fetches_begun, fetch_merged, fetch_time, create_time)
		values ('acct_untold', $1, 1, 1, now(), now())`},
	"held_ticket_is_not_valid": {"checkout", `update orders set review = 'open' where id = $1`},
	"fraud_warning_has_an_item": {"checkout", `insert into fraud_warnings (id, order_id, payment_intent, charge_id, fraud_type, actionable, create_time)
		values ('issfr_untold', $1, '', '', '', true, now())`},
	"dispute_reminder_has_an_alert": {"checkout", `with dispute as (
			insert into disputes (id, order_id, payment_intent, status, amount_minor_units, currency, dispute_reason, create_time)
			values ('du_silent', $1, '', 'needs_response', 1, 'EUR', '', now()))
		insert into dispute_reminders (dispute_id, seconds_before, raise_time) values ('du_silent', 1, now())`},
	"application_fee_refunds_add_up": {"ledger", `insert into application_fees (fee_id, stripe_account, organizer_id, order_id, payment_intent_id, source,
			booked, currency, amount, refunded, fee_time) values ('fee_astray', '', '', $1, '', 'direct', 10, 'EUR', 10, 5, now())`},
	"application_fee_is_booked": {"ledger", `insert into application_fees (fee_id, stripe_account, organizer_id, order_id, payment_intent_id, source,
			booked, currency, amount, fee_time) values ('fee_unbooked', '', '', $1, '', 'elsewhere', 0, 'EUR', 10, now())`},
	"organizer_share_is_booked":       {"checkout", `update orders set organizer_id = 'organizerOfNobody001' where id = $1`},
	"application_fee_share_is_booked": {"checkout", `update orders set application_fee_minor_units = application_fee_minor_units + 1 where id = $1`},
	"tax_share_is_booked":             {"checkout", `update orders set taxes = '[{"country": "FR", "kind": "vat", "minor_units": 120}]' where id = $1`},
	"given_up_sale_is_undone": {"checkout", `with r as (insert into refunds (id, order_id, payment_intent, amount_minor_units, currency, state, reason,
				create_time, stripe_refund_id, refund_time)
			select 'keepsTheFee', id, paying_intent, total_minor_units, currency, 'succeeded', 'given_up', now(), 're_keepsthefee', now() from orders where id = $1)
		update orders set fulfilment = 'unfulfillable', complete_time = null where id = $1`},
	"posting_has_its_funds": {"checkout", `insert into dead_letters (job_id, kind, queue, args, reason, error, errors, attempts, max_attempts, created_time, dead_time)
		values (2, 'post_refund', 'default', jsonb_build_object('refund_id', $1::text), 'cancelled', 'record refund: failed_precondition INSUFFICIENT_FUNDS', '[]', 1, 32, now(), now())`},
	"paying_intent_pays_once": {"checkout", `update orders set paying_intent = (select paying_intent from orders where id = $1)
		where id = (select id from orders order by create_time limit 1)`}, // the order that nothing else is broken of,
}

const deadLetter = `insert into dead_letters (job_id, kind, queue, args, reason, error, errors, attempts, max_attempts, created_time, dead_time)
	values (1, 'forgotten', 'default', jsonb_build_object('id', $1::text), 'exhausted', '', '[]', 1, 1, now(), now())`

// TestCheckWhileLedgerIsAway says that the ledger does not answer, and checks what does not need it.
func TestCheckWhileLedgerIsAway(t *testing.T) {
	t.Parallel()
	m := e2etest.NewCluster(t, 1, nil)
	system := client.NewClient(m.File)
	if _, err := system.Sell(e2etest.Within(t, time.Minute), client.Purchase{VariantID: e2etest.NewVariant(t, system, 4450, 10).GetId(), Tickets: 1, Via: client.ViaBoth}); err != nil {
		t.Fatal(err)
	}
	e2etest.AssertClean(t, m)
	if err := m.Sandbox.Faults.Set(fault.Ledger, fault.Fault{Mode: fault.Refuse, Rate: 1}); err != nil {
		t.Fatal(err)
	}
	results, err := invariant.Run(e2etest.Within(t, 2*time.Minute), m.File)
	if err != nil {
		t.Fatal(err)
	}
	if first := results[0]; first.Name != "parties_answer" || len(first.Violations) != 1 || !strings.HasPrefix(first.Violations[0], "the ledger at http") {
		t.Errorf("check says %+v", first)
	}
	for _, r := range results[1:] {
		if r.Name == "completed_order_is_booked" {
			t.Error("the books were compared without the ledger")
		}
	}
	if !slices.ContainsFunc(results, func(r invariant.Result) bool { return r.Name == "tickets_fit_capacity" && len(r.Violations) == 0 }) {
		t.Error("the database was not checked")
	}
}

// TestCheckThatFailsHidesNoOther takes away a table that one invariant reads, and breaks another invariant.
func TestCheckThatFailsHidesNoOther(t *testing.T) {
	t.Parallel()
	m := e2etest.NewCluster(t, 1, nil)
	conn, err := pgx.Connect(t.Context(), m.File.DatabaseURLs["checkout"])
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	for _, sql := range []string{`alter table dispute_reminders rename to elsewhere`, deadLetter} {
		var args []any
		if sql == deadLetter {
			args = []any{"lost"}
		}
		if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
			t.Fatal(err)
		}
	}
	results, err := invariant.Run(e2etest.Within(t, 2*time.Minute), m.File)
	if err != nil {
		t.Fatal(err)
	}
	violated := map[string]string{}
	for _, r := range results {
		if len(r.Violations) > 0 {
			violated[r.Name] = r.Violations[0]
		}
	}
	if len(violated) != 2 || violated["dead_checkout_job_has_an_alert"] == "" || !strings.HasPrefix(violated["dispute_reminder_has_an_alert"], "could not be checked: ") {
		t.Errorf("check says %q", violated)
	}
}

// TestCheckFindsViolations breaks every invariant once and wants each to be reported, and nothing before.
func TestCheckFindsViolations(t *testing.T) {
	t.Parallel()
	m := e2etest.NewCluster(t, 1, nil)
	system := client.NewClient(m.File)
	variant := e2etest.NewVariant(t, system, 4450, 100)
	orders := map[string]string{}
	maps.Copy(violations, transferViolations)
	names := []string{
		"sound", "order_account_is_settled", "capture_is_booked_once", "captured_money_is_at_stripe", "stripe_money_is_known",
		"refund_at_stripe_has_its_row", "refunded_sum_is_known",
	}
	for name := range violations {
		names = append(names, name)
	}
	for _, name := range names {
		sale, err := system.Sell(e2etest.Within(t, time.Minute), client.Purchase{VariantID: variant.GetId(), Tickets: 1, Via: client.ViaBoth})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := system.AwaitFee(e2etest.Within(t, time.Minute), sale.OrderID); err != nil {
			t.Fatal(err)
		}
		orders[name] = sale.OrderID
	}
	e2etest.AssertClean(t, m)
	for _, service := range server.Services() { // nobody mends what is broken now
		if err := m.StopReplica(service, 0); err != nil {
			t.Fatal(err)
		}
	}
	breakDatabases(t, m, orders)
	breakLedger(t, m, orders)
	breakStripe(t, system, orders)

	results, err := invariant.Run(e2etest.Within(t, time.Minute), m.File)
	if err != nil {
		t.Fatal(err)
	}
	// The ledger itself refuses what would break these two.
	unbreakable := []string{"trial_balance_is_zero", "reference_is_unique"}
	for _, r := range results {
		t.Logf("%s: %s", r.Name, strings.Join(r.Violations, "; "))
		if len(r.Violations) == 0 && !strings.Contains(strings.Join(unbreakable, " "), r.Name) {
			t.Errorf("nobody notices that %s is violated", r.Name)
		}
	}
}

func breakDatabases(t *testing.T, m *cluster.Cluster, orders map[string]string) {
	t.Helper()
	ctx := e2etest.Within(t, 30*time.Second)
	conns := map[string]*pgx.Conn{}
	for service, url := range m.File.DatabaseURLs {
		conn, err := pgx.Connect(ctx, url)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := conn.Close(ctx); err != nil {
				t.Error(err)
			}
		}()
		// Triggers keep code from some of this, and an index from more.
		if _, err := conn.Exec(ctx, `set session_replication_role = replica`); err != nil {
			t.Fatal(err)
		}
		conns[service] = conn
	}
	if _, err := conns["checkout"].Exec(ctx, `drop index order_of_a_paying_intent`); err != nil {
		t.Fatal(err)
	}
	for name, v := range violations {
		tag, err := conns[v.service].Exec(ctx, v.sql, orders[name])
		if err != nil {
			t.Fatalf("violate %s: %v", name, err)
		}
		if tag.RowsAffected() == 0 {
			t.Fatalf("violate %s: nothing was changed", name)
		}
	}
}

// breakLedger posts what no fact stands behind.
func breakLedger(t *testing.T, m *cluster.Cluster, orders map[string]string) {
	t.Helper()
	transit := func(name string) string { return "orders:" + orders[name] + ":payment" }
	for reference, posting := range map[string]map[string]any{
		"capture:pi_nobody": {"source": "world", "destination": transit("order_account_is_settled"), "asset": "EUR/2", "amount": 5},
		"refund:re_nobody":  {"source": "organizers:poorOrganizer000001:payable", "destination": "stripe:platform:main:0", "asset": "EUR/2", "amount": 5},
		"":                  {"source": "world", "destination": transit("capture_is_booked_once"), "asset": "EUR/2", "amount": 4450},
	} {
		request := map[string]any{"postings": []any{posting}, "metadata": map[string]string{}}
		if reference != "" {
			request["reference"] = reference
		}
		body, err := json.Marshal(request)
		if err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequestWithContext(e2etest.Within(t, 10*time.Second), http.MethodPost,
			m.File.Sandbox.LedgerAPI()+"/transactions?force=true", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if err := res.Body.Close(); err != nil {
			t.Error(err)
		}
		if res.StatusCode != http.StatusOK {
			t.Fatalf("post %s: %s", reference, res.Status)
		}
	}
}

// breakStripe lets Stripe have other money than our orders know.
func breakStripe(t *testing.T, system *client.Client, orders map[string]string) {
	t.Helper()
	// The services are down, so that the intents are found by what Stripe has of their orders.
	var all struct {
		Data []e2etest.Resource `json:"data"`
	}
	if err := system.Stripe.Get(e2etest.Within(t, 10*time.Second), "/v1/payment_intents?limit=100", &all); err != nil {
		t.Fatal(err)
	}
	for _, p := range all.Data {
		metadata, _ := p["metadata"].(map[string]any)
		switch metadata["order_id"] {
		case orders["captured_money_is_at_stripe"]:
			p["amount_received"] = 1
			e2etest.Load(t, system, p)
		case orders["stripe_money_is_known"]:
			p["id"] = "pi_" + client.NewKey()
			e2etest.Load(t, system, p)
		}
	}
	var charges struct {
		Data []e2etest.Resource `json:"data"`
	}
	if err := system.Stripe.Get(e2etest.Within(t, 10*time.Second), "/v1/charges?limit=100", &charges); err != nil {
		t.Fatal(err)
	}
	for _, c := range charges.Data {
		metadata, _ := c["metadata"].(map[string]any)
		if metadata["order_id"] == orders["refunded_sum_is_known"] {
			c["amount_refunded"] = 100
			e2etest.Load(t, system, c)
		}
	}
	e2etest.Load(t, system, e2etest.Resource{
		"id": "re_unwritten", "object": "refund", "amount": 1, "currency": "eur", "created": 0, "status": "succeeded",
		"metadata": map[string]any{"order_id": orders["refund_at_stripe_has_its_row"], "refund_id": "rowOfNobody"},
	})
	e2etest.Load(t, system, e2etest.Resource{
		"id": "txn_unbooked", "object": "balance_transaction", "amount": 4450, "currency": "eur", "fee": 92, "net": 4358,
		"created": 0, "type": "charge", "status": "available", "source": "ch_unbooked", "fee_details": []any{},
	})
}
