-- name: GetWaitingRoom :one
select sqlc.embed(waiting_rooms) from waiting_rooms where event_id = $1;

-- name: LockWaitingRoom :one
select sqlc.embed(waiting_rooms) from waiting_rooms where event_id = $1 for update;

-- name: InsertWaitingRoom :exec
-- InsertWaitingRoom makes the room of an event, if it has none.
insert into waiting_rooms (event_id, open_time, admissions_per_minute, closed, pace_time) values ($1, $2, 0, false, $2)
on conflict (event_id) do nothing;

-- name: SaveWaitingRoom :exec
update waiting_rooms set open_time = $2, admissions_per_minute = $3, closed = $4, joined_count = $5, gathered_count = $6, draw_seed = $7,
    admitted_count = $8, pace_time = $9
where event_id = $1;

-- name: LockWaitingRoomPlace :exec
-- LockWaitingRoomPlace has other orders of the place wait until the transaction has ended.
select pg_advisory_xact_lock(hashtextextended(sqlc.arg(event_id)::text || '/' || sqlc.arg(number)::bigint::text, 1));

-- name: TakeWaitingRoomPlace :execrows
-- TakeWaitingRoomPlace makes an order that of its place, unless that has one which is open or was paid.
insert into waiting_room_orders as place (event_id, number, order_id) values ($1, $2, $3)
on conflict (event_id, number) do update set order_id = excluded.order_id
where not exists (select from holds h where h.order_id = place.order_id and h.state in ('active', 'consumed'));
