-- A catalogue that changes: organisers, drafts and archived events, prices of a set time, limits per buyer.

-- A new name of an organiser goes to its events by the reference.
alter table organizers add column create_time timestamptz not null default now();
alter table organizers add column update_number bigint not null default 1;
create index organizer_by_name on organizers (name, id);
alter table events drop constraint event_bears_its_organizers_name;
alter table events add constraint event_bears_its_organizers_name
    foreign key (organizer_id, organizer_name) references organizers (id, name) on update cascade;
create index event_of_organizer on events (organizer_id, start_time, id);

alter table events add column description text not null default '';
alter table events add column image_urls text[] not null default '{}';
alter table events add column languages text[] not null default '{}';
alter table events add column publication text not null default 'published'
    constraint event_publication_is_known check (publication in ('draft', 'published', 'archived'));
alter table events add column buyer_ticket_limit integer
    constraint event_buyer_limit_is_positive check (buyer_ticket_limit > 0);
alter table events add column update_number bigint not null default 1;

alter table products add column update_number bigint not null default 1;
create index product_of_event on products (event_id, create_time, id);

alter table variants add column state text not null default 'on_sale'
    constraint variant_state_is_known check (state in ('on_sale', 'hidden', 'archived'));
alter table variants add column buyer_ticket_limit integer
    constraint variant_buyer_limit_is_positive check (buyer_ticket_limit > 0);
alter table variants add column update_number bigint not null default 1;
create index variant_of_product on variants (product_id);
comment on column variants.current_version is 'of releases that know no effective_time: the latest version that was sold at once';

-- Every change is numbered, whoever makes it, so that a caller who read an older one does not overwrite it.
create function number_change() returns trigger language plpgsql as $$
begin
    new.update_number := old.update_number + 1;
    return new;
end
$$;
create trigger organizer_change_is_numbered before update on organizers for each row execute function number_change();
create trigger event_change_is_numbered before update on events for each row execute function number_change();
create trigger product_change_is_numbered before update on products for each row execute function number_change();
create trigger variant_change_is_numbered before update on variants for each row execute function number_change();

-- What was published is no draft any more.
create function event_publication_machine() returns trigger language plpgsql as $$
begin
    if new.publication = 'draft' or (old.publication = 'draft' and new.publication = 'archived') then
        raise exception 'event % cannot go from % to %', new.id, old.publication, new.publication
            using errcode = 'check_violation', constraint = 'event_publication_moves_forward';
    end if;
    return new;
end
$$;
create trigger event_publication_moves_forward before update of publication on events
    for each row when (old.publication is distinct from new.publication) execute function event_publication_machine();

-- Null: from its creation on. A version stays immutable; it is deleted with the draft that it belongs to, and only so.
alter table variant_versions add column effective_time timestamptz;
drop trigger variant_version_is_immutable on variant_versions;
create trigger variant_version_is_immutable before update on variant_versions
    for each row execute function refuse_change('variant_version_is_immutable');
create function variant_version_of_a_draft() returns trigger language plpgsql as $$
begin
    if not exists (select from variants v join events e on e.id = v.event_id where v.id = old.variant_id and e.publication = 'draft') then
        raise exception 'a version of a variant that was published stays'
            using errcode = 'check_violation', constraint = 'variant_version_is_immutable';
    end if;
    return old;
end
$$;
create trigger variant_version_is_deleted_with_its_draft before delete on variant_versions
    for each row execute function variant_version_of_a_draft();

-- Who buys, as 64 bits of a digest of the event and the mail address in lower case: no address is kept twice, and none can be followed
-- from event to event. The first line of an order has it, since lines never change: the index is written once. Null for orders that
-- older releases make meanwhile, which no limit counts.
alter table order_lines add column buyer_key bigint;
update order_lines l set buyer_key =
    ('x' || encode(substring(sha256(convert_to(o.event_id || '/' || lower(o.buyer_email), 'UTF8')) from 1 for 8), 'hex'))::bit(64)::bigint
from orders o join events e on e.id = o.event_id join holds h on h.order_id = o.id
where l.order_id = o.id and l.position = 1 and h.state in ('active', 'consumed') and e.end_time > now();
