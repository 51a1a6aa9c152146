-- name: InsertEvent :exec
insert into events (id, organizer_id, organizer_name, name, venue_name, venue_address, time_zone, latitude, longitude,
    doors_time, start_time, end_time, create_time, keep_refunded_seats, description, image_urls, languages, publication,
    buyer_ticket_limit)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19);

-- name: GetEvent :one
select sqlc.embed(events) from events where id = $1;

-- name: KeepEventForSale :one
-- KeepEventForSale returns what a sale needs of an event. The reference of the order would take the same lock a moment later; taken
-- here, an event is not deleted and does not change its time zone between being read and being sold.
select id, organizer_id, organizer_name, name, venue_name, venue_address, time_zone, latitude, longitude, doors_time,
    start_time, end_time, publication, buyer_ticket_limit, schedule_number, cancel_time, buyer_refund_seconds, refund_kept_basis_points,
    refund_application_fee, exists (select from waiting_rooms w where w.event_id = events.id and not w.closed) as waiting_room
from events where id = $1 for key share;

-- name: KeepEvent :one
-- KeepEvent returns how an event is published, and keeps it from being deleted until the transaction has ended.
select publication from events where id = $1 for key share;

-- name: GetPublication :one
select publication from events where id = $1;

-- name: LockEvent :one
-- LockEvent locks an event against other changes. Sales go on.
select sqlc.embed(events) from events where id = $1 for no key update;

-- name: LockEventAlone :one
-- LockEventAlone waits until sales of the event that are under way have ended, and has new ones wait.
select sqlc.embed(events) from events where id = $1 for update;

-- name: UpdateEvent :one
update events set name = @name, description = @description, image_urls = @image_urls, languages = @languages,
    venue_name = @venue_name, venue_address = @venue_address, time_zone = @time_zone, latitude = sqlc.narg(latitude),
    longitude = sqlc.narg(longitude), doors_time = sqlc.narg(doors_time), keep_refunded_seats = @keep_refunded_seats,
    buyer_ticket_limit = sqlc.narg(buyer_ticket_limit), buyer_refund_seconds = sqlc.narg(buyer_refund_seconds),
    refund_kept_basis_points = @refund_kept_basis_points, refund_application_fee = @refund_application_fee,
    transfers_allowed = @transfers_allowed, transfer_end_time = sqlc.narg(transfer_end_time), transfer_limit = @transfer_limit,
    holder_change_end_time = sqlc.narg(holder_change_end_time)
where id = @id returning update_number;

-- name: SetPublication :one
update events set publication = $2 where id = $1 returning update_number;

-- name: EventHasTickets :one
-- EventHasTickets says whether tickets of the event are held or were sold.
select exists (
    select from orders o join holds h on h.order_id = o.id where o.event_id = $1 and h.state in ('active', 'consumed')
);

-- name: LockVariantsOfEvent :exec
select from variants where event_id = $1 for update;

-- name: DeleteVersionsOfEvent :exec
delete from variant_versions where variant_id in (select id from variants where event_id = $1);

-- name: DeleteStockOfEvent :exec
delete from stock where variant_id in (select id from variants where event_id = $1);

-- name: DeleteVariantsOfEvent :exec
delete from variants where event_id = $1;

-- name: DeleteProductsOfEvent :exec
delete from products where event_id = $1;

-- name: DeleteEvent :exec
delete from events where id = $1;

-- name: ListEvents :many
-- ListEvents returns events after the cursor (start_time, id), the soonest start first.
select sqlc.embed(events)
from events
where (start_time, id) > (sqlc.arg(after_start_time)::timestamptz, sqlc.arg(after_id)::text)
    and start_time < sqlc.arg(until)::timestamptz and publication = any(sqlc.arg(publications)::text[])
order by start_time, id
limit sqlc.arg(page_size);

-- name: ListEventsOfOrganizer :many
-- ListEventsOfOrganizer is ListEvents of one organiser.
select sqlc.embed(events)
from events
where organizer_id = sqlc.arg(organizer_id)
    and (start_time, id) > (sqlc.arg(after_start_time)::timestamptz, sqlc.arg(after_id)::text)
    and start_time < sqlc.arg(until)::timestamptz and publication = any(sqlc.arg(publications)::text[])
order by start_time, id
limit sqlc.arg(page_size);
