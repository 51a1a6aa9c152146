-- Where buyers of an event wait for their turn. Those who wait have no rows: their places are numbers, which their tokens sign.

create table waiting_rooms (
    event_id text primary key references events on delete cascade,
    open_time timestamptz not null,
    admissions_per_minute integer not null,
    closed boolean not null,
    joined_count bigint not null default 0,
    -- How many had joined when the room opened, whose places the seed draws. Null before.
    gathered_count bigint,
    draw_seed bytea,
    -- How many were let in until the time from which the pace of now counts.
    admitted_count bigint not null default 0,
    pace_time timestamptz not null,
    constraint waiting_room_pace_is_bounded check (admissions_per_minute between 0 and 100000),
    constraint waiting_room_is_drawn_as_it_opens check ((gathered_count is null) = (draw_seed is null)),
    constraint waiting_room_gathered_have_joined check (gathered_count <= joined_count)
);

-- The order of each place that has or had one: one at a time, and the last one where it was paid.
create table waiting_room_orders (
    event_id text not null references waiting_rooms on delete cascade,
    number bigint not null,
    order_id text not null references orders,
    primary key (event_id, number),
    constraint order_has_one_place unique (order_id),
    constraint waiting_room_number_is_not_negative check (number >= 0)
);
