-- name: InsertHold :exec
insert into holds (order_id, expire_time) values ($1, now() + make_interval(secs => sqlc.arg(hold_seconds)::float8));

-- name: EndHold :exec
-- EndHold writes how a hold ended. The caller holds the order's row lock.
update holds set state = $2, end_time = $3 where order_id = $1;

-- name: ListDueHolds :many
-- ListDueHolds returns orders whose hold has run out, without locking them, but for those that are left for later and those whose
-- payment is on its way, and not for too long.
select order_id from holds
where state = 'active' and expire_time <= now() and order_id <> all(sqlc.arg(later_order_ids)::text[])
    and not exists (select from payment_intents p where p.order_id = holds.order_id and p.status = 'processing'
        and sqlc.arg(processing_seconds)::float8 > 0 and p.status_time > now() - make_interval(secs => sqlc.arg(processing_seconds)::float8))
order by expire_time limit sqlc.arg(hold_count);
