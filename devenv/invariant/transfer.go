package invariant

import (
	"context"
	"fmt"
)

// transferInvariants are about tickets that were replaced: handed over to somebody else, or issued again.
func transferInvariants() []invariant {
	const checkout = "checkout"
	return []invariant{
		query("replaced_ticket_is_void", "a ticket admits nobody once another one is in its place, of the same order, variant and price", checkout, `
			select format('ticket %s is %s, and ticket %s of order %s replaces it', t.id, t.state, n.id, n.order_id)
			from tickets n join tickets t on t.id = n.replaces
			where t.state <> 'void' or t.order_id <> n.order_id or t.event_id <> n.event_id or t.variant_id <> n.variant_id
				or t.variant_version <> n.variant_version or t.snapshot <> n.snapshot`),

		query("ticket_has_one_latest", "an admission that was bought has one latest ticket, however often it was replaced", checkout, `
			with recursive chain as (
				select id as first, id as ticket_id, 1 as length from tickets where replaces is null
				union all
				select c.first, n.id, c.length + 1 from chain c join tickets n on n.replaces = c.ticket_id where c.length < 1000
			)
			select format('ticket %s is in the place of %s, which is in no place', id, replaces) from tickets t
			where replaces is not null and not exists (select from chain c where c.ticket_id = t.id)
			union all
			select format('ticket %s has %s latest tickets', first, count(*)) from chain c
			where not exists (select from tickets n where n.replaces = c.ticket_id) group by first having count(*) <> 1`),

		query("replaced_seat_is_not_returned", "the seat of a ticket that was replaced is the other's, and not on sale", checkout, `
			select format('the seat of ticket %s is on sale again, and ticket %s has it', t.id, n.id)
			from tickets n join tickets t on t.id = n.replaces where t.seat_returned`),

		query("pending_transfer_has_a_live_ticket", "only what can still be handed over is offered", checkout, `
			select format('transfer %s is pending, and ticket %s is %s', x.id, t.id, t.state)
			from ticket_transfers x join tickets t on t.id = x.ticket_id
			where x.state = 'pending' and (t.state in ('void', 'used', 'reserved') or t.order_id <> x.order_id)`),

		query("pending_transfer_ends_in_time", "an offer does not outlive its time", checkout, `
			select format('transfer %s should have ended at %s', id, expire_time)
			from ticket_transfers where state = 'pending' and expire_time < now() - interval '2 minutes'`),

		query("accepted_transfer_has_its_ticket", "who accepted a ticket has one, and nobody has one who did not", checkout, `
			select format('transfer %s of ticket %s is %s, and the recipient has %s', x.id, x.ticket_id, x.state, coalesce(n.id, 'none'))
			from ticket_transfers x left join tickets n on n.replaces = x.ticket_id and n.holder_email = x.recipient_email
			where x.state = 'accepted' and n.id is null
			union all
			select format('ticket %s has another holder than ticket %s, and nobody accepted that', n.id, t.id)
			from tickets n join tickets t on t.id = n.replaces
			where n.holder_email <> t.holder_email
				and not exists (select from ticket_transfers x where x.ticket_id = t.id and x.state = 'accepted')`),

		{name: "replacement_gets_its_pass", rule: "a ticket that replaces another one has its pass, or it is under way", check: replacementPasses},
	}
}

func replacementPasses(ctx context.Context, s *snapshot) ([]string, error) {
	var waiting []string
	var id string
	err := each(ctx, s.pools["checkout"], `select id from tickets where replaces is not null and pass_serial = '' and state <> 'void'`,
		[]any{&id}, func() { waiting = append(waiting, id) })
	var violations []string
	for _, id := range waiting {
		if !s.pending.mentions(id) {
			violations = append(violations, fmt.Sprintf("ticket %s has no pass, and no job issues it", id))
		}
	}
	return violations, err
}
