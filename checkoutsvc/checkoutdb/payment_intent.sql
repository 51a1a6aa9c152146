-- name: InsertPaymentIntent :exec
insert into payment_intents (id, order_id, number, stripe_account, stripe_id, currency, amount_minor_units, status,
    status_time, create_time)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
on conflict do nothing;

-- name: LinkPaymentIntent :exec
-- LinkPaymentIntent writes down Stripe's answer to our create call.
update payment_intents set stripe_id = $2, client_secret = $3 where id = $1 and stripe_id is null;

-- name: SetPaymentIntentFacts :exec
update payment_intents set status = $2, status_time = $3, captured_minor_units = $4, succeeded = $5, canceled = $6,
    charge_id = $7, balance_transaction_id = $8, failure_code = $9, duplicate = $10, mismatch = $11,
    refunded_minor_units = $12, attempt = $13, attempt_time = $14
where id = $1;

-- name: ListOpenIntents :many
-- ListOpenIntents returns the intents of orders that are known at Stripe and have no end here.
select order_id, stripe_account, stripe_id::text as stripe_id, status, create_time from payment_intents
where order_id = any(sqlc.arg(order_ids)::text[]) and stripe_id is not null and not succeeded and not canceled;
