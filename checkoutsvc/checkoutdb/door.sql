-- name: SetDoorPolicy :exec
insert into door_policies (event_id, reentry, pass_shows_used, update_time) values ($1, $2, $3, $4)
on conflict (event_id) do update set reentry = excluded.reentry, pass_shows_used = excluded.pass_shows_used, update_time = excluded.update_time;

-- name: GetDoorPolicy :one
-- GetDoorPolicy returns the policy of an event's doors, the default where none was set; no row when there is no such event.
select coalesce(p.reentry, 'none')::text as reentry, coalesce(p.pass_shows_used, false)::boolean as pass_shows_used
from events e left join door_policies p on p.event_id = e.id where e.id = $1;

-- name: ListScannedTickets :many
-- ListScannedTickets returns what must be known of tickets before their orders are locked; none of it changes but the policy. The limit in
-- the lateral query has policies looked up by event; else they could all be read for a hash.
select t.id, t.order_id, t.event_id, coalesce(p.reentry, 'none')::text as reentry, coalesce(p.pass_shows_used, false)::boolean as pass_shows_used
from tickets t left join lateral (select reentry, pass_shows_used from door_policies where event_id = t.event_id limit 1) p on true
where t.id = any(sqlc.arg(ids)::text[]);

-- name: ListCountedScans :many
-- ListCountedScans returns the scans of tickets that stays follow from, in no order. The caller holds the orders' row locks.
select id, ticket_id::text as ticket_id, gate, device_id, direction, scan_time, record_time, offline, reentry, outcome
from door_scans where ticket_id = any(sqlc.arg(ticket_ids)::text[]) and counts and undo_time is null;

-- name: ListKnownScans :many
select id, ticket_id, device_id, direction, scan_time, gate, outcome from door_scans where id = any(sqlc.arg(ids)::text[]);

-- name: InsertScans :exec
-- InsertScans writes scans of one door, as lists of equal length. A ticket's id is empty where the code was none of ours.
insert into door_scans (id, ticket_id, direction, scan_time, counts, outcome, reentry, event_id, gate, device_id, record_time, offline)
select s.id, nullif(s.ticket_id, ''), s.direction, s.scan_time, s.counts, s.outcome, s.reentry,
    sqlc.arg(event_id)::text, sqlc.arg(gate)::text, sqlc.narg(device_id)::text, sqlc.arg(record_time)::timestamptz, sqlc.arg(offline)::boolean
from (
    select unnest(sqlc.arg(ids)::text[]) as id, unnest(sqlc.arg(ticket_ids)::text[]) as ticket_id, unnest(sqlc.arg(directions)::text[]) as direction,
        unnest(sqlc.arg(scan_times)::timestamptz[]) as scan_time, unnest(sqlc.arg(counts)::boolean[]) as counts,
        unnest(sqlc.arg(outcomes)::text[]) as outcome, unnest(sqlc.arg(reentry)::boolean[]) as reentry
) as s;

-- name: SetScanOutcomes :exec
-- SetScanOutcomes writes what became of scans when others were added or taken back, as lists of equal length.
update door_scans set outcome = changed.outcome
from (select unnest(sqlc.arg(ids)::text[]) as id, unnest(sqlc.arg(outcomes)::text[]) as outcome) as changed
where door_scans.id = changed.id;

-- name: UndoScans :exec
update door_scans set undo_time = sqlc.arg(undo_time)::timestamptz, undone_by = sqlc.arg(undone_by) where id = any(sqlc.arg(ids)::text[]);

-- name: UndoStay :exec
update admissions set undo_time = sqlc.arg(undo_time)::timestamptz, undone_by = sqlc.arg(undone_by) where id = sqlc.arg(id);

-- name: DeleteStays :exec
-- DeleteStays removes the stays of tickets that are derived anew in the same transaction.
delete from admissions where ticket_id = any(sqlc.arg(ticket_ids)::text[]) and undo_time is null;

-- name: InsertStays :exec
-- InsertStays writes stays, as lists of equal length; an empty gate is an exit that has not happened, an empty device is staff.
insert into admissions (id, ticket_id, event_id, order_id, entry_number, entry_gate, entry_device_id, entry_time, record_time,
    exit_gate, exit_device_id, exit_time, reentry, offline)
select s.id, s.ticket_id, s.event_id, s.order_id, s.entry_number, s.entry_gate, nullif(s.entry_device_id, ''), s.entry_time, s.record_time,
    s.exit_gate, nullif(s.exit_device_id, ''), case when s.exit_gate <> '' then s.exit_time end, s.reentry, s.offline
from (
    select unnest(sqlc.arg(ids)::text[]) as id, unnest(sqlc.arg(ticket_ids)::text[]) as ticket_id, unnest(sqlc.arg(event_ids)::text[]) as event_id,
        unnest(sqlc.arg(order_ids)::text[]) as order_id, unnest(sqlc.arg(entry_numbers)::integer[]) as entry_number,
        unnest(sqlc.arg(entry_gates)::text[]) as entry_gate, unnest(sqlc.arg(entry_device_ids)::text[]) as entry_device_id,
        unnest(sqlc.arg(entry_times)::timestamptz[]) as entry_time, unnest(sqlc.arg(record_times)::timestamptz[]) as record_time,
        unnest(sqlc.arg(exit_gates)::text[]) as exit_gate, unnest(sqlc.arg(exit_device_ids)::text[]) as exit_device_id,
        unnest(sqlc.arg(exit_times)::timestamptz[]) as exit_time, unnest(sqlc.arg(reentry)::boolean[]) as reentry,
        unnest(sqlc.arg(offline)::boolean[]) as offline
) as s;

-- name: ListFirstStays :many
-- ListFirstStays returns the first entries of tickets.
select ticket_id, entry_time, entry_gate from admissions
where ticket_id = any(sqlc.arg(ticket_ids)::text[]) and entry_number = 1 and undo_time is null;

-- name: ListScanConflicts :many
-- ListScanConflicts returns scans that should not have passed, after the cursor (record_time, id), the oldest record first.
select id, ticket_id, gate, device_id, direction, scan_time, record_time, outcome
from door_scans
where event_id = sqlc.arg(event_id) and outcome not in ('entered', 'left') and undo_time is null
    and (record_time, id) > (sqlc.arg(after_time)::timestamptz, sqlc.arg(after_id)::text)
order by record_time, id
limit sqlc.arg(page_size)::integer;

-- name: CountTickets :many
-- CountTickets counts the tickets of an event by state, but for those that were replaced.
select t.state, count(*) as ticket_count from orders o join tickets t on t.order_id = o.id
where o.event_id = $1 and (t.state <> 'void' or not exists (select from tickets n where n.replaces = t.id))
group by t.state;

-- name: CountEntries :many
-- CountEntries counts what passed the gates of an event.
select passed.gate::text as gate, sum(passed.entries)::bigint as entries, sum(passed.exits)::bigint as exits, sum(passed.inside)::bigint as inside
from (
    select a.entry_gate as gate, count(*) as entries, 0 as exits, count(*) filter (where a.exit_time is null) as inside
    from admissions a where a.event_id = sqlc.arg(event_id)::text and a.undo_time is null group by a.entry_gate
    union all
    select b.exit_gate, 0, count(*), 0 from admissions b
    where b.event_id = sqlc.arg(event_id)::text and b.undo_time is null and b.exit_time is not null group by b.exit_gate
) as passed
group by passed.gate order by passed.gate;
