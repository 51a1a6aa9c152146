-- LockApplicationFee keeps a fee at its first observation and returns it locked. It returns no row when account,
-- organiser or amount differ from what was seen before.
-- name: LockApplicationFee :one
INSERT INTO application_fees AS known (fee_id, stripe_account, organizer_id, order_id, payment_intent_id, source, booked,
                                       currency, amount, fee_time)
VALUES (@fee_id, @stripe_account, @organizer_id, @order_id, @payment_intent_id, @source, @booked, @currency, @amount, @fee_time)
ON CONFLICT (fee_id) DO UPDATE SET fee_id = known.fee_id
WHERE known.stripe_account = excluded.stripe_account AND known.organizer_id = excluded.organizer_id
  AND known.currency = excluded.currency AND known.amount = excluded.amount
RETURNING fee_id, stripe_account, organizer_id, order_id, payment_intent_id, source, booked, currency, amount, refunded, fee_time;

-- name: SetApplicationFeeRefunded :exec
UPDATE application_fees SET refunded = $2 WHERE fee_id = $1;

-- name: InsertApplicationFeeRefund :exec
INSERT INTO application_fee_refunds (fee_id, cumulative, amount) VALUES ($1, $2, $3);

-- name: ApplicationFeeRefunds :many
SELECT fee_id, cumulative, amount FROM application_fee_refunds WHERE fee_id = $1 ORDER BY cumulative;

-- SetPayoutTransactions keeps the latest list of a payout.
-- name: SetPayoutTransactions :exec
INSERT INTO payout_transactions AS known (payout_id, stripe_account, currency, amount, transaction_count, net, complete_time)
VALUES (@payout_id, @stripe_account, @currency, @amount, @transaction_count, @net, @complete_time)
ON CONFLICT (payout_id) DO UPDATE SET transaction_count = excluded.transaction_count, net = excluded.net, complete_time = excluded.complete_time
WHERE excluded.complete_time >= known.complete_time;
