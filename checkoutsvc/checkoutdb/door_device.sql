-- name: InsertDoorDevice :exec
insert into door_devices (id, event_id, gate, name, create_time, created_by, enrol_handle, enrol_expire_time)
values ($1, $2, $3, $4, $5, $6, $7, $8);

-- name: TryEnrolment :one
-- TryEnrolment counts a try with the first half of a code before its second half is looked at; no row when there are no tries left.
update door_devices set enrol_tries = enrol_tries + 1
where enrol_handle = sqlc.arg(enrol_handle) and enrol_tries < 10 and enrol_expire_time > sqlc.arg(now)::timestamptz and revoke_time is null
returning id;

-- name: EnrolDoorDevice :one
-- EnrolDoorDevice enrols a device that has not enrolled yet; no row for any other.
update door_devices set enrol_time = sqlc.arg(now)::timestamptz, token_hash = sqlc.arg(token_hash)
where id = sqlc.arg(id) and enrol_time is null and revoke_time is null
returning id, event_id, gate, name, create_time, created_by, enrol_handle, enrol_expire_time, enrol_tries, enrol_time, token_hash, revoke_time;

-- name: FindDoorDevice :one
-- FindDoorDevice returns whose token it is: that of a device which is not revoked.
select id, event_id, gate from door_devices where token_hash = $1 and revoke_time is null;

-- name: GetDoorDevice :one
select id, event_id, gate, name, create_time, created_by, enrol_handle, enrol_expire_time, enrol_tries, enrol_time, token_hash, revoke_time
from door_devices where id = $1;

-- name: LockDoorDevice :one
-- LockDoorDevice has the uploads of one device follow each other.
select id, event_id, gate from door_devices where id = $1 for update;

-- name: RevokeDoorDevice :one
update door_devices set revoke_time = coalesce(revoke_time, sqlc.arg(now)::timestamptz) where id = sqlc.arg(id)
returning id, event_id, gate, name, create_time, created_by, enrol_handle, enrol_expire_time, enrol_tries, enrol_time, token_hash, revoke_time;

-- name: ListDoorDevices :many
-- ListDoorDevices returns devices of an event after the cursor (create_time, id), the oldest first.
select id, event_id, gate, name, create_time, created_by, enrol_handle, enrol_expire_time, enrol_tries, enrol_time, token_hash, revoke_time
from door_devices
where event_id = sqlc.arg(event_id) and (create_time, id) > (sqlc.arg(after_time)::timestamptz, sqlc.arg(after_id)::text)
order by create_time, id
limit sqlc.arg(page_size)::integer;
