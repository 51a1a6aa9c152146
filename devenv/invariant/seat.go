package invariant

// seatInvariants are about seats and those who hold or own them, all within checkoutsvc's database.
func seatInvariants() []invariant {
	const checkout = "checkout"
	return []invariant{
		query("taken_seat_has_a_claim", "a seat that is taken is one of its order's live hold, or of one of its tickets", checkout, `
			select format('seat %s is of order %s, which neither holds it nor has a ticket for it', s.id, s.order_id)
			from seats s where s.order_id is not null
				and not exists (select from tickets t where t.seat_id = s.id and t.order_id = s.order_id)
				and not exists (select from holds h join order_lines l on l.order_id = h.order_id
					where h.order_id = s.order_id and h.state = 'active' and l.seats @> jsonb_build_array(jsonb_build_object('id', s.id)))`),

		query("claim_has_its_seat", "a seat of a live hold, or of a ticket, is taken by that order", checkout, `
			select format('order %s has seat %s, which is of order %s', c.order_id, c.seat_id, coalesce(s.order_id, '(none)'))
			from (
				select l.order_id, seat->>'id' as seat_id from holds h join order_lines l on l.order_id = h.order_id, jsonb_array_elements(l.seats) seat
				where h.state = 'active'
				union all
				select order_id, seat_id from tickets where seat_id is not null
			) c left join seats s on s.id = c.seat_id
			where s.order_id is distinct from c.order_id`),

		query("seat_has_one_ticket", "no two tickets show one seat, but for void ones", checkout, `
			select format('seat %s is shown by %s tickets that are not void', snapshot->'seat'->>'id', count(*))
			from tickets where state <> 'void' and snapshot ? 'seat' group by snapshot->'seat'->>'id' having count(*) > 1`),

		query("seated_ticket_has_its_seat", "a ticket of a seated variant has the seat that it shows, until that is on sale again or another ticket has it", checkout, `
			select format('ticket %s is %s and shows seat %s, and has %s', t.id, t.state, coalesce(t.snapshot->'seat'->>'id', '(none)'), coalesce(t.seat_id, '(none)'))
			from tickets t join variants v on v.id = t.variant_id
			where v.seated and t.state <> 'void' and (t.seat_id is null or t.seat_id is distinct from t.snapshot->'seat'->>'id')`),

		query("seated_stock_is_its_seats", "the stock of a seated variant counts its seats", checkout, `
			select format('variant %s has %s seats to sell, of which %s are taken; its stock says %s and %s', v.id, s.seats, s.taken, k.capacity, k.taken)
			from variants v
			join lateral (select sum(capacity) as capacity, sum(taken) as taken from stock where variant_id = v.id) k on true
			join lateral (select count(*) filter (where not blocked) as seats, count(order_id) as taken
				from seats where seats.event_id = v.event_id and seats.variant_id = v.id) s on true
			where v.seated and (k.capacity is distinct from s.seats or k.taken is distinct from s.taken)`),
	}
}
