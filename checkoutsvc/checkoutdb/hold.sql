-- name: InsertHold :exec
-- InsertHold inserts the hold of an order of the buyer of a key. Where a limit counts what the buyer or the network has, other holds of
-- them wait until the transaction has ended: a later statement sees all that were committed.
insert into holds (order_id, expire_time, network_key)
select sqlc.arg(order_id), now() + make_interval(secs => sqlc.arg(hold_seconds)::float8), sqlc.narg(network_key)::bigint
from (select case when sqlc.arg(limited)::boolean then pg_advisory_xact_lock(sqlc.arg(buyer_key)::bigint) end,
    case when sqlc.narg(network_key)::bigint is not null then pg_advisory_xact_lock(sqlc.narg(network_key)::bigint) end) as locked;

-- name: LockBuyer :exec
-- LockBuyer has other holds of the buyer of a key wait until the transaction has ended.
select pg_advisory_xact_lock(sqlc.arg(buyer_key)::bigint);

-- name: EndHolds :exec
-- EndHolds writes how holds ended, as lists of equal length, and forgets of which network they were. The caller holds the orders' row locks.
update holds set state = ended.state, end_time = ended.end_time, network_key = null
from (
    select unnest(sqlc.arg(order_ids)::text[]) as order_id, unnest(sqlc.arg(states)::text[]) as state,
        unnest(sqlc.arg(end_times)::timestamptz[]) as end_time
) as ended
where holds.order_id = ended.order_id;

-- name: ListDueHolds :many
-- ListDueHolds returns a page of the holds that have run out, after the cursor (expire_time, order_id) and without locking them, but
-- for those that are left for later and those whose payment is on its way, and not for too long.
-- The limit in the lateral query has the intents looked up by order; else they could all be read for a hash.
select order_id, expire_time from holds
cross join lateral (select count(*) processing from (select from payment_intents p where p.order_id = holds.order_id and p.status = 'processing'
    and sqlc.arg(processing_seconds)::float8 > 0 and p.status_time > now() - make_interval(secs => sqlc.arg(processing_seconds)::float8) limit 1) x) intents
where state = 'active' and expire_time <= now() and (expire_time, order_id) > (sqlc.arg(after_time)::timestamptz, sqlc.arg(after_id)::text)
    and order_id <> all(sqlc.arg(later_order_ids)::text[]) and processing = 0
order by expire_time, order_id limit sqlc.arg(hold_count);
