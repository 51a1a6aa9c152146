-- Promotion codes: what makes an order cheaper, and unlocks hidden variants.
create table promotion_codes (
    id text primary key,
    event_id text not null references events,
    code text not null, -- as its maker wrote it; upper and lower case are the same
    -- One of the two, or neither of a code that only unlocks.
    basis_points integer constraint promotion_code_takes_a_part check (basis_points between 1 and 10000),
    amount_minor_units bigint constraint promotion_code_takes_something check (amount_minor_units > 0),
    currency text not null,
    per_ticket boolean not null, -- whether the amount is off each ticket; else off the order
    start_time timestamptz,
    end_time timestamptz,
    order_limit integer constraint promotion_code_limit_is_positive check (order_limit > 0),
    buyer_order_limit integer constraint promotion_code_buyer_limit_is_positive check (buyer_order_limit > 0),
    create_time timestamptz not null,
    archive_time timestamptz,
    update_number bigint not null default 1,
    used_order_count integer not null default 0, -- orders with it that are held or sold
    constraint promotion_code_is_text check (code ~ '^[A-Za-z0-9_-]{3,40}$'),
    constraint promotion_code_has_one_discount check (num_nonnulls(basis_points, amount_minor_units) <= 1),
    constraint promotion_code_amount_has_a_currency check ((amount_minor_units is null) = (currency = '')),
    constraint promotion_code_amount_is_per_something check (not per_ticket or amount_minor_units is not null),
    constraint promotion_code_ends_after_its_start check (end_time > start_time),
    constraint promotion_code_is_not_used_beyond_its_limit check (used_order_count <= order_limit),
    constraint promotion_code_is_used_by_orders check (used_order_count >= 0)
) with (fillfactor = 50);
create unique index promotion_code_of_an_event_once on promotion_codes (event_id, lower(code));
create index promotion_code_of_event on promotion_codes (event_id, create_time, id);
-- Uses are no changes.
create trigger promotion_code_change_is_numbered before update of start_time, end_time, order_limit, buyer_order_limit, archive_time
    on promotion_codes for each row execute function number_change();

-- The variants that a code is about. Without one that is discounted it makes all variants of the event cheaper.
create table promotion_code_variants (
    promotion_code_id text not null references promotion_codes,
    variant_id text not null references variants,
    discounted boolean not null,
    unlocked boolean not null,
    primary key (promotion_code_id, variant_id),
    constraint promotion_code_variant_is_for_something check (discounted or unlocked)
);
create index promotion_code_of_variant on promotion_code_variants (variant_id);

alter table orders add column promotion_code_id text references promotion_codes;
alter table orders add column promotion_code text not null default '';
alter table orders add column discount_minor_units bigint not null default 0
    constraint order_discount_is_not_negative check (discount_minor_units >= 0);
create index order_of_promotion_code on orders (promotion_code_id) where promotion_code_id is not null;
-- Shared out over the tickets of the line: those at its beginning may have a minor unit more.
alter table order_lines add column discount_minor_units bigint not null default 0
    constraint order_line_discount_fits_its_price check (discount_minor_units between 0 and unit_price_minor_units * quantity);
