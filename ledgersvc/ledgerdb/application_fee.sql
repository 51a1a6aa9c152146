-- LockApplicationFee keeps a fee at its first observation and returns it locked. It returns no row when account,
-- organiser or amount differ from what was observed before.
-- name: LockApplicationFee :one
insert into application_fees as known (fee_id, stripe_account, organizer_id, order_id, payment_intent_id, source, booked,
                                       currency, amount, fee_time)
values (@fee_id, @stripe_account, @organizer_id, @order_id, @payment_intent_id, @source, @booked, @currency, @amount, @fee_time)
on conflict (fee_id) do update set fee_id = known.fee_id
where known.stripe_account = excluded.stripe_account and known.organizer_id = excluded.organizer_id
  and known.currency = excluded.currency and known.amount = excluded.amount
returning fee_id, stripe_account, organizer_id, order_id, payment_intent_id, source, booked, currency, amount, refunded, fee_time;

-- name: SetApplicationFeeRefunded :exec
update application_fees set refunded = $2 where fee_id = $1;

-- name: InsertApplicationFeeRefund :exec
insert into application_fee_refunds (fee_id, cumulative, amount) values ($1, $2, $3);

-- name: ApplicationFeeRefunds :many
select fee_id, cumulative, amount from application_fee_refunds where fee_id = $1 order by cumulative;

-- SetPayoutTransactions keeps the latest list of a payout.
-- name: SetPayoutTransactions :exec
insert into payout_transactions as known (payout_id, stripe_account, currency, amount, transaction_count, net, complete_time)
values (@payout_id, @stripe_account, @currency, @amount, @transaction_count, @net, @complete_time)
on conflict (payout_id) do update set transaction_count = excluded.transaction_count, net = excluded.net, complete_time = excluded.complete_time
where excluded.complete_time >= known.complete_time;
