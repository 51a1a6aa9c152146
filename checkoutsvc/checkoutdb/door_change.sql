-- name: GetDoorEpoch :one
-- GetDoorEpoch names the history that change numbers belong to, and the first number that a later read must ask for: all changes of smaller
-- ones were committed, and are visible, when this statement's snapshot was taken. A restored database has another history.
select concat_ws('/', (select system_identifier from pg_control_system()), left(pg_walfile_name(pg_current_wal_lsn()), 8),
        'door_changes'::regclass::oid)::text as history,
    pg_snapshot_xmin(pg_current_snapshot())::text as next_xid;

-- name: ListDoorChanges :many
-- ListDoorChanges returns the moves of an event's tickets after the cursor (change_xid, ticket_id).
select ticket_id, change_xid::text as change_xid, state from door_changes
where event_id = sqlc.arg(event_id) and (change_xid, ticket_id) > (sqlc.arg(after_xid)::text::xid8, sqlc.arg(after_id)::text)
order by change_xid, ticket_id
limit sqlc.arg(page_size)::integer;
