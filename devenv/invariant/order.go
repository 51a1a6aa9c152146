package invariant

import (
	"context"
	"fmt"
)

// orderInvariants are about orders, tickets and stock, all within checkoutsvc's database.
func orderInvariants() []invariant {
	const checkout = "checkout"
	return []invariant{
		query("valid_ticket_has_completed_order", "a ticket admits only when its order is completed", checkout, `
			select format('ticket %s is %s, but order %s is %s', t.id, t.state, o.id, o.fulfilment)
			from tickets t join orders o on o.id = t.order_id
			where t.state in ('valid', 'used') and o.fulfilment <> 'completed'`),

		query("completed_order_has_its_tickets", "a completed order has exactly the tickets that it bought", checkout, `
			select format('order %s bought %s tickets and has %s, %s of them not void', o.id, bought, total, alive)
			from orders o
			join lateral (select sum(quantity) bought from order_lines l where l.order_id = o.id) l on true
			join lateral (select count(*) total, count(*) filter (where state <> 'void') alive
				from tickets t where t.order_id = o.id and not exists (select from tickets n where n.replaces = t.id)) t on true
			where o.fulfilment = 'completed' and (total < bought or alive > bought)`),

		query("completed_order_is_not_reserved", "no ticket of a completed order waits any more", checkout, `
			select format('ticket %s of completed order %s is still reserved', t.id, o.id)
			from tickets t join orders o on o.id = t.order_id
			where t.state = 'reserved' and o.fulfilment = 'completed' and t.replaces is null`),

		query("unpaid_order_has_no_tickets", "tickets are written when money was captured, not before", checkout, `
			select format('order %s has %s tickets and no money', o.id, count(*))
			from orders o join tickets t on t.order_id = o.id
			where o.fulfilment = 'none' group by o.id`),

		query("unfulfillable_order_has_no_live_ticket", "an order that was given up has no ticket left", checkout, `
			select format('ticket %s is %s, but order %s was given up', t.id, t.state, o.id)
			from tickets t join orders o on o.id = t.order_id
			where t.state <> 'void' and o.fulfilment = 'unfulfillable'`),

		query("completed_order_is_paid", "a completed order has a paying intent that captured its total, unless it is free", checkout, `
			select format('order %s is completed; its paying intent %s captured %s of %s',
				o.id, coalesce(o.paying_intent, '(none)'), coalesce(p.captured_minor_units, 0), o.total_minor_units)
			from orders o left join payment_intents p on p.order_id = o.id and p.stripe_id = o.paying_intent
			where o.fulfilment = 'completed' and o.total_minor_units > 0
				and (p.id is null or not p.succeeded or p.captured_minor_units < o.total_minor_units or p.currency <> o.currency)`),

		query("free_order_asks_for_nothing", "a free order has its tickets from its start, and no intent of ours", checkout, `
			select format('order %s is free, its fulfilment is %s and its hold %s', o.id, o.fulfilment, h.state)
			from orders o join holds h on h.order_id = o.id
			where o.total_minor_units = 0 and (o.fulfilment = 'none' or h.state <> 'consumed')
			union all
			select format('order %s is free, and Stripe was asked for %s of intent %s', o.id, p.amount_minor_units, coalesce(p.stripe_id, p.id))
			from orders o join payment_intents p on p.order_id = o.id
			where o.total_minor_units = 0 and (p.stripe_id is null or p.captured_minor_units > 0 and not exists (
				select from review_cases c where c.order_id = o.id and c.kind = 'payment_mismatch'))`),

		query("complimentary_ticket_says_so", "a guest's ticket costs nothing and says that it is complimentary, and nobody else's does", "checkout", `
			select format('ticket %s of order %s, of kind %s, costs %s; complimentary: %s', t.id, o.id, o.kind, t.snapshot->'price'->>'minor_units',
				coalesce(t.snapshot->>'complimentary', 'false'))
			from tickets t join orders o on o.id = t.order_id
			where (o.kind = 'complimentary') <> coalesce((t.snapshot->>'complimentary')::boolean, false)
				or o.kind = 'complimentary' and t.snapshot->'price'->>'minor_units' <> '0'`),

		query("paying_intent_pays_once", "a payment intent pays for one order", checkout, `
			select format('intent %s pays for %s orders', paying_intent, count(*))
			from orders where paying_intent is not null group by paying_intent having count(*) > 1`),

		query("place_has_joined", "an order of a waiting room is of its event, and of a place that was given out", checkout, `
			select format('order %s of event %s has place %s of event %s, of which %s were given out', p.order_id, o.event_id, p.number, p.event_id, w.joined_count)
			from waiting_room_orders p join waiting_rooms w on w.event_id = p.event_id join orders o on o.id = p.order_id
			where p.number >= w.joined_count or o.event_id <> p.event_id`),

		query("tickets_fit_capacity", "what is taken of a variant is what holds keep and tickets have, never more than exists", checkout, `
			select format('variant %s has %s tickets, of which %s are counted as taken, tickets have %s and holds keep %s', s.variant_id, s.capacity, s.taken, sold, held)
			from (select variant_id, sum(capacity) as capacity, sum(taken) as taken from stock group by variant_id) s
			join lateral (select count(*) sold from tickets t where t.variant_id = s.variant_id and not t.seat_returned
				and not exists (select from tickets n where n.replaces = t.id)) t on true -- the seat of one that was replaced is the other's
			join lateral (select coalesce(sum(l.quantity), 0) held
				from order_lines l join holds h on h.order_id = l.order_id
				where l.variant_id = s.variant_id and h.state = 'active') h on true
			where s.taken > s.capacity or sold + held <> s.taken`),

		query("returned_seat_has_a_void_ticket", "the seat of a ticket that may still admit is not on sale", checkout, `
			select format('the seat of ticket %s is on sale again, but the ticket is %s', id, state)
			from tickets where seat_returned and state <> 'void'`),

		query("nothing_is_sold_after_the_end", "no order begins once its event is over", checkout, `
			select format('order %s of event %s began at %s, the event ended at %s', o.id, e.id, o.create_time, e.end_time)
			from orders o join events e on e.id = o.event_id where o.create_time >= e.end_time`),

		query("draft_is_not_sold", "nothing of an event is held or sold before it is published", checkout, `
			select format('order %s is of event %s, which is a draft', o.id, e.id)
			from orders o join events e on e.id = o.event_id where e.publication = 'draft'`),

		query("price_is_sold_from_its_time", "a version is sold from its time on", checkout, `
			select format('order %s began at %s and has version %s of variant %s, which is sold from %s', o.id, o.create_time, l.variant_version, l.variant_id, v.effective_time)
			from orders o join order_lines l on l.order_id = o.id
			join variant_versions v on v.variant_id = l.variant_id and v.version = l.variant_version
			where o.create_time < v.effective_time`),
	}
}

