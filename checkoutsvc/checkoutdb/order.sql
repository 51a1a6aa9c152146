-- name: InsertOrder :exec
insert into orders (id, organizer_id, event_id, buyer_name, buyer_email, language, currency, total_minor_units,
    application_fee_minor_units, taxes, create_time)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11);

-- name: InsertOrderLine :exec
insert into order_lines (order_id, position, variant_id, variant_version, product_name, variant_name, quantity,
    unit_price_minor_units, snapshot)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9);

-- name: SetPayment :exec
update orders set payment = $2 where id = $1;

-- name: StartWalk :exec
-- StartWalk gives the order to its first walker: attempt 1 with a lease.
update orders set payment = $2, paying_intent = $3, capture_time = $4, fulfilment = 'in_progress', attempt = 1,
    fulfilment_start_time = now(), next_attempt_time = now() + make_interval(secs => sqlc.arg(lease_seconds)::float8)
where id = $1;

-- name: SetUnfulfillable :exec
-- SetUnfulfillable ends an order whose money cannot buy tickets. Raising the attempt fences off a walker.
update orders set payment = $2, paying_intent = $3, capture_time = $4, fulfilment = 'unfulfillable',
    attempt = attempt + 1, next_attempt_time = null
where id = $1;

-- name: ClaimDueOrders :many
-- ClaimDueOrders leases orders whose next attempt is due to this replica.
update orders set attempt = attempt + 1, next_attempt_time = now() + make_interval(secs => sqlc.arg(lease_seconds)::float8)
where id in (
    select o.id from orders o
    where o.fulfilment in ('in_progress', 'ledger_blocked') and o.next_attempt_time <= now()
    order by o.next_attempt_time
    limit sqlc.arg(order_count)
    for update skip locked
)
returning id, attempt;

-- name: CompleteOrder :exec
-- CompleteOrder ends a walk. The caller holds the row lock and has checked the attempt.
update orders set payment = $2, fulfilment = 'completed', complete_time = $3, next_attempt_time = null, last_error = '',
    issue_passes_ms = sqlc.arg(issue_passes_ms), record_sale_ms = sqlc.arg(record_sale_ms)
where id = $1 and attempt = sqlc.arg(attempt) and fulfilment in ('in_progress', 'ledger_blocked');

-- name: PostponeOrder :one
-- PostponeOrder writes down a failed attempt and when to try again. No row: the walker was fenced off.
update orders set fulfilment = sqlc.arg(fulfilment)::text, last_error = sqlc.arg(last_error)::text,
    next_attempt_time = now() + make_interval(secs => sqlc.arg(backoff_seconds)::float8)
where id = $1 and attempt = sqlc.arg(attempt)::integer and fulfilment in ('in_progress', 'ledger_blocked')
returning id;

-- name: GetWalkAge :one
-- GetWalkAge returns for how many seconds an order has been walked, by the database's clock. No row: not in this walk.
select extract(epoch from now() - fulfilment_start_time)::float8 as walked_seconds, fulfilment
from orders
where id = $1 and attempt = sqlc.arg(attempt)::integer and fulfilment in ('in_progress', 'ledger_blocked');

-- name: GetOrderStates :one
select id, payment, fulfilment, attempt from orders where id = $1;

-- name: MarkReceiptSent :exec
update orders set receipt_sent_time = $2 where id = $1 and receipt_sent_time is null;

-- name: ListOrders :many
select id, create_time from orders
where (create_time, id) < (sqlc.arg(before_time)::timestamptz, sqlc.arg(before_id)::text)
    and (sqlc.arg(event_id)::text = '' or event_id = sqlc.arg(event_id)::text)
    and (sqlc.arg(fulfilment)::text = '' or fulfilment = sqlc.arg(fulfilment)::text)
order by create_time desc, id desc
limit sqlc.arg(page_size);
