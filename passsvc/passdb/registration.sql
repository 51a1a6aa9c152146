-- name: UpsertRegistration :one
-- UpsertRegistration returns whether the device is new for this pass, and whether its push token is. xmax is 0 only in a
-- row that was just inserted.
with before as (
    select b.push_token from registrations b
    where b.device_id = sqlc.arg(device_id) and b.pass_type = sqlc.arg(pass_type) and b.serial = sqlc.arg(serial)
)
insert into registrations (device_id, pass_type, serial, push_token, register_time, first_time)
values (sqlc.arg(device_id), sqlc.arg(pass_type), sqlc.arg(serial), sqlc.arg(push_token), sqlc.arg(register_time), sqlc.arg(register_time))
on conflict on constraint device_registers_once
do update set push_token = excluded.push_token, register_time = excluded.register_time
returning (xmax = 0)::boolean as is_new,
    (push_token is distinct from (select b.push_token from before b))::boolean as has_new_token;

-- name: EvictRegistrations :execrows
-- EvictRegistrations removes devices of a pass beyond a count, the newcomer excepted: those first that APNs has never taken a
-- push for, and of these the youngest. Whoever has the pass can make up devices, but none that APNs knows.
delete from registrations r where r.serial = sqlc.arg(serial) and r.ctid in (
    select e.ctid from registrations e where e.serial = sqlc.arg(serial)
    order by e.device_id = sqlc.arg(newcomer_device_id) desc,
        exists (
            select 1 from pushes p
            where p.pass_type = e.pass_type and p.serial = e.serial and p.device_id = e.device_id and p.state in ('sent', 'coalesced')
        ) desc,
        e.first_time, e.device_id offset sqlc.arg(device_count)
);

-- name: TakeListTag :exec
-- TakeListTag makes a pass count as changed now for one device. It takes an update tag: see RevisePasses.
with taken as (
    insert into update_tags as t (pass_type, tag) values (sqlc.arg(pass_type), 1)
    on conflict on constraint pass_type_has_one_tag do update set tag = t.tag + 1
    returning tag
)
update registrations r set list_tag = taken.tag from taken
where r.device_id = sqlc.arg(device_id) and r.pass_type = sqlc.arg(pass_type) and r.serial = sqlc.arg(serial);

-- name: DeleteRegistration :execrows
delete from registrations where device_id = $1 and pass_type = $2 and serial = $3;

-- name: ListDeviceSerials :many
-- ListDeviceSerials returns a device's passes that changed after a tag, each with the tag of its change. A negative tag,
-- and one that was never taken, asks for all.
select r.serial, greatest(p.update_tag, r.list_tag)::bigint as tag
from registrations r join passes p on p.serial = r.serial
where r.device_id = $1 and r.pass_type = $2 and (
    sqlc.arg(after_tag)::bigint < 0
    or greatest(p.update_tag, r.list_tag) > sqlc.arg(after_tag)::bigint
    or sqlc.arg(after_tag)::bigint > coalesce((select t.tag from update_tags t where t.pass_type = $2), 0)
)
order by r.serial;

-- name: ListRegistrations :many
select device_id, register_time from registrations where serial = $1 order by register_time, device_id;

-- name: DeleteToken :execrows
-- DeleteToken forgets a push token that APNs calls dead, unless a device has registered it again after that. before is in
-- whole seconds, as APNs' time is after its way here.
delete from registrations
where pass_type = $1 and push_token = sqlc.arg(push_token)
    and date_trunc('second', register_time) <= sqlc.arg(before)::timestamptz;
