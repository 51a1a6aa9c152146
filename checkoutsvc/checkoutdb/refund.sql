-- name: InsertRefund :exec
insert into refunds (id, order_id, payment_intent, stripe_refund_id, amount_minor_units, application_fee_minor_units,
    taxes, currency, state, reason, note, ticket_ids, failure_code, refund_time, create_time)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
on conflict do nothing;

-- name: SetRefundFacts :exec
update refunds set state = $2, stripe_refund_id = $3, refund_time = $4, failure_code = $5, ticket_ids = $6,
    amount_minor_units = $7, attempt = $8, attempt_time = $9, application_fee_minor_units = $10, taxes = $11 where id = $1;

-- name: FindOrderOfRefund :one
select order_id from refunds where stripe_refund_id = sqlc.arg(stripe_refund_id)::text or id = sqlc.arg(refund_id)::text limit 1;
