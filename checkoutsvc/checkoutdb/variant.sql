-- name: InsertProduct :exec
insert into products (id, event_id, name, create_time) values ($1, $2, $3, $4);

-- name: GetProduct :one
select id, event_id, name, create_time from products where id = $1;

-- name: InsertVariant :exec
insert into variants (id, product_id, event_id, name, sale_start_time, sale_end_time, order_ticket_limit, current_version,
    create_time)
values ($1, $2, $3, $4, $5, $6, $7, 1, $8);

-- name: InsertVariantVersion :exec
insert into variant_versions (variant_id, version, currency, price_minor_units, application_fee_minor_units,
    tax_minor_units, tax_country, tax_kind, terms, create_time)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10);

-- name: InsertStock :exec
-- InsertStock divides the tickets of a variant among its shards.
insert into stock (variant_id, shard, capacity)
select sqlc.arg(variant_id)::text, n, sqlc.arg(capacity)::bigint / sqlc.arg(shard_count)::integer + (n < sqlc.arg(capacity)::bigint % sqlc.arg(shard_count)::integer)::integer
from generate_series(0, sqlc.arg(shard_count)::integer - 1) n;

-- name: LockVariant :one
-- LockVariant returns the number and the currency of the version that is on sale, and keeps others from adding one.
select v.current_version, vv.currency
from variants v join variant_versions vv on vv.variant_id = v.id and vv.version = v.current_version
where v.id = $1 for update of v;

-- name: SetCurrentVersion :exec
update variants set current_version = $2 where id = $1;

-- name: ListVariants :many
-- ListVariants returns variants with their stock and current version: those of an event after a position, or some by their ids. An organiser
-- cannot sell who has accounts at Stripe of which none may take money.
select v.id, v.product_id, v.event_id, v.name, v.sale_start_time, v.sale_end_time, v.order_ticket_limit, v.create_time,
    s.capacity, s.taken, p.name as product_name,
    vv.version, vv.currency, vv.price_minor_units, vv.application_fee_minor_units, vv.tax_minor_units, vv.tax_country,
    vv.tax_kind, vv.terms, vv.create_time as version_create_time,
    coalesce((select not bool_or(a.charges_enabled and not a.disconnected)
        from stripe_accounts a where a.organizer_id = e.organizer_id and a.organizer_id <> '' and a.fetch_merged > 0), false)::boolean as organizer_cannot_sell
from variants v
join events e on e.id = v.event_id
join products p on p.id = v.product_id
join lateral (select sum(capacity)::bigint as capacity, sum(taken)::bigint as taken from stock where variant_id = v.id) s on true
join variant_versions vv on vv.variant_id = v.id and vv.version = v.current_version
where v.event_id = sqlc.narg(event_id)::text and (v.create_time, v.id) > (sqlc.arg(after_time)::timestamptz, sqlc.arg(after_id)::text)
    or v.id = any(sqlc.narg(variant_ids)::text[])
order by v.create_time, v.id
limit sqlc.arg(variant_count);

-- name: TakeStock :execrows
-- TakeStock takes tickets out of a variant's stock: one row if there were enough, none otherwise. It may wait for others who take of the
-- same variant, so callers make it the last statement of their transaction.
select from take_stock(sqlc.arg(variant_id)::text, sqlc.arg(quantity)::bigint) as enough where enough;

-- name: ReturnStock :exec
select from return_stock(sqlc.arg(variant_id)::text, sqlc.arg(quantity)::bigint);
