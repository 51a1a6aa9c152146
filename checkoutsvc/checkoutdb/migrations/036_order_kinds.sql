-- Guests get tickets that cost nothing, whatever their price.
alter table orders add column kind text not null default 'sale'
    constraint order_kind_is_known check (kind in ('sale', 'complimentary'));
alter table orders add constraint order_complimentary_is_free check (kind = 'sale' or total_minor_units = 0);
