package check

// another is a statement that puts a ticket in the place of the one of an order, as some of its columns are said to be.
func another(columns string) string {
	return `insert into tickets select (jsonb_populate_record(t, jsonb_build_object('id', 'of' || t.id, 'position', 2, 'replaces', t.id) || ` + columns + `)).*
		from tickets t where t.order_id = $1`
}

const offered = `insert into ticket_transfers (id, order_id, ticket_id, state, recipient_name, recipient_email, recipient_language, create_time, expire_time, end_time)
	select 'offer' || t.id, t.order_id, t.id, `

// transferViolations are the same of tickets that were replaced.
var transferViolations = map[string]struct{ service, sql string }{
	"replaced_ticket_is_void":       {"checkout", another(`'{"state": "void"}'`)},
	"ticket_has_one_latest":         {"checkout", another(`'{"state": "void", "replaces": "ticketOfNobody"}'`)},
	"replaced_seat_is_not_returned": {"checkout", `with seat as (update tickets set seat_returned = true where order_id = $1) ` + another(`'{"state": "void"}'`)},
	"pending_transfer_has_a_live_ticket": {"checkout", `with gone as (update tickets set state = 'void' where order_id = $1) ` + offered +
		`'pending', 'Bob', 'bob@example.test', 'en', now(), now() + interval '1 day', null from tickets t where t.order_id = $1`},
	"pending_transfer_ends_in_time": {"checkout", offered +
		`'pending', 'Bob', 'bob@example.test', 'en', now(), now() - interval '1 day', null from tickets t where t.order_id = $1`},
	"accepted_transfer_has_its_ticket": {"checkout", offered +
		`'accepted', 'Bob', 'bob@example.test', 'en', now(), now(), now() from tickets t where t.order_id = $1`},
	"replacement_gets_its_pass": {"checkout", another(`'{"state": "reserved", "pass_serial": ""}'`)},
}
