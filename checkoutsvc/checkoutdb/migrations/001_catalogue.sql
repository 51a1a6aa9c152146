-- What can be bought.

create table events (
    id text primary key,
    organizer_id text not null,
    organizer_name text not null,
    name text not null,
    venue_name text not null,
    venue_address text not null,
    time_zone text not null,
    latitude double precision,
    longitude double precision,
    doors_time timestamptz,
    start_time timestamptz not null,
    end_time timestamptz not null,
    create_time timestamptz not null,
    constraint event_ends_after_its_start check (end_time > start_time)
);
create index event_by_start on events (start_time, id);

create table products (
    id text primary key,
    event_id text not null references events,
    name text not null,
    create_time timestamptz not null
);

create table variants (
    id text primary key,
    product_id text not null references products,
    event_id text not null references events,
    name text not null,
    sale_start_time timestamptz,
    sale_end_time timestamptz,
    order_ticket_limit integer not null,
    current_version integer not null,
    create_time timestamptz not null,
    constraint variant_limit_is_positive check (order_ticket_limit > 0)
);
create index variant_of_event on variants (event_id, create_time, id);

create table variant_versions (
    variant_id text not null references variants,
    version integer not null,
    currency text not null,
    price_minor_units bigint not null,
    application_fee_minor_units bigint not null,
    tax_minor_units bigint not null,
    tax_country text not null,
    tax_kind text not null,
    terms text not null,
    create_time timestamptz not null,
    primary key (variant_id, version),
    constraint variant_version_price_is_positive check (price_minor_units > 0),
    constraint variant_version_shares_fit_the_price check (
        application_fee_minor_units >= 0 and tax_minor_units >= 0
        and application_fee_minor_units + tax_minor_units <= price_minor_units
    ),
    constraint variant_version_tax_has_a_place check (tax_minor_units = 0 or (tax_country <> '' and tax_kind <> ''))
);
alter table variants add constraint variant_has_its_current_version
    foreign key (id, current_version) references variant_versions (variant_id, version) deferrable initially deferred;

create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% rows are immutable', tg_table_name
        using errcode = 'check_violation', constraint = tg_argv[0];
end
$$;
create trigger variant_version_is_immutable before update or delete on variant_versions
    for each row execute function refuse_change('variant_version_is_immutable');

-- One row per variant: taken counts tickets that are held or sold, so that a hold becoming tickets changes nothing here.
create table stock (
    variant_id text primary key references variants,
    capacity bigint not null,
    taken bigint not null default 0,
    constraint stock_is_never_oversold check (taken <= capacity),
    constraint stock_is_never_negative check (taken >= 0)
) with (fillfactor = 50);
