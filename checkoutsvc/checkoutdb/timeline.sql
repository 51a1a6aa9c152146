-- name: InsertTimeline :exec
insert into timeline (order_id, time, step, attempt, took_ms, error, detail, actor) values ($1, $2, $3, $4, $5, $6, $7, $8);

-- name: ListTimeline :many
select order_id, number, time, step, attempt, took_ms, error, detail, actor from timeline where order_id = $1 order by number limit 1000;
