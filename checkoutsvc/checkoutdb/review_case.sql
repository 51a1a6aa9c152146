-- name: ListReviewCases :many
select id, kind, subject, order_id, payment_intent, facts, suggested_action, create_time, resolve_time, resolve_note
from review_cases
where (create_time, id) < (sqlc.arg(before_time)::timestamptz, sqlc.arg(before_id)::text)
    and (sqlc.arg(order_id)::text = '' or order_id = sqlc.arg(order_id)::text)
    and (sqlc.arg(include_resolved)::boolean or resolve_time is null)
order by create_time desc, id desc
limit sqlc.arg(page_size);

-- name: ResolveReviewCase :exec
update review_cases set resolve_time = $2, resolve_note = $3 where id = $1 and resolve_time is null;

-- name: ResolveReviewCaseOf :exec
-- ResolveReviewCaseOf closes the open case of a kind and subject, if there is one.
update review_cases set resolve_time = $3, resolve_note = $4 where kind = $1 and subject = $2 and resolve_time is null;

-- name: GetReviewCase :one
select id, kind, subject, order_id, payment_intent, facts, suggested_action, create_time, resolve_time, resolve_note
from review_cases where id = $1;

-- name: RaiseReviewCase :execrows
-- RaiseReviewCase raises a case once per kind and subject. No row: there is one already.
insert into review_cases (id, kind, subject, order_id, payment_intent, facts, suggested_action, create_time)
values ($1, $2, $3, $4, $5, $6, $7, $8)
on conflict (kind, subject) do nothing;

-- name: FindReviewCase :one
select id, kind, subject, order_id, payment_intent, facts, suggested_action, create_time, resolve_time, resolve_note
from review_cases where kind = $1 and subject = $2;
