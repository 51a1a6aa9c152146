-- name: InsertTimeline :exec
-- InsertTimeline adds lines of one instant, as lists of equal length, in their order.
insert into timeline (order_id, time, step, attempt, took_ms, error, detail, actor)
select unnest(sqlc.arg(order_ids)::text[]), sqlc.arg(time)::timestamptz, unnest(sqlc.arg(steps)::text[]), unnest(sqlc.arg(attempts)::integer[]),
    unnest(sqlc.arg(took_ms)::bigint[]), unnest(sqlc.arg(errors)::text[]), unnest(sqlc.arg(details)::text[]), unnest(sqlc.arg(actors)::text[]);

-- name: ListTimeline :many
select order_id, number, time, step, attempt, took_ms, error, detail, actor from timeline where order_id = $1 order by number limit 1000;
