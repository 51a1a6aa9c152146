package invariant

import (
	"context"
	"fmt"
)

// moneyInvariants are about captured money within checkoutsvc.
func moneyInvariants() []invariant {
	return []invariant{
		{
			name: "captured_money_has_an_end", rule: "captured money bought tickets, goes back, is under way, or waits for a person",
			check: capturedMoney,
		},
		query("refunds_fit_captured", "no more is refunded than was captured", "checkout", `
			select format('intent %s captured %s, and %s is refunded', p.stripe_id, p.captured_minor_units, sum(r.amount_minor_units))
			from payment_intents p join refunds r on r.payment_intent = p.stripe_id
			where r.state in ('pending', 'succeeded') or r.state = 'requested' and r.failure_code = '' -- Stripe has not refused it
			group by p.id having sum(r.amount_minor_units) > p.captured_minor_units`),
		query("ticket_is_refunded_once", "a ticket is named by one refund that stands, of at most what the named tickets cost", "checkout", `
			with named as (
				select r.id, r.amount_minor_units, t.id ticket_id,
					coalesce(t.snapshot->'price'->>'minor_units', t.snapshot->>'price_minor_units')::bigint price
				from refunds r join tickets t on t.order_id = r.order_id and t.id = any (r.ticket_ids)
				where r.reason in ('requested', 'fraud') and r.state in ('requested', 'pending', 'succeeded')
			)
			select format('ticket %s is named by %s refunds', ticket_id, count(*)) from named group by ticket_id having count(*) > 1
			union all
			select format('refund %s sends %s back for tickets that cost %s', id, amount_minor_units, sum(price))
			from named group by id, amount_minor_units having amount_minor_units > sum(price)`),
		query("refund_shares_add_up", "when all of the money went back, all of its taxes did, and all of the fee or none", "checkout", `
			with back as (
				select o.id, o.application_fee_minor_units fee, sum(r.application_fee_minor_units) fee_back,
					(select coalesce(sum((t->>'minor_units')::bigint), 0) from jsonb_array_elements(o.taxes) t) taxes,
					sum((select coalesce(sum((t->>'minor_units')::bigint), 0) from jsonb_array_elements(r.taxes) t)) taxes_back,
					(select count(*) from refunds f where f.order_id = o.id and f.state in ('failed', 'canceled')) undone
				from orders o join refunds r on r.order_id = o.id and r.payment_intent = o.paying_intent
				where o.fulfilment = 'completed' and r.state in ('pending', 'succeeded')
				group by o.id having sum(r.amount_minor_units) = o.total_minor_units
			)
			select format('order %s is refunded; of taxes %s went back %s, of the fee %s went back %s', id, taxes, taxes_back, fee, fee_back)
			from back where abs(taxes_back - taxes) > undone or least(abs(fee_back), abs(fee_back - fee)) > undone`), // each that was undone may leave a unit
		query("void_ticket_has_its_reason", "a ticket is void only where money went back, was lost to a dispute, or bought nothing, or where another ticket replaced it", "checkout", `
			select format('ticket %s of order %s is void, and no refund or dispute took its money', t.id, o.id)
			from tickets t join orders o on o.id = t.order_id
			join payment_intents p on p.order_id = o.id and p.stripe_id = o.paying_intent
			where t.state = 'void' and o.fulfilment <> 'unfulfillable' and not exists (select from tickets n where n.replaces = t.id)
				and not exists (select from timeline n where n.order_id = o.id and n.step = 'ticket_released' and starts_with(n.detail, t.id))
				and not exists (select from disputes d where d.order_id = o.id and d.payment_intent = o.paying_intent and d.status = 'lost')
				and not exists (select from refunds r where r.order_id = o.id and r.stripe_refund_id is not null and t.id = any (r.ticket_ids))
				and p.captured_minor_units > coalesce((select sum(r.amount_minor_units) from refunds r
					where r.order_id = o.id and r.payment_intent = o.paying_intent and (r.stripe_refund_id is not null or r.state = 'pending')), 0)`),
		query("discount_adds_up", "what is off an order is off its lines, and its tickets cost what is left", "checkout", `
			select format('order %s lists %s, has %s off, %s of it by its lines, and costs %s', o.id, l.listed, o.discount_minor_units, l.off, o.total_minor_units)
			from orders o
			join lateral (select sum(x.unit_price_minor_units * x.quantity) listed, sum(x.discount_minor_units) off from order_lines x where x.order_id = o.id) l on true
			where o.discount_minor_units <> l.off or o.promotion_code_id is not null and o.total_minor_units <> l.listed - l.off
				and not exists (select from timeline n where n.order_id = o.id and n.step = 'payment_accepted_in_part')
			union all
			select format('the tickets of order %s cost %s, listed at %s with %s off', o.id, t.price, l.listed, l.off)
			from orders o
			join lateral (select sum(x.unit_price_minor_units * x.quantity) listed, sum(x.discount_minor_units) off from order_lines x where x.order_id = o.id) l on true
			join lateral (select sum((x.snapshot->'price'->>'minor_units')::bigint) price from tickets x where x.order_id = o.id) t on true
			where o.promotion_code_id is not null and t.price <> l.listed - l.off`),
		query("promotion_use_is_counted", "a promotion code counts the orders that hold or have bought something with it, and never more than it may", "checkout", `
			select format('promotion code %s is used by %s orders, counts %s and may be used by %s', p.id, used.orders, p.used_order_count, p.order_limit)
			from promotion_codes p
			join lateral (select count(*) orders from orders o join holds h on h.order_id = o.id
				where o.promotion_code_id = p.id and h.state in ('active', 'consumed')) used on true
			where used.orders <> p.used_order_count or used.orders > p.order_limit`),
		query("released_ticket_was_free", "a ticket of a free order is void only where it was released or the order was given up, and only such tickets are released that cost nothing", "checkout", `
			with released as (
				select t.id, n.order_id is not null as released, o.total_minor_units = 0 as free, t.state, o.fulfilment,
					coalesce(t.snapshot->'price'->>'minor_units', t.snapshot->>'price_minor_units')::bigint price
				from tickets t join orders o on o.id = t.order_id
				left join timeline n on n.order_id = o.id and n.step = 'ticket_released' and starts_with(n.detail, t.id)
			)
			select format('ticket %s is void, and nobody released it', id) from released where free and state = 'void' and not released and fulfilment <> 'unfulfillable'
			union all
			select format('ticket %s cost %s, was released and is %s', id, price, state) from released where released and (price > 0 or state <> 'void')`),
		query("unwanted_money_goes_back", "money for which nobody has a ticket goes back whole, or a person decides", "checkout", `
			select format('order %s keeps %s of intent %s, which bought nothing', o.id, p.captured_minor_units - back.minor_units, p.stripe_id)
			from payment_intents p join orders o on o.id = p.order_id
			cross join lateral (select coalesce(sum(r.amount_minor_units), 0) minor_units from refunds r
				where r.payment_intent = p.stripe_id and r.state in ('requested', 'pending', 'succeeded')) back
			where (p.duplicate or o.fulfilment = 'unfulfillable' and o.paying_intent = p.stripe_id) and p.captured_minor_units > back.minor_units
				and not exists (select from disputes d where d.payment_intent = p.stripe_id and d.status = 'lost')
				and not exists (select from review_cases c where c.order_id = o.id and c.kind in ('refund_failed', 'refund_refused') and c.resolve_time is null)`),
		query("partial_capture_is_said", "an order of which a part was captured says so, and a person decides", "checkout", `
			select format('intent %s captured %s of order %s, which costs %s and is %s', p.stripe_id, p.captured_minor_units, o.id, o.total_minor_units, o.payment)
			from payment_intents p join orders o on o.id = p.order_id
			where o.paying_intent is null and p.mismatch = 'amount' and p.captured_minor_units > 0 and p.captured_minor_units < o.total_minor_units
				and (o.payment in ('awaiting_payment', 'processing', 'authorized', 'paid', 'canceled', 'expired', 'failed')
					or not exists (select from review_cases c where c.kind = 'payment_mismatch' and c.order_id = o.id))`),
		{
			name: "requested_refund_is_under_way", rule: "a refund that was decided is carried out, or somebody was alerted",
			check: requestedRefunds,
		},
	}
}

// capturedMoney finds intents whose money bought nothing and for which nothing is being done.
func capturedMoney(_ context.Context, s *snapshot) ([]string, error) {
	var violations []string
	for _, p := range s.intents {
		order := s.orders[p.orderID]
		paying := order.payingIntent == p.stripeID
		switch {
		case p.captured == 0:
		case paying && (order.fulfilment == "completed" || order.inFulfilment()):
		case s.refundedOf(p.stripeID) >= p.captured:
		case s.pending.mentions(p.orderID, p.stripeID, p.id):
		default:
			violations = append(violations, fmt.Sprintf("intent %s of order %s captured %d %s, but the order is %s and only %d goes back",
				p.stripeID, p.orderID, p.captured, p.currency, order.fulfilment, s.refundedOf(p.stripeID)))
		}
	}
	return violations, nil
}

func requestedRefunds(_ context.Context, s *snapshot) ([]string, error) {
	var violations []string
	for _, r := range s.refunds {
		if r.state == "requested" && !s.pending.mentions(r.id, r.orderID) {
			violations = append(violations, fmt.Sprintf("refund %s of order %s is requested, and no job sends it", r.id, r.orderID))
		}
	}
	return violations, nil
}
