-- The door: who was let in, by which device, and what devices without a connection must know.

-- An event without a row has no re-entry, and its passes do not show that they were used.
create table door_policies (
    event_id text primary key references events,
    reentry text not null,
    pass_shows_used boolean not null,
    update_time timestamptz not null,
    constraint door_policy_reentry_is_known check (reentry in ('none', 'after_exit'))
);

create table door_devices (
    id text primary key,
    event_id text not null references events,
    gate text not null,
    name text not null,
    create_time timestamptz not null,
    created_by text not null,
    -- The first half of the enrolment code. The second half is stored nowhere.
    enrol_handle text not null,
    enrol_expire_time timestamptz not null,
    enrol_tries integer not null default 0,
    enrol_time timestamptz,
    token_hash bytea,
    revoke_time timestamptz,
    constraint door_device_of_a_handle unique (enrol_handle),
    constraint door_device_of_a_token unique (token_hash),
    constraint door_device_is_tried_ten_times check (enrol_tries between 0 and 10),
    constraint door_device_enrolled_has_a_token check ((enrol_time is null) = (token_hash is null)),
    constraint door_device_has_a_gate check (gate <> '')
);
create index door_device_of_event on door_devices (event_id, create_time, id);

-- Every scan by which somebody passed a door, and every scan without a connection that should not have been let through.
create table door_scans (
    id text primary key,
    ticket_id text references tickets, -- null: the code was none of ours
    event_id text not null references events, -- of the door
    gate text not null,
    device_id text references door_devices, -- null: staff
    direction text not null,
    scan_time timestamptz not null, -- by the clock of the device
    record_time timestamptz not null,
    offline boolean not null,
    reentry boolean not null, -- whether the event allowed it when the scan was recorded
    counts boolean not null, -- whether stays follow from it; false for good where the ticket did not admit when it was recorded
    outcome text not null,
    undo_time timestamptz,
    undone_by text not null default '',
    constraint door_scan_direction_is_known check (direction in ('in', 'out')),
    constraint door_scan_outcome_is_known check (outcome in (
        'entered', 'left', 'already_used', 'not_inside', 'void', 'suspended', 'not_valid_yet', 'other_event', 'unknown_code', 'old_key'
    )),
    constraint door_scan_counts_for_a_ticket check (not counts or ticket_id is not null),
    constraint door_scan_that_passed_counts check (counts or outcome not in ('entered', 'left'))
);
create index door_scan_of_ticket on door_scans (ticket_id) where counts;
create index door_scan_conflict on door_scans (event_id, record_time, id) where outcome not in ('entered', 'left') and undo_time is null;

-- The stays of tickets behind the door, derived from the scans that count.
create table admissions (
    id text primary key references door_scans, -- the scan of the entry
    ticket_id text not null references tickets,
    event_id text not null references events,
    order_id text not null references orders,
    entry_number integer not null,
    entry_gate text not null,
    entry_device_id text references door_devices,
    entry_time timestamptz not null,
    record_time timestamptz not null,
    exit_gate text not null default '',
    exit_device_id text references door_devices,
    exit_time timestamptz,
    reentry boolean not null,
    offline boolean not null,
    undo_time timestamptz,
    undone_by text not null default '',
    constraint admission_numbers_begin_at_one check (entry_number > 0),
    constraint admission_again_is_a_reentry check (entry_number = 1 or reentry),
    constraint admission_ended_has_its_gate check ((exit_time is null) = (exit_gate = ''))
);
create unique index admission_open_once on admissions (ticket_id) where exit_time is null and undo_time is null;
create unique index admission_number_once on admissions (ticket_id, entry_number) where undo_time is null;
create index admission_of_event on admissions (event_id) where undo_time is null;

-- The latest move of a ticket that a device without a connection must know. A sale's tickets become valid without one.
create table door_changes (
    ticket_id text primary key references tickets,
    event_id text not null,
    change_xid xid8 not null default pg_current_xact_id(),
    state text not null
);
create index door_change_of_event on door_changes (event_id, change_xid, ticket_id);

create function keep_door_change() returns trigger language plpgsql as $$
begin
    insert into door_changes (ticket_id, event_id, state) values (new.id, new.event_id, new.state)
    on conflict (ticket_id) do update set state = excluded.state, change_xid = pg_current_xact_id();
    return null;
end
$$;
create trigger ticket_changes_at_the_door after update of state on tickets for each row
    when (new.state is distinct from old.state and (new.state in ('used', 'suspended', 'void') or old.state in ('used', 'suspended')))
    execute function keep_door_change();

insert into door_changes (ticket_id, event_id, state) select id, event_id, state from tickets where state in ('used', 'suspended', 'void');

-- An admission that is undone while a dispute is open leaves the ticket suspended.
create or replace function ticket_state_machine() returns trigger language plpgsql as $$
begin
    if new.state = old.state
        or (old.state = 'reserved' and new.state in ('valid', 'suspended', 'void'))
        or (old.state = 'valid' and new.state in ('used', 'suspended', 'void'))
        or (old.state = 'suspended' and new.state in ('valid', 'void'))
        or (old.state = 'used' and new.state in ('valid', 'suspended', 'void'))
    then
        return new;
    end if;
    raise exception 'a ticket cannot go from % to %', old.state, new.state
        using errcode = 'check_violation', constraint = 'ticket_state_moves_forward';
end
$$;
