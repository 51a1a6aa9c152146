-- name: InsertOrder :exec
insert into orders (id, organizer_id, event_id, buyer_name, buyer_email, language, currency, total_minor_units,
    application_fee_minor_units, taxes, create_time, payment, promotion_code_id, promotion_code, discount_minor_units, kind)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16);

-- name: InsertOrderLine :exec
insert into order_lines (order_id, position, variant_id, variant_version, product_name, variant_name, quantity,
    unit_price_minor_units, snapshot, snapshot_schema, buyer_key, seats, discount_minor_units)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13);

-- name: SaveOrder :exec
-- SaveOrder writes what rules change of an order's own row. The caller holds its lock, and has compared the attempt. A
-- fulfilment that starts and attempts that are scheduled go by the database's clock; without seconds there is none.
update orders set payment = @payment, fulfilment = @fulfilment, paying_intent = sqlc.narg(paying_intent),
    capture_time = sqlc.narg(capture_time), attempt = @attempt, last_error = @last_error,
    complete_time = sqlc.narg(complete_time), issue_passes_ms = @issue_passes_ms, record_sale_ms = @record_sale_ms,
    review = @review,
    fulfilment_start_time = case when @start::boolean then now() else fulfilment_start_time end,
    next_attempt_time = case when @reschedule::boolean
        then now() + make_interval(secs => sqlc.narg(next_attempt_seconds)::float8) else next_attempt_time end,
    earliest_attempt_time = case when @reschedule::boolean
        then now() + make_interval(secs => sqlc.narg(earliest_attempt_seconds)::float8) else earliest_attempt_time end
where id = @id;

-- name: SetOrderTotal :exec
-- SetOrderTotal lowers what an order costs to what was captured of it.
update orders set total_minor_units = $2, application_fee_minor_units = $3, taxes = $4 where id = $1;

-- name: FindDueWork :one
-- FindDueWork says whether orders are due, or wait after a failed attempt, whether holds or transfers have run out, and whether changes of events go on: one statement for a replica
-- that has nothing to do. What it says of holds does not tell those that are left for later.
select exists (select from orders o where o.fulfilment in ('in_progress', 'ledger_blocked') and o.next_attempt_time <= now()) as due_orders,
    exists (select from orders o where o.fulfilment in ('in_progress', 'ledger_blocked') and o.next_attempt_time > now()
        and o.last_error <> '' and o.earliest_attempt_time <= now()) as waiting_orders,
    exists (select from holds h where h.state = 'active' and h.expire_time <= now()) as due_holds,
    exists (select from event_operations e where e.state = 'running' and e.next_step_time <= now()) as due_operations,
    exists (select from ticket_transfers x where x.state = 'pending' and x.expire_time <= now()) as due_transfers;

-- name: ClaimDueOrders :many
-- ClaimDueOrders leases orders whose next attempt is due to this replica.
update orders set attempt = attempt + 1, last_error = '', next_attempt_time = now() + make_interval(secs => sqlc.arg(lease_seconds)::float8)
where id in (
    select o.id from orders o
    where o.fulfilment in ('in_progress', 'ledger_blocked') and o.next_attempt_time <= now()
    order by o.next_attempt_time
    limit sqlc.arg(order_count)
    for update skip locked
)
returning id, attempt;

-- name: ClaimWaitingOrders :many
-- ClaimWaitingOrders leases orders to this replica that wait after a failed attempt, before they are due but not before a
-- dependency asked to: those that are due first. An order that an attempt has the lease of has no last error.
update orders set attempt = attempt + 1, last_error = '', next_attempt_time = now() + make_interval(secs => sqlc.arg(lease_seconds)::float8)
where id in (
    select o.id from orders o
    where o.fulfilment in ('in_progress', 'ledger_blocked') and o.next_attempt_time > now() and o.last_error <> ''
        and o.earliest_attempt_time <= now() and o.id <> all(sqlc.arg(but)::text[])
    order by o.next_attempt_time
    limit sqlc.arg(order_count)
    for update skip locked
)
returning id, attempt;

-- name: GetOrderStates :one
select id, payment, fulfilment, attempt from orders where id = $1;

-- name: MarkReceiptSent :exec
-- A receipt that went to the buyer of before a correction does not count.
update orders set receipt_sent_time = $2 where id = $1 and receipt_sent_time is null and buyer_corrections = $3;

