package schedule

import (
	"time"

	"github.com/dayof/dayof/e2e/e2etest"
)

// copies are statements that make copies of one sale: $1 its event, $2 from which number on, $3 to which.
var copies = []struct{ service, sql string }{
	{"checkout", `create table copies as select i, 'copy' || to_char(i, 'FM0000000000000000') as id from generate_series($2::integer, $3::integer) i where $1::text <> ''`},
	{"checkout", `create table sold as select o.id from orders o where o.event_id = $1 and o.fulfilment = 'completed' and $2::integer + $3::integer > 0 order by o.create_time limit 1`},
	{"checkout", `insert into orders select (jsonb_populate_record(o, jsonb_build_object('id', c.id, 'paying_intent', 'pi_' || c.id))).*
		from orders o join sold s on s.id = o.id, copies c where $1::text <> '' and $2::integer + $3::integer > 0`},
	{"checkout", `insert into order_lines select (jsonb_populate_record(l, jsonb_build_object('order_id', c.id))).*
		from order_lines l join sold s on s.id = l.order_id, copies c where $1::text <> '' and $2::integer + $3::integer > 0`},
	{"checkout", `insert into holds select (jsonb_populate_record(h, jsonb_build_object('order_id', c.id))).*
		from holds h join sold s on s.id = h.order_id, copies c where $1::text <> '' and $2::integer + $3::integer > 0`},
	{"checkout", `insert into payment_intents select (jsonb_populate_record(p, jsonb_build_object('id', 'intent' || c.id, 'order_id', c.id, 'stripe_id', 'pi_' || c.id))).*
		from payment_intents p join sold s on s.id = p.order_id, copies c where $1::text <> '' and $2::integer + $3::integer > 0`},
	{"checkout", `insert into tickets select (jsonb_populate_record(t, jsonb_build_object('id', 'ticket' || c.id, 'order_id', c.id, 'pass_serial', 'pass' || c.id))).*
		from tickets t join sold s on s.id = t.order_id, copies c where $1::text <> '' and $2::integer + $3::integer > 0`},
	{"checkout", `analyze orders, tickets`},
	{"pass", `create table copies as select i, 'copy' || to_char(i, 'FM0000000000000000') as id from generate_series($2::integer, $3::integer) i where $1::text <> ''`},
	{"pass", `insert into passes (serial, pass_type, ticket_id, order_id, event_id, ticket_change_number, content, content_hash, issue_hash, token_key_version,
			revision, revise_time, modify_time, create_time)
		select 'pass' || c.id, p.pass_type, 'ticket' || c.id, c.id, p.event_id, 1,
			p.content || jsonb_build_object('ticket_id', 'ticket' || c.id, 'order_id', c.id), p.content_hash, p.issue_hash, p.token_key_version,
			1, p.revise_time, p.modify_time, p.create_time
		from (select * from passes where event_id = $1 order by id limit 1) p, copies c where $2::integer + $3::integer > 0`},
	{"pass", `insert into registrations (device_id, pass_type, serial, push_token, register_time, first_time)
		select 'device' || c.i, p.pass_type, p.serial, to_char(0, 'FM' || repeat('0', 48)) || lpad(to_hex(c.i + 1), 16, '0'), now(), now()
		from copies c join passes p on p.serial = 'pass' || c.id where $1::text <> '' and $2::integer + $3::integer > 0`},
	{"pass", `analyze passes, registrations`},
}

// copyUntil has as many passes as wanted, each of an order and on a phone of its own.
func (w *moving) copyUntil(passes int) {
	w.t.Helper()
	ctx := e2etest.Within(w.t, 5*time.Minute)
	for _, c := range copies {
		var args []any
		if c.sql[:7] != "analyze" {
			args = []any{w.variant.GetEventId(), soldMax, passes - 1}
		}
		if _, err := e2etest.Connect(w.t, w.m, c.service).Exec(ctx, c.sql, args...); err != nil {
			w.t.Fatalf("%s: %v", c.sql, err)
		}
	}
}

// awaitPushes waits until passsvc has nothing left to send.
func (w *moving) awaitPushes(passes int) {
	w.t.Helper()
	ctx := e2etest.Within(w.t, 10*time.Minute)
	conn := e2etest.Connect(w.t, w.m, "pass")
	for pending := 1; pending > 0; e2etest.Pause(ctx) {
		if err := conn.QueryRow(ctx, `select count(*) from pushes where state = 'pending'`).Scan(&pending); err != nil {
			w.t.Fatalf("of %d passes: %v", passes, err)
		}
	}
}
