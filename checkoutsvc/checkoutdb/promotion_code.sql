-- name: InsertPromotionCode :exec
insert into promotion_codes (id, event_id, code, basis_points, amount_minor_units, currency, per_ticket, start_time, end_time, order_limit,
    buyer_order_limit, create_time)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12);

-- name: SetPromotionCodeVariants :exec
-- SetPromotionCodeVariants says which variants of its event a code is about; those of other events are passed over.
insert into promotion_code_variants (promotion_code_id, variant_id, discounted, unlocked)
select p.id, v.id, v.id = any(sqlc.arg(discounted)::text[]), v.id = any(sqlc.arg(unlocked)::text[])
from promotion_codes p join variants v on v.event_id = p.event_id
where p.id = sqlc.arg(promotion_code_id) and v.id = any(sqlc.arg(discounted)::text[] || sqlc.arg(unlocked)::text[]);

-- name: ClearPromotionCodeVariants :exec
delete from promotion_code_variants where promotion_code_id = $1;

-- name: CountVariantsOfEvent :one
select count(*) from variants where event_id = $1 and id = any(sqlc.arg(ids)::text[]);

-- name: LockPromotionCode :one
select sqlc.embed(promotion_codes) from promotion_codes where id = $1 for no key update;

-- name: UpdatePromotionCode :exec
update promotion_codes set start_time = sqlc.narg(start_time), end_time = sqlc.narg(end_time), order_limit = sqlc.narg(order_limit),
    buyer_order_limit = sqlc.narg(buyer_order_limit), archive_time = sqlc.narg(archive_time)
where id = @id;

-- name: ListPromotionCodes :many
-- ListPromotionCodes returns promotion codes of an event after the cursor (create_time, id), the oldest first.
select sqlc.embed(promotion_codes),
    array(select v.variant_id from promotion_code_variants v where v.promotion_code_id = promotion_codes.id and v.discounted order by 1)::text[] as discounted,
    array(select v.variant_id from promotion_code_variants v where v.promotion_code_id = promotion_codes.id and v.unlocked order by 1)::text[] as unlocked
from promotion_codes
where event_id = $1 and (create_time, id) > (sqlc.arg(after_time)::timestamptz, sqlc.arg(after_id)::text)
order by create_time, id limit sqlc.arg(page_size);

-- name: GetPromotionCode :one
select sqlc.embed(promotion_codes),
    array(select v.variant_id from promotion_code_variants v where v.promotion_code_id = promotion_codes.id and v.discounted order by 1)::text[] as discounted,
    array(select v.variant_id from promotion_code_variants v where v.promotion_code_id = promotion_codes.id and v.unlocked order by 1)::text[] as unlocked
from promotion_codes where id = $1;

-- name: FindPromotionCode :one
-- FindPromotionCode returns the promotion code of an event that a buyer names.
select sqlc.embed(promotion_codes),
    array(select v.variant_id from promotion_code_variants v where v.promotion_code_id = promotion_codes.id and v.discounted order by 1)::text[] as discounted,
    array(select v.variant_id from promotion_code_variants v where v.promotion_code_id = promotion_codes.id and v.unlocked order by 1)::text[] as unlocked
from promotion_codes where event_id = $1 and lower(code) = lower(sqlc.arg(code)::text);

-- name: TakePromotionUse :execrows
-- TakePromotionUse counts one more order with a code: one row, or none when it is used up. It waits for others who use the code, and comes
-- before the stock in every transaction.
update promotion_codes set used_order_count = used_order_count + 1
where id = $1 and (order_limit is null or used_order_count < order_limit);

-- name: ReturnPromotionUses :exec
update promotion_codes set used_order_count = used_order_count - sqlc.arg(order_count)::integer where id = $1;

-- name: DeletePromotionCodeVariantsOfEvent :exec
delete from promotion_code_variants where promotion_code_id in (select id from promotion_codes where event_id = $1);

-- name: DeletePromotionCodesOfEvent :exec
delete from promotion_codes where event_id = $1;
