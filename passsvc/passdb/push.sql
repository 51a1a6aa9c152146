-- name: InsertPushes :exec
-- InsertPushes makes a push for each device that is registered for one of the revised passes.
insert into pushes (id, pass_type, serial, revision, device_id, push_token, pass_batch_id, create_time, due_time)
select gen_random_uuid(), r.pass_type, r.serial, c.revision, r.device_id, r.push_token, sqlc.arg(pass_batch_id), sqlc.arg(create_time),
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

-- name: ClaimPushes :many
-- ClaimPushes leases due pushes of a pass type, of at most token_count devices, together with what else is new for the
-- same devices: one notification tells it all. Rows that another replica has leased are left to it.
with devices as (
    select distinct d.push_token from (
        select w.push_token from pushes w
        where w.pass_type = sqlc.arg(pass_type) and w.state = 'pending' and w.due_time <= clock_timestamp()
        order by w.due_time limit 4 * sqlc.arg(token_count)::bigint
    ) d limit sqlc.arg(token_count)::bigint
), taken as (
    -- The pass type is disguised so that only the index on tokens fits: the planner knows little of a table that is
    -- filled and emptied all day, and took the other one, reading all that is pending for each device.
    select t.id from devices cross join lateral (
        select w.id from pushes w
        where w.push_token = devices.push_token and w.state = 'pending' and w.pass_type || '' = sqlc.arg(pass_type)
            and (w.due_time <= clock_timestamp() or w.attempt_count = 0)
        for update skip locked
    ) t
)
update pushes p set attempt_count = p.attempt_count + 1,
    due_time = clock_timestamp() + make_interval(secs => sqlc.arg(lease_seconds)::float8)
from taken where p.id = taken.id
returning p.id, p.serial, p.revision, p.device_id, p.push_token, p.attempt_count;

-- name: SettlePushes :exec
-- SettlePushes writes how claimed pushes ended. One whose device has registered another token meanwhile is left pending. With a
-- spent count of 0 the attempt is given back: it says nothing about the push.
update pushes p set state = u.state, apns_status = u.apns_status, apns_reason = u.apns_reason,
    attempt_count = p.attempt_count - 1 + u.spent_count,
    send_time = case when u.state in ('sent', 'coalesced') then sqlc.arg(now)::timestamptz else p.send_time end,
    due_time = case when u.state = 'pending' then clock_timestamp() + make_interval(secs => u.wait_seconds) else p.due_time end
from (
    select unnest(sqlc.arg(ids)::uuid[]) as id, unnest(sqlc.arg(push_tokens)::text[]) as push_token,
        unnest(sqlc.arg(states)::text[]) as state, unnest(sqlc.arg(apns_statuses)::integer[]) as apns_status,
        unnest(sqlc.arg(apns_reasons)::text[]) as apns_reason, unnest(sqlc.arg(spent_counts)::integer[]) as spent_count,
        unnest(sqlc.arg(wait_seconds)::float8[]) as wait_seconds
) u
where p.id = u.id and p.push_token = u.push_token and p.state = 'pending';

-- name: NextPushDue :one
-- NextPushDue returns in how many seconds the next push of a pass type is due; an hour when none is pending.
select coalesce(extract(epoch from min(due_time) - clock_timestamp()), 3600)::float8 as wait_seconds
from pushes where pass_type = $1 and state = 'pending';
