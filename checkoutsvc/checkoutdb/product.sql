-- name: InsertProduct :exec
insert into products (id, event_id, name, create_time) values ($1, $2, $3, $4);

-- name: GetProduct :one
select p.id, p.event_id, p.name, p.create_time, p.update_number, e.publication
from products p join events e on e.id = p.event_id where p.id = $1;

-- name: LockProduct :one
select id, event_id, name, create_time, update_number from products where id = $1 for no key update;

-- name: RenameProduct :one
update products set name = $2 where id = $1 returning update_number;

-- name: ListProducts :many
-- ListProducts returns products of an event after the cursor (create_time, id), the oldest first.
select id, event_id, name, create_time, update_number
from products
where event_id = sqlc.arg(event_id) and (create_time, id) > (sqlc.arg(after_time)::timestamptz, sqlc.arg(after_id)::text)
order by create_time, id
limit sqlc.arg(page_size);
