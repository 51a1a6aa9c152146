-- name: InsertOrganizer :exec
insert into organizers (id, name) values ($1, $2) on conflict (id) do nothing;

-- name: GetOrganizerName :one
select name from organizers where id = $1;

-- name: InsertEvent :exec
insert into events (id, organizer_id, organizer_name, name, venue_name, venue_address, time_zone, latitude, longitude,
    doors_time, start_time, end_time, create_time, keep_refunded_seats)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14);

-- name: GetEvent :one
select id, organizer_id, organizer_name, name, venue_name, venue_address, time_zone, latitude, longitude, doors_time,
    start_time, end_time, create_time, keep_refunded_seats, schedule_number, cancel_time
from events where id = $1;

-- name: ListEvents :many
-- ListEvents returns events after the cursor (start_time, id), the soonest start first.
select id, organizer_id, organizer_name, name, venue_name, venue_address, time_zone, latitude, longitude, doors_time,
    start_time, end_time, create_time, keep_refunded_seats, schedule_number, cancel_time
from events
where (start_time, id) > (sqlc.arg(after_start_time)::timestamptz, sqlc.arg(after_id)::text)
order by start_time, id
limit sqlc.arg(page_size);
