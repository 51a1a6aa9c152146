-- name: TakeSeats :many
-- TakeSeats gives seats to an order, those of them that are free. It waits for others who take one of them, in the order of their ids, so
-- that two callers cannot block each other. An order's chosen seats are one call.
with wanted as materialized (select w.id from seats w where w.id = any(sqlc.arg(ids)::text[]) order by w.id for update)
update seats set order_id = sqlc.arg(order_id)::text from wanted
where seats.id = wanted.id and seats.order_id is null and not seats.blocked
returning seats.id, seats.event_id, seats.variant_id, seats.section, seats.row_label, seats.label;

-- name: LockSeats :exec
-- LockSeats waits for others who take one of the seats, and has others wait.
select from seats where id = any(sqlc.arg(ids)::text[]) order by id for update;

-- name: ListFreeSeats :many
-- ListFreeSeats returns the best seats of a variant that are free, the best first; those of wheelchairs and the like last.
select id, section, row_label, label, row_number, place, quality_rank, accessible from seats
where variant_id = sqlc.arg(variant_id) and order_id is null and not blocked
order by variant_id, accessible, quality_rank, section, row_number, place
limit sqlc.arg(seat_count)::integer;

-- name: TakeOneChoice :many
-- TakeOneChoice gives an order the first choice of so many seats that are all free, and returns their ids. It waits for nobody.
select taken::text as id from take_seats(sqlc.arg(order_id)::text, sqlc.arg(choices)::text[], sqlc.arg(seat_count)::integer) as taken;

-- name: ListSeatPlaces :many
-- ListSeatPlaces says what seats belong to.
select id, event_id, variant_id from seats where id = any(sqlc.arg(ids)::text[]);

-- name: ReturnSeats :exec
-- ReturnSeats puts seats on sale again that orders have, as lists of equal length. It locks them in the order of their ids.
with returned as materialized (
    select s.id from seats s
    join (select unnest(sqlc.arg(ids)::text[]) as id, unnest(sqlc.arg(order_ids)::text[]) as order_id) r on r.id = s.id and r.order_id = s.order_id
    order by s.id for update of s
)
update seats set order_id = null from returned where seats.id = returned.id;

-- name: LockSection :many
-- LockSection returns the seats of a section and keeps them from being taken.
select id, row_label, label, variant_id, blocked, (order_id is not null)::boolean as taken from seats
where event_id = $1 and section = $2 order by id for update;

-- name: ListSeatedVariants :many
-- ListSeatedVariants returns the seated ones of variants of an event.
select id from variants where event_id = sqlc.arg(event_id) and id = any(sqlc.arg(ids)::text[]) and seated;

-- name: SetSection :exec
insert into seat_sections (event_id, name, seat_count, create_time) values ($1, $2, $3, $4)
on conflict (event_id, name) do update set seat_count = excluded.seat_count;

-- name: DeleteSection :exec
delete from seat_sections where event_id = $1 and name = $2;

-- name: CountSections :one
-- CountSections counts the sections of an event, and their seats, but for one section.
select count(*) as section_count, coalesce(sum(seat_count), 0)::bigint as seat_count from seat_sections
where event_id = sqlc.arg(event_id) and name <> sqlc.arg(but_section);

-- name: InsertSeats :exec
-- InsertSeats adds seats to a section, as lists of equal length. Where has_place is false, x and y mean nothing.
insert into seats (id, row_label, label, variant_id, row_number, place, quality_rank, accessible, x, y, event_id, section)
select n.id, n.row_label, n.label, n.variant_id, n.row_number, n.place, n.quality_rank, n.accessible,
    case when n.has_place then n.x end, case when n.has_place then n.y end, sqlc.arg(event_id)::text, sqlc.arg(section)::text
from (
    select unnest(sqlc.arg(ids)::text[]) as id, unnest(sqlc.arg(row_labels)::text[]) as row_label, unnest(sqlc.arg(labels)::text[]) as label,
        unnest(sqlc.arg(variant_ids)::text[]) as variant_id, unnest(sqlc.arg(row_numbers)::integer[]) as row_number,
        unnest(sqlc.arg(places)::integer[]) as place, unnest(sqlc.arg(quality_ranks)::integer[]) as quality_rank,
        unnest(sqlc.arg(accessibles)::boolean[]) as accessible, unnest(sqlc.arg(has_places)::boolean[]) as has_place,
        unnest(sqlc.arg(xs)::integer[]) as x, unnest(sqlc.arg(ys)::integer[]) as y
) as n;

