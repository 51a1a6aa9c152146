-- name: MergeFraudWarning :exec
-- MergeFraudWarning keeps a warning; one that could once no longer be acted on stays so.
insert into fraud_warnings (id, order_id, payment_intent, charge_id, fraud_type, actionable, create_time)
values ($1, $2, $3, $4, $5, $6, $7)
on conflict (id) do update set actionable = fraud_warnings.actionable and excluded.actionable;

-- name: MergeReview :exec
-- MergeReview keeps a review; closed stays closed, with the reason that was reported.
insert into reviews (id, order_id, payment_intent, open, closed_reason, create_time)
values ($1, $2, $3, $4, $5, $6)
on conflict (id) do update set open = reviews.open and excluded.open,
    closed_reason = case when excluded.closed_reason <> '' then excluded.closed_reason else reviews.closed_reason end;

-- name: FindOrderOfFraudWarning :one
select order_id from fraud_warnings where id = $1;
