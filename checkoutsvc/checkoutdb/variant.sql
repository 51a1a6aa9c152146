-- name: InsertVariant :exec
insert into variants (id, product_id, event_id, name, sale_start_time, sale_end_time, order_ticket_limit, current_version,
    create_time, state, buyer_ticket_limit, seated)
values ($1, $2, $3, $4, $5, $6, $7, 1, $8, $9, $10, $11);

-- name: InsertVariantVersion :exec
insert into variant_versions (variant_id, version, currency, price_minor_units, application_fee_minor_units,
    tax_minor_units, tax_country, tax_kind, terms, create_time, effective_time)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11);

-- name: InsertStock :exec
-- InsertStock divides the tickets of a variant among its shards.
insert into stock (variant_id, shard, capacity)
select sqlc.arg(variant_id)::text, n, sqlc.arg(capacity)::bigint / sqlc.arg(shard_count)::integer + (n < sqlc.arg(capacity)::bigint % sqlc.arg(shard_count)::integer)::integer
from generate_series(0, sqlc.arg(shard_count)::integer - 1) n;

-- name: LockVariant :one
-- LockVariant returns a variant, and keeps others from changing it or adding a version.
select sqlc.embed(variants) from variants where id = $1 for update;

-- name: LatestVersion :one
-- LatestVersion returns the version of a variant with the highest number, which may not be sold yet.
select version, currency, create_time from variant_versions where variant_id = $1 order by version desc limit 1;

-- name: SetCurrentVersion :exec
update variants set current_version = $2 where id = $1;

-- name: UpdateVariant :exec
update variants set name = @name, sale_start_time = sqlc.narg(sale_start_time), sale_end_time = sqlc.narg(sale_end_time),
    order_ticket_limit = @order_ticket_limit, buyer_ticket_limit = sqlc.narg(buyer_ticket_limit), state = @state
where id = @id;

-- name: SetCapacity :execrows
-- SetCapacity sets how many tickets exist: one row, or none when more are taken. It waits for others who take of the variant.
select from set_capacity(sqlc.arg(variant_id)::text, sqlc.arg(capacity)::bigint, sqlc.arg(shard_count)::integer) as enough where enough;

-- name: GetTaken :one
select sum(taken)::bigint from stock where variant_id = $1;

-- name: ListVariants :many
-- ListVariants returns variants with their stock and the version that is sold at a time: those of an event after a position, or some by
-- their ids. A version without a time is sold from its creation on, whatever the reader's clock says. An organiser cannot sell who has
-- accounts at Stripe of which none may take money.
select v.id, v.product_id, v.event_id, v.name, v.sale_start_time, v.sale_end_time, v.order_ticket_limit, v.create_time,
    v.state, v.buyer_ticket_limit, v.update_number, v.seated, e.publication,
    s.capacity, s.taken, p.name as product_name,
    vv.version, vv.currency, vv.price_minor_units, vv.application_fee_minor_units, vv.tax_minor_units, vv.tax_country,
    vv.tax_kind, vv.terms, vv.create_time as version_create_time, vv.effective_time,
    coalesce((select not bool_or(a.charges_enabled and not a.disconnected)
        from stripe_accounts a where a.organizer_id = e.organizer_id and a.organizer_id <> '' and a.fetch_merged > 0), false)::boolean as organizer_cannot_sell,
    (v.state = 'hidden' and exists (select from promotion_code_variants u where u.variant_id = v.id and u.unlocked))::boolean as needs_code
from variants v
join events e on e.id = v.event_id
join products p on p.id = v.product_id
join lateral (select sum(capacity)::bigint as capacity, sum(taken)::bigint as taken from stock where variant_id = v.id) s on true
join variant_versions vv on vv.variant_id = v.id and vv.version = (
    select x.version from variant_versions x
    where x.variant_id = v.id and (x.effective_time is null or x.effective_time <= sqlc.arg(now)::timestamptz)
    order by coalesce(x.effective_time, x.create_time) desc, x.version desc limit 1)
where v.event_id = sqlc.narg(event_id)::text and (v.create_time, v.id) > (sqlc.arg(after_time)::timestamptz, sqlc.arg(after_id)::text)
        and v.state = any(sqlc.narg(states)::text[])
    or v.id = any(sqlc.narg(variant_ids)::text[])
order by v.create_time, v.id
limit sqlc.arg(variant_count);

-- name: ListScheduledVersions :many
-- ListScheduledVersions returns versions of a variant whose time has not come, the next one first.
select sqlc.embed(variant_versions) from variant_versions
where variant_id = $1 and effective_time > sqlc.arg(now)::timestamptz
order by effective_time, version desc;

-- name: ListLateSale :many
-- ListLateSale returns what decides whether the lines of an order may still be sold to its buyer.
select e.publication, e.buyer_ticket_limit as event_ticket_limit, v.id, v.state, v.sale_end_time, v.buyer_ticket_limit
from order_lines l join variants v on v.id = l.variant_id join events e on e.id = v.event_id
where l.order_id = $1;

-- name: TakeStock :execrows
-- TakeStock takes tickets out of a variant's stock: one row if there were enough, none otherwise. It may wait for others who take of the
-- same variant, so callers make it the last statement of their transaction.
select from take_stock(sqlc.arg(variant_id)::text, sqlc.arg(quantity)::bigint) as enough where enough;

-- name: ReturnStock :exec
select from return_stock(sqlc.arg(variant_id)::text, sqlc.arg(quantity)::bigint);
