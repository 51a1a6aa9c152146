-- name: InsertTimeline :exec
insert into timeline (order_id, time, step, attempt, took_ms, error, detail) values ($1, $2, $3, $4, $5, $6, $7);

-- name: ListTimeline :many
select order_id, number, time, step, attempt, took_ms, error, detail from timeline where order_id = $1 order by number limit 1000;