-- name: UpdateSeats :exec
-- UpdateSeats changes what the map says of seats, as lists of equal length; those that stay as they are are not written.
update seats set variant_id = n.variant_id, row_number = n.row_number, place = n.place, quality_rank = n.quality_rank,
    accessible = n.accessible, x = case when n.has_place then n.x end, y = case when n.has_place then n.y end
from (
    select unnest(sqlc.arg(ids)::text[]) as id, unnest(sqlc.arg(variant_ids)::text[]) as variant_id,
        unnest(sqlc.arg(row_numbers)::integer[]) as row_number, unnest(sqlc.arg(places)::integer[]) as place,
        unnest(sqlc.arg(quality_ranks)::integer[]) as quality_rank, unnest(sqlc.arg(accessibles)::boolean[]) as accessible,
        unnest(sqlc.arg(has_places)::boolean[]) as has_place, unnest(sqlc.arg(xs)::integer[]) as x, unnest(sqlc.arg(ys)::integer[]) as y
) as n
where seats.id = n.id and (seats.variant_id, seats.row_number, seats.place, seats.quality_rank, seats.accessible, seats.x, seats.y)
    is distinct from (n.variant_id, n.row_number, n.place, n.quality_rank, n.accessible, case when n.has_place then n.x end, case when n.has_place then n.y end);

-- name: DeleteSeats :exec
delete from seats where id = any(sqlc.arg(ids)::text[]);

-- name: CountSeatsToSell :many
-- CountSeatsToSell counts the seats of variants that are not blocked, in the order of the variants' ids.
select v.id, (select count(*) from seats s where s.event_id = v.event_id and s.variant_id = v.id and not s.blocked) as seat_count
from variants v where v.id = any(sqlc.arg(variant_ids)::text[]) order by v.id;

-- name: LockSeatsToBlock :many
select id, variant_id, blocked, (order_id is not null)::boolean as taken from seats
where event_id = sqlc.arg(event_id) and id = any(sqlc.arg(ids)::text[]) order by id for update;

-- name: SetBlocked :exec
update seats set blocked = sqlc.arg(blocked)::boolean where id = any(sqlc.arg(ids)::text[]) and blocked <> sqlc.arg(blocked)::boolean;

-- name: ListSections :many
-- ListSections returns the sections of an event in the order in which they were made.
select name, seat_count from seat_sections where event_id = $1 order by create_time, name;

-- name: ListSectionSeats :many
-- ListSectionSeats returns the seats of a section row by row.
select id, row_label, label, variant_id, row_number, quality_rank, x, y, accessible, (order_id is null and not blocked)::boolean as free
from seats where event_id = $1 and section = $2 order by row_number, place;

-- name: ListSeats :many
-- ListSeats returns seats of an event after the cursor (section, row_label, label), with the order that has each.
select s.id, s.section, s.row_label, s.label, s.variant_id, s.quality_rank, s.x, s.y, s.accessible, s.blocked, coalesce(s.order_id, '')::text as order_id,
    coalesce(h.state, '')::text as hold_state
from seats s left join lateral (select state from holds where holds.order_id = s.order_id limit 1) h on true
where s.event_id = sqlc.arg(event_id) and (s.section, s.row_label, s.label) > (sqlc.arg(after_section)::text, sqlc.arg(after_row)::text, sqlc.arg(after_label)::text)
    and (sqlc.arg(section)::text = '' or s.section = sqlc.arg(section)::text)
    and (sqlc.arg(state)::text = '' or sqlc.arg(state)::text = case when s.blocked then 'blocked' when s.order_id is null then 'free'
        when h.state = 'consumed' then 'sold' else 'held' end)
order by s.section, s.row_label, s.label
limit sqlc.arg(page_size)::integer;

-- name: DeleteSeatsOfEvent :exec
delete from seats where event_id = $1;

-- name: DeleteSectionsOfEvent :exec
delete from seat_sections where event_id = $1;
