-- name: UpsertDispute :exec
insert into disputes (id, order_id, payment_intent, status, amount_minor_units, currency, dispute_reason,
    evidence_due_time, close_time, create_time)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
on conflict (id) do update set status = excluded.status, amount_minor_units = excluded.amount_minor_units,
    evidence_due_time = coalesce(excluded.evidence_due_time, disputes.evidence_due_time),
    close_time = coalesce(disputes.close_time, excluded.close_time);

-- name: InsertDisputeFunds :exec
insert into dispute_funds (balance_transaction_id, dispute_id, order_id, minor_units, fee_minor_units, funds_time, currency)
values ($1, $2, $3, $4, $5, $6, $7)
on conflict do nothing;
