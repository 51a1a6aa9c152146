package checkoutsvc_test

import (
	"testing"
	"time"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/clock"
)

// grownDoor is an event with 10,000 orders of 4 tickets, copies of one that was bought; every second ticket was used.
var grownDoor = []string{
	`create temp table template as select o.id as order_id, t.id as ticket_id from orders o join tickets t on t.order_id = o.id where t.position = 1`,
	`insert into orders (id, organizer_id, event_id, buyer_name, buyer_email, language, currency, total_minor_units, application_fee_minor_units,
		taxes, payment, fulfilment, paying_intent, capture_time, fulfilment_start_time, create_time, complete_time)
	select 'bigOrder' || lpad(i::text, 12, '0'), organizer_id, event_id, 'Buyer ' || i, 'buyer' || i || '@example.test', language, currency, total_minor_units,
		application_fee_minor_units, taxes, payment, fulfilment, 'pi_big' || i, capture_time, fulfilment_start_time, create_time + i * interval '1 second', complete_time
	from orders, generate_series(1, 10000) i where id = (select order_id from template)`,
	`insert into holds (order_id, state, expire_time, end_time) select id, 'consumed', create_time, create_time from orders where id like 'bigOrder%'`,
	`insert into tickets (id, order_id, position, event_id, variant_id, variant_version, code_key_version, create_time, snapshot_schema, snapshot,
		state, pass_serial, valid_time)
	select 'bigTicket' || n || right(o.id, 12), o.id, n, t.event_id, t.variant_id, t.variant_version, t.code_key_version, t.create_time, t.snapshot_schema,
		t.snapshot, case when n % 2 = 0 then 'used' else 'valid' end, 'serial' || n || right(o.id, 12), t.valid_time
	from orders o, generate_series(1, 4) n, tickets t where o.id like 'bigOrder%' and t.id = (select ticket_id from template)`,
	`insert into door_scans (id, ticket_id, event_id, gate, direction, scan_time, record_time, offline, reentry, counts, outcome)
	select 'bigScan' || id, id, event_id, 'gate ' || right(order_id, 1), 'in', now(), now(), false, false, true, 'entered' from tickets where state = 'used'`,
	`insert into admissions (id, ticket_id, event_id, order_id, entry_number, entry_gate, entry_time, record_time, reentry, offline)
	select s.id, s.ticket_id, s.event_id, t.order_id, 1, s.gate, s.scan_time, s.record_time, false, false from door_scans s join tickets t on t.id = s.ticket_id`,
	`insert into door_changes (ticket_id, event_id, state) select id, event_id, state from tickets where state = 'used'`,
	`analyze`,
}

// TestBigDoor counts, lists, searches and packs an event of 40,000 tickets. It prints how long that takes; what it demands is that all of
// them are there.
func TestBigDoor(t *testing.T) {
	w := newHarness(t)
	bought := w.bought("template", 1).GetTickets()[0]
	conn, err := w.pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range grownDoor {
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	conn.Release()
	door, event := w.replicas[0].door, w.event.GetId()
	timed := func(what string, call func()) {
		start := (clock.System{}).Now()
		call()
		t.Logf("%s: %v", what, (clock.System{}).Now().Sub(start).Round(time.Millisecond))
	}
	timed("counters", func() {
		c, err := door.GetDoorCounters(t.Context(), &checkoutv1.GetDoorCountersRequest{EventId: event})
		if err != nil || c.GetValidCount() != 20_001 || c.GetUsedCount() != 20_000 || c.GetInsideCount() != 20_000 || len(c.GetGates()) != 10 || c.GetGates()[0].GetEntryCount() != 2000 {
			t.Errorf("counters: %v, %v", c, err)
		}
	})
	timed("counters again", func() {
		if _, err := door.GetDoorCounters(t.Context(), &checkoutv1.GetDoorCountersRequest{EventId: event}); err != nil {
			t.Error(err)
		}
	})
	timed("holder found", func() {
		found, err := door.ListAttendees(t.Context(), &checkoutv1.ListAttendeesRequest{EventId: event, Holder: "BUYER9999@"})
		if err != nil || len(found.GetAttendees()) != 4 || found.GetAttendees()[1].GetLatestStay().GetEntryGate() != "gate 9" || found.GetAttendees()[0].GetLatestStay() != nil {
			t.Errorf("holder: %v, %v", found, err)
		}
	})
	timed("order found", func() {
		found, err := door.ListAttendees(t.Context(), &checkoutv1.ListAttendeesRequest{EventId: event, OrderId: "bigOrder000000000777"})
		if err != nil || len(found.GetAttendees()) != 4 {
			t.Errorf("order: %v, %v", found, err)
		}
	})
	timed("all used tickets, by pages of 500", func() {
		seen := map[string]bool{}
		for token, more := "", true; more; more = token != "" {
			res, err := door.ListAttendees(t.Context(), &checkoutv1.ListAttendeesRequest{
				EventId: event, State: checkoutv1.TicketState_TICKET_STATE_USED, PageSize: 500, PageToken: token,
			})
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range res.GetAttendees() {
				seen[a.GetTicket().GetId()] = true
			}
			token = res.GetNextPageToken()
		}
		if len(seen) != 20_000 {
			t.Errorf("%d used tickets are listed", len(seen))
		}
	})
	d := w.newOfflineDoor(event)
	timed("full offline package", func() {
		if n := d.download(); n != 20_000 {
			t.Errorf("the package names %d tickets", n)
		}
	})
	w.exec("update door_changes set state = 'void' where ticket_id like '%7'")
	w.exec("insert into door_changes (ticket_id, event_id, state) select id, event_id, 'void' from tickets where state = 'valid'")
	timed("offline package of the rest, in two", func() {
		if n := d.download(); n < 20_001 || len(d.states) != 40_001 {
			t.Errorf("the package names %d tickets, the device knows %d", n, len(d.states))
		}
	})
	timed("admission", func() {
		if res := w.admit(0, "big", scan(bought, "north")); res.GetAdmission() != admitted {
			t.Errorf("admit: %v", res)
		}
	})
}
