-- name: InsertOrganizer :execrows
insert into organizers (id, name, create_time) values ($1, $2, $3) on conflict (id) do nothing;

-- name: KeepOrganizerName :one
-- KeepOrganizerName returns an organiser's name, which stays until the transaction has ended.
select name from organizers where id = $1 for key share;

-- name: GetOrganizer :one
select id, name, create_time, update_number from organizers where id = $1;

-- name: LockOrganizer :one
select id, name, create_time, update_number from organizers where id = $1 for update;

-- name: RenameOrganizer :one
-- RenameOrganizer also gives the name to the organiser's events, by their reference.
update organizers set name = $2 where id = $1 returning update_number;

-- name: ListOrganizers :many
-- ListOrganizers returns organisers after the cursor (name, id).
select id, name, create_time, update_number
from organizers
where (name, id) > (sqlc.arg(after_name)::text, sqlc.arg(after_id)::text)
order by name, id
limit sqlc.arg(page_size);
