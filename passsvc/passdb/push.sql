-- name: InsertPushes :exec
-- InsertPushes makes a push for each device that is registered for one of the revised passes.
insert into pushes (id, pass_type, serial, revision, device_id, push_token, create_time, due_time)
select gen_random_uuid(), r.pass_type, r.serial, c.revision, r.device_id, r.push_token, sqlc.arg(create_time),
    clock_timestamp() + make_interval(secs => sqlc.arg(wait_seconds)::float8)
from (select unnest(sqlc.arg(serials)::text[]) as serial, unnest(sqlc.arg(revisions)::bigint[]) as revision) c
join registrations r on r.serial = c.serial
on conflict on constraint push_tells_a_device_once do nothing;

-- name: RenewPush :exec
-- RenewPush makes the push of a revision to one device, or sends it to the device's new token if no earlier one took it.
insert into pushes as p (id, pass_type, serial, revision, device_id, push_token, create_time, due_time)
values (gen_random_uuid(), sqlc.arg(pass_type), sqlc.arg(serial), sqlc.arg(revision), sqlc.arg(device_id), sqlc.arg(push_token),
    sqlc.arg(create_time), clock_timestamp() + make_interval(secs => sqlc.arg(wait_seconds)::float8))
on conflict on constraint push_tells_a_device_once
do update set push_token = excluded.push_token, state = 'pending', due_time = excluded.due_time
where p.state in ('pending', 'gone', 'failed');

-- name: ListPushes :many
select * from pushes where serial = $1 order by create_time desc, revision desc, device_id limit sqlc.arg(push_count);
