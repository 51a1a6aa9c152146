-- A variant with many tickets has its stock in several rows, its shards, so that buyers of one variant seldom wait for each other. The
-- constraints of the shards together say that the variant is never oversold. One shard is what all had before.
alter table stock add column shard integer not null default 0 constraint shard_not_negative check (shard >= 0);
alter table stock drop constraint stock_pkey, add primary key (variant_id, shard);

-- take_stock takes tickets of a variant, all or none, and says whether there were enough.
--
-- Usually they come from one shard, chosen at random among those that have enough. If these were gone when its row was free, the block
-- lets the row go, since who waits while it holds a shard out of turn could block others for ever. Then all shards are locked, in their
-- order, and the tickets come from several. A transaction takes of several variants in the order of their ids.
create function take_stock(wanted text, quantity bigint) returns boolean language plpgsql as $$
declare
    chosen integer;
    part record;
begin
    select s.shard into chosen from stock s where s.variant_id = wanted and s.taken + quantity <= s.capacity order by random() limit 1;
    if found then
        begin
            update stock set taken = taken + quantity where variant_id = wanted and shard = chosen;
            return true;
        exception when check_violation then
            null;
        end;
    end if;
    -- What others have taken and not committed is still free here, so that a "no" is true whatever they do.
    if (select coalesce(sum(s.capacity - s.taken), 0) from stock s where s.variant_id = wanted) < quantity then
        return false;
    end if;
    perform from stock s where s.variant_id = wanted order by s.shard for update;
    if (select sum(s.capacity - s.taken) from stock s where s.variant_id = wanted) < quantity then
        return false;
    end if;
    for part in select s.shard, s.capacity - s.taken as tickets from stock s where s.variant_id = wanted and s.taken < s.capacity order by s.shard loop
        part.tickets := least(part.tickets, quantity);
        update stock set taken = taken + part.tickets where variant_id = wanted and shard = part.shard;
        quantity := quantity - part.tickets;
        exit when quantity = 0;
    end loop;
    return true;
end
$$;

-- return_stock puts tickets of a variant on sale again: in one shard that has so many taken, or in several.
create function return_stock(wanted text, quantity bigint) returns void language plpgsql as $$
declare
    chosen integer;
    part record;
begin
    select s.shard into chosen from stock s where s.variant_id = wanted and s.taken >= quantity order by random() limit 1;
    if found then
        begin
            update stock set taken = taken - quantity where variant_id = wanted and shard = chosen;
            return;
        exception when check_violation then
            null;
        end;
    end if;
    perform from stock s where s.variant_id = wanted order by s.shard for update;
    for part in select s.shard, s.taken as tickets from stock s where s.variant_id = wanted and s.taken > 0 order by s.shard loop
        part.tickets := least(part.tickets, quantity);
        update stock set taken = taken - part.tickets where variant_id = wanted and shard = part.shard;
        quantity := quantity - part.tickets;
        exit when quantity = 0;
    end loop;
    if quantity > 0 then
        raise exception 'variant % has % tickets fewer taken than are returned', wanted, quantity
            using errcode = 'check_violation', constraint = 'stock_is_never_negative';
    end if;
end
$$;

-- set_capacity sets how many tickets of a variant exist, and says whether as many as are taken remain: otherwise it changes nothing. What
-- is free is spread over the shards, of which there are as many as are asked for, or more. The caller has locked the variant.
create function set_capacity(wanted text, tickets bigint, shard_count integer) returns boolean language plpgsql as $$
declare
    shards bigint;
    free bigint;
begin
    perform from stock s where s.variant_id = wanted order by s.shard for update;
    select count(*), tickets - sum(s.taken) into shards, free from stock s where s.variant_id = wanted;
    if free is null or free < 0 then
        return false;
    end if;
    insert into stock (variant_id, shard, capacity) select wanted, n, 0 from generate_series(shards, shard_count - 1) n;
    shards := greatest(shards, shard_count);
    update stock s set capacity = s.taken + free / shards + (s.shard < free % shards)::integer where s.variant_id = wanted;
    return true;
end
$$;
