-- name: InsertHold :exec
insert into holds (order_id, expire_time) values ($1, now() + make_interval(secs => sqlc.arg(hold_seconds)::float8));

-- name: EndHold :exec
-- EndHold writes how a hold ended. The caller holds the order's row lock.
update holds set state = $2, end_time = $3 where order_id = $1;

-- name: ListDueHolds :many
-- ListDueHolds returns orders whose hold has run out, without locking them, but for those that are left for later and those whose
-- payment is on its way, and not for too long.
-- The limit in the lateral query has the intents looked up by order; else they could all be read for a hash.
select order_id from holds
cross join lateral (select count(*) processing from (select from payment_intents p where p.order_id = holds.order_id and p.status = 'processing'
    and sqlc.arg(processing_seconds)::float8 > 0 and p.status_time > now() - make_interval(secs => sqlc.arg(processing_seconds)::float8) limit 1) x) intents
where state = 'active' and expire_time <= now() and order_id <> all(sqlc.arg(later_order_ids)::text[]) and processing = 0
order by expire_time limit sqlc.arg(hold_count);
