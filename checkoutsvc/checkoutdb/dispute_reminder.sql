-- name: ListDueDisputes :many
-- ListDueDisputes returns disputes that want evidence soon, the most urgent first.
select id, order_id, payment_intent, status, amount_minor_units, currency, dispute_reason, evidence_due_time, close_time, create_time
from disputes
where status in ('warning_needs_response', 'needs_response')
    and evidence_due_time > sqlc.arg(now)::timestamptz and evidence_due_time <= sqlc.arg(until)::timestamptz
order by evidence_due_time, id
limit 1000;

-- name: InsertDisputeReminder :execrows
insert into dispute_reminders (dispute_id, seconds_before, raise_time) values ($1, $2, $3) on conflict do nothing;

-- name: DeleteEndedReminders :many
-- DeleteEndedReminders forgets the reminders of disputes that no longer want evidence, and returns these disputes. They
-- never want it again: statuses only move up, and time forward.
delete from dispute_reminders r using disputes d
where d.id = r.dispute_id
    and (d.status not in ('warning_needs_response', 'needs_response') or d.evidence_due_time <= sqlc.arg(now)::timestamptz)
returning r.dispute_id;
