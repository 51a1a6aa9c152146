-- name: ListAttendees :many
-- ListAttendees returns tickets of an event after the cursor (create_time of the order, order_id, position), in the order in which they were
-- bought, but for those that were replaced. A holder is searched along the index of the event's orders.
select t.id, t.order_id, t.position, t.event_id, t.variant_id, t.variant_version, t.code_key_version, t.create_time, t.snapshot_schema,
    t.snapshot, t.state, t.pass_serial, t.change_number, t.valid_time, t.seat_returned, o.create_time as order_time,
    o.buyer_name, o.buyer_email, t.holder_name, t.holder_email,
    coalesce(a.entry_number, 0)::integer as entry_number, coalesce(a.entry_time, 'epoch')::timestamptz as entry_time, coalesce(a.entry_gate, '')::text as entry_gate, a.entry_device_id,
    a.exit_time, coalesce(a.exit_gate, '')::text as exit_gate, coalesce(a.offline, false)::boolean as offline
from orders o
join tickets t on t.order_id = o.id
left join lateral (select s.entry_number, s.entry_time, s.entry_gate, s.entry_device_id, s.exit_time, s.exit_gate, s.offline from admissions s
    where s.ticket_id = t.id and s.undo_time is null order by s.entry_number desc limit 1) a on true
where o.event_id = sqlc.arg(event_id) and o.create_time >= sqlc.arg(after_time)::timestamptz
    and (o.create_time, o.id, t.position) > (sqlc.arg(after_time)::timestamptz, sqlc.arg(after_id)::text, sqlc.arg(after_position)::integer)
    and (sqlc.arg(state)::text = '' or t.state = sqlc.arg(state)::text)
    and (sqlc.arg(holder)::text = '' or strpos(lower(o.buyer_name), lower(sqlc.arg(holder)::text)) > 0
        or strpos(lower(o.buyer_email), lower(sqlc.arg(holder)::text)) > 0
        or strpos(lower(t.holder_name), lower(sqlc.arg(holder)::text)) > 0
        or strpos(lower(t.holder_email), lower(sqlc.arg(holder)::text)) > 0)
    and not exists (select from tickets n where n.replaces = t.id)
order by o.create_time, o.id, t.position
limit sqlc.arg(page_size)::integer;

-- name: ListAttendeesOfOrder :many
-- ListAttendeesOfOrder is ListAttendees for the tickets of one order.
select t.id, t.order_id, t.position, t.event_id, t.variant_id, t.variant_version, t.code_key_version, t.create_time, t.snapshot_schema,
    t.snapshot, t.state, t.pass_serial, t.change_number, t.valid_time, t.seat_returned, o.create_time as order_time,
    o.buyer_name, o.buyer_email, t.holder_name, t.holder_email,
    coalesce(a.entry_number, 0)::integer as entry_number, coalesce(a.entry_time, 'epoch')::timestamptz as entry_time, coalesce(a.entry_gate, '')::text as entry_gate, a.entry_device_id,
    a.exit_time, coalesce(a.exit_gate, '')::text as exit_gate, coalesce(a.offline, false)::boolean as offline
from orders o
join tickets t on t.order_id = o.id
left join lateral (select s.entry_number, s.entry_time, s.entry_gate, s.entry_device_id, s.exit_time, s.exit_gate, s.offline from admissions s
    where s.ticket_id = t.id and s.undo_time is null order by s.entry_number desc limit 1) a on true
where o.id = sqlc.arg(order_id) and o.event_id = sqlc.arg(event_id) and t.position > sqlc.arg(after_position)::integer
    and (sqlc.arg(state)::text = '' or t.state = sqlc.arg(state)::text)
    and (sqlc.arg(holder)::text = '' or strpos(lower(o.buyer_name), lower(sqlc.arg(holder)::text)) > 0
        or strpos(lower(o.buyer_email), lower(sqlc.arg(holder)::text)) > 0
        or strpos(lower(t.holder_name), lower(sqlc.arg(holder)::text)) > 0
        or strpos(lower(t.holder_email), lower(sqlc.arg(holder)::text)) > 0)
    and not exists (select from tickets n where n.replaces = t.id)
order by t.position
limit sqlc.arg(page_size)::integer;