// fulfilmentInvariants are about orders on their way from captured money to valid tickets, and what must follow.
func fulfilmentInvariants() []invariant {
	const checkout = "checkout"
	return []invariant{
		query("order_being_fulfilled_has_a_next_attempt", "an order being fulfilled is taken up again by itself", checkout, `
			select format('order %s is %s since %s and was due at %s', id, fulfilment, fulfilment_start_time, next_attempt_time)
			from orders where fulfilment in ('in_progress', 'ledger_blocked')
				and (next_attempt_time is null or next_attempt_time < now() - interval '1 minute')`),

		query("blocked_order_has_an_alert", "somebody was alerted of every order that the ledger keeps waiting", checkout, `
			select format('order %s is ledger_blocked since %s and has no alert', o.id, o.fulfilment_start_time) from orders o
			where o.fulfilment = 'ledger_blocked' and not exists (
				select from alerts a where a.kind = 'order_blocked' and a.subject = o.id and a.resolved_time is null)`),

		query("ended_order_has_no_alert", "an order that has ended waits for nobody", checkout, `
			select format('order %s is %s and has an open alert', o.id, o.fulfilment) from orders o
			join alerts a on a.kind = 'order_blocked' and a.subject = o.id and a.resolved_time is null
			where o.fulfilment in ('completed', 'unfulfillable')`),

		{name: "completed_order_has_its_receipt", rule: "the buyer of a completed order was sent a receipt, or it is under way", check: sentReceipts},
		{name: "buyer_is_told_of_refunds", rule: "the buyer was mailed each refund and each order that was given up, or it is under way", check: mailedRefunds},

		query("hold_ends_in_time", "a hold does not outlive its expire time, but while a payment is on its way", checkout, `
			select format('the hold of order %s should have ended at %s', order_id, expire_time)
			from holds where state = 'active' and expire_time < now() - interval '2 minutes'
				and not exists (select from payment_intents p where p.order_id = holds.order_id and p.status = 'processing')`),
	}
}

// sentReceipts is about systems that send mail.
func sentReceipts(ctx context.Context, s *snapshot) ([]string, error) {
	if !s.sendsMail {
		return nil, nil
	}
	var unsent []string
	var id string
	err := each(ctx, s.pools["checkout"], `select id from orders where fulfilment = 'completed' and receipt_sent_time is null`, []any{&id},
		func() { unsent = append(unsent, id) })
	var violations []string
	for _, id := range unsent {
		if !s.pending.mentions(id) {
			violations = append(violations, fmt.Sprintf("order %s is completed, and no job sends its receipt", id))
		}
	}
	return violations, err
}

// mailedRefunds is about systems that send mail.
func mailedRefunds(ctx context.Context, s *snapshot) ([]string, error) {
	if !s.sendsMail {
		return nil, nil
	}
	type event struct{ subject, text string }
	var e event
	var untold []event
	err := each(ctx, s.pools["checkout"], `
		select r.id, format('the buyer of order %s was not told of refund %s', r.order_id, r.id) from refunds r
		where r.state in ('pending', 'succeeded') and not exists (select from buyer_mails m where m.id = 'refund.' || r.id)
		union all
		select o.id, format('the buyer of order %s was not told that it was given up', o.id) from orders o
		where o.fulfilment = 'unfulfillable' and not exists (select from buyer_mails m where m.id = 'given_up.' || o.id)`,
		[]any{&e.subject, &e.text}, func() { untold = append(untold, e) })
	var violations []string
	for _, e := range untold {
		if !s.pending.mentions(e.subject) {
			violations = append(violations, e.text)
		}
	}
	return violations, err
}
