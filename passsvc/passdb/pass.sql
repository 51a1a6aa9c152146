-- name: InsertPasses :many
-- InsertPasses issues passes, in the order given, and returns the tickets that had none.
insert into passes (serial, pass_type, ticket_id, order_id, event_id, ticket_change_number, content, content_hash,
    issue_hash, token_key_version, revision, revise_time, modify_time, create_time)
select unnest(sqlc.arg(serials)::text[]), unnest(sqlc.arg(pass_types)::text[]), unnest(sqlc.arg(ticket_ids)::text[]), sqlc.arg(order_id),
    unnest(sqlc.arg(event_ids)::text[]), unnest(sqlc.arg(ticket_change_numbers)::bigint[]),
    unnest(sqlc.arg(contents)::jsonb[]), unnest(sqlc.arg(content_hashes)::bytea[]),
    unnest(sqlc.arg(content_hashes)::bytea[]), sqlc.arg(token_key_version), 1,
    sqlc.arg(now)::timestamptz, date_trunc('second', sqlc.arg(now)::timestamptz), sqlc.arg(now)::timestamptz
on conflict on constraint ticket_has_one_pass do nothing
returning ticket_id;

-- name: GetPass :one
select * from passes where serial = $1;

-- name: ListOrderPasses :many
select * from passes where order_id = $1 order by id;

-- name: LockPass :one
select * from passes where serial = $1 for no key update;

-- name: LockTicketPasses :many
-- LockTicketPasses locks the passes of tickets, in the one order in which everybody locks several.
select * from passes where ticket_id = any(sqlc.arg(ticket_ids)::text[]) order by id for no key update;

-- name: LockEventPasses :many
-- LockEventPasses locks the next passes of an event behind a cursor.
select * from passes where event_id = $1 and id > sqlc.arg(after_id) order by id limit sqlc.arg(pass_count)
for no key update;

-- name: CountEventPasses :one
select count(*) from passes where event_id = $1;

-- name: SharePass :one
-- SharePass keeps a pass from being changed until the transaction ends, while several may share it.
select pass_type, revision, token_key_version from passes where serial = $1 for share;

-- name: RevisePasses :exec
-- RevisePasses writes new revisions of locked passes of one type and takes one update tag for all. The tag's row stays
-- locked until the commit, so this is the last statement of its transaction.
with taken as (
    insert into update_tags as t (pass_type, tag) values (sqlc.arg(pass_type), 1)
    on conflict on constraint pass_type_has_one_tag do update set tag = t.tag + 1
    returning tag
), revised as (
    select unnest(sqlc.arg(serials)::text[]) as serial, unnest(sqlc.arg(order_ids)::text[]) as order_id,
        unnest(sqlc.arg(event_ids)::text[]) as event_id,
        unnest(sqlc.arg(ticket_change_numbers)::bigint[]) as ticket_change_number,
        unnest(sqlc.arg(contents)::jsonb[]) as content, unnest(sqlc.arg(content_hashes)::bytea[]) as content_hash,
        unnest(sqlc.arg(revisions)::bigint[]) as revision, unnest(sqlc.arg(modify_times)::timestamptz[]) as modify_time
)
update passes p
set order_id = r.order_id, event_id = r.event_id, ticket_change_number = r.ticket_change_number, content = r.content,
    content_hash = r.content_hash, revision = r.revision, modify_time = r.modify_time,
    revise_time = sqlc.arg(now)::timestamptz, update_tag = taken.tag
from revised r, taken
where p.serial = r.serial;

-- name: SetTicketChangeNumber :exec
-- SetTicketChangeNumber notes a newer change of a locked pass's ticket that altered nothing on the pass.
update passes set ticket_change_number = $2 where serial = $1;

-- name: ListChangedSerials :many
-- ListChangedSerials returns what changed after a tag, in the order of the changes.
select serial, update_tag from passes where pass_type = $1 and update_tag > sqlc.arg(after_tag) and update_tag > 0
order by update_tag limit sqlc.arg(serial_count);

-- name: GetUpdateTag :one
select coalesce((select tag from update_tags where pass_type = $1), 0)::bigint as tag;