-- name: MakeAttemptDue :execrows
-- An attempt that is under way keeps its lease: a second one beside it would be of no use.
update orders set next_attempt_time = now()
where id = $1 and fulfilment in ('in_progress', 'ledger_blocked') and last_error <> '';

-- name: CorrectBuyer :exec
update orders set buyer_name = $2, buyer_email = $3, language = $4, buyer_corrections = $5, receipt_sent_time = null where id = $1;

-- name: SetBuyerKey :exec
update order_lines set buyer_key = $2 where order_id = $1 and buyer_key is not null;

-- name: ForgetReceipt :exec
update orders set receipt_sent_time = null where id = $1;

-- name: ListOrders :many
-- ListOrders returns orders before the cursor (create_time, id), the newest first. Each branch has an index of its own: all orders and
-- those in a common state of fulfilment, those of an event, those under way, and unfulfillable ones. A buyer is searched along the
-- branch's index. The rare states are named: with a parameter alone Postgres may walk all orders for them, as if no state were rare.
select page.id, page.create_time
from (
    (select o.id, o.create_time from orders o
    where sqlc.arg(event_id)::text = '' and sqlc.arg(fulfilment)::text not in ('in_progress', 'ledger_blocked', 'unfulfillable')
        and (sqlc.arg(fulfilment)::text = '' or o.fulfilment = sqlc.arg(fulfilment)::text)
        and (o.create_time, o.id) < (sqlc.arg(before_time)::timestamptz, sqlc.arg(before_id)::text)
        and (sqlc.arg(buyer)::text = '' or strpos(lower(o.buyer_name), lower(sqlc.arg(buyer)::text)) > 0
            or strpos(lower(o.buyer_email), lower(sqlc.arg(buyer)::text)) > 0)
    order by o.create_time desc, o.id desc
    limit sqlc.arg(page_size)::integer)
    union all
    (select o.id, o.create_time from orders o
    where o.event_id = nullif(sqlc.arg(event_id)::text, '')
        and (sqlc.arg(fulfilment)::text = '' or o.fulfilment = sqlc.arg(fulfilment)::text)
        and (o.create_time, o.id) < (sqlc.arg(before_time)::timestamptz, sqlc.arg(before_id)::text)
        and (sqlc.arg(buyer)::text = '' or strpos(lower(o.buyer_name), lower(sqlc.arg(buyer)::text)) > 0
            or strpos(lower(o.buyer_email), lower(sqlc.arg(buyer)::text)) > 0)
    order by o.create_time desc, o.id desc
    limit sqlc.arg(page_size)::integer)
    union all
    (select o.id, o.create_time from orders o
    where sqlc.arg(event_id)::text = '' and sqlc.arg(fulfilment)::text in ('in_progress', 'ledger_blocked')
        and o.fulfilment in ('in_progress', 'ledger_blocked') and o.fulfilment = sqlc.arg(fulfilment)::text
        and (o.create_time, o.id) < (sqlc.arg(before_time)::timestamptz, sqlc.arg(before_id)::text)
        and (sqlc.arg(buyer)::text = '' or strpos(lower(o.buyer_name), lower(sqlc.arg(buyer)::text)) > 0
            or strpos(lower(o.buyer_email), lower(sqlc.arg(buyer)::text)) > 0)
    order by o.create_time desc, o.id desc
    limit sqlc.arg(page_size)::integer)
    union all
    (select o.id, o.create_time from orders o
    where sqlc.arg(event_id)::text = '' and sqlc.arg(fulfilment)::text = 'unfulfillable' and o.fulfilment = 'unfulfillable'
        and (o.create_time, o.id) < (sqlc.arg(before_time)::timestamptz, sqlc.arg(before_id)::text)
        and (sqlc.arg(buyer)::text = '' or strpos(lower(o.buyer_name), lower(sqlc.arg(buyer)::text)) > 0
            or strpos(lower(o.buyer_email), lower(sqlc.arg(buyer)::text)) > 0)
    order by o.create_time desc, o.id desc
    limit sqlc.arg(page_size)::integer)
) as page
order by page.create_time desc, page.id desc
limit sqlc.arg(page_size)::integer;
