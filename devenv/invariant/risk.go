package invariant

import (
	"context"
	"fmt"
)

// riskInvariants are about connected accounts, warnings and reviews.
func riskInvariants() []invariant {
	const checkout = "checkout"
	return []invariant{
		query("closed_organizer_sells_nothing", "nobody buys of an organiser whose accounts may not take money", checkout, `
			select format('order %s was started at %s, but its organiser %s cannot take money since %s', o.id, o.create_time, o.organizer_id, closed.since)
			from orders o join (
				select a.organizer_id, max(al.opened_time) since
				from stripe_accounts a left join alerts al on al.kind = 'account_cannot_sell' and al.subject = a.id and al.resolved_time is null
				where a.organizer_id <> '' and a.fetch_merged > 0
				group by a.organizer_id having not bool_or(a.charges_enabled and not a.disconnected)
			) closed using (organizer_id)
			where o.create_time > closed.since + interval '1 minute'`),

		query("closed_account_has_an_alert", "somebody was alerted of every account that may not take money", checkout, `
			select format('account %s may not take money, and nobody was alerted', a.id)
			from stripe_accounts a
			where a.fetch_merged > 0 and (a.disconnected or not a.charges_enabled)
				and not exists (select from alerts al where al.kind = 'account_cannot_sell' and al.subject = a.id)`),

		query("intent_is_on_the_orders_account", "no other Stripe account than its own pays for an order", checkout, `
			select format('intent %s of order %s is on account %L, the order is on %L', p.stripe_id, p.order_id, p.stripe_account, f.stripe_account)
			from payment_intents p join payment_intents f on f.order_id = p.order_id and f.number = 1
			where p.stripe_account <> f.stripe_account`),

		query("held_ticket_is_not_valid", "a ticket that a review holds back does not admit", checkout, `
			select format('ticket %s is valid, but the review of order %s is open', t.id, o.id)
			from tickets t join orders o on o.id = t.order_id
			where t.state = 'valid' and o.review = 'open'`),

		query("fraud_warning_has_an_item", "somebody was alerted of every fraud warning", checkout, `
			select format('fraud warning %s of order %s has no review case', f.id, f.order_id)
			from fraud_warnings f
			where not exists (select from review_cases i where i.kind = 'fraud_warning' and i.subject = f.id)`),

		query("dispute_reminder_has_an_alert", "somebody was alerted of every dispute reminder", checkout, `
			select format('a reminder of dispute %s has no alert', r.dispute_id)
			from dispute_reminders r
			where not exists (select from alerts al where al.kind = 'dispute_evidence_due' and al.subject = r.dispute_id)`),

		query("application_fee_refunds_add_up", "what went back of a fee is what its steps come to", "ledger", `
			select format('fee %s gave %s back, its steps come to %s', f.fee_id, f.refunded, coalesce(sum(r.amount), 0))
			from application_fees f left join application_fee_refunds r using (fee_id)
			group by f.fee_id having f.refunded <> coalesce(sum(r.amount), 0)`),

		{
			name: "application_fee_is_booked", rule: "a fee that the platform took apart from a sale is in the ledger, and what went back of it",
			check: bookedApplicationFees,
		},
	}
}

// bookedApplicationFees finds fees without their entries, unless their event is still to do.
func bookedApplicationFees(ctx context.Context, s *snapshot) ([]string, error) {
	var violations []string
	var id, reference string
	missing := map[string]string{}
	err := each(ctx, s.pools["ledger"], `
		select f.fee_id, 'appfee:' || f.fee_id from application_fees f where f.amount <> f.booked
		union all
		select r.fee_id, 'appfee-ref:' || r.fee_id || ':' || r.cumulative
		from application_fee_refunds r join application_fees f using (fee_id) where f.source <> 'direct'`,
		[]any{&id, &reference}, func() {
			if _, booked := s.ledger.byReference[reference]; !booked {
				missing[reference] = id
			}
		})
	if err != nil || len(missing) == 0 {
		return nil, err
	}
	open := map[string]bool{}
	err = each(ctx, s.pools["webhook"], `select object_id from webhook_events where state in ('received', 'deferred', 'dead') and type like 'application_fee.%'`,
		[]any{&id}, func() { open[id] = true })
	for reference, fee := range missing {
		if !open[fee] && !s.pending.mentions(fee) {
			violations = append(violations, fmt.Sprintf("fee %s is known, but %s is not in the ledger", fee, reference))
		}
	}
	return violations, err
}
