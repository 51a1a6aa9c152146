-- A variant with many tickets has its stock in several rows, its shards, so that buyers of one variant seldom wait for each other. The
-- constraints of the shards together say that the variant is never oversold. A variant has the number of shards that it was made with;
-- one shard is what all had before.
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
