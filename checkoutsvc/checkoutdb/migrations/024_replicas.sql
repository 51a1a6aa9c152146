-- Replicas share the limits on calls of Stripe; see internal/chassis/replica. A crash may empty it.
create unlogged table replicas (
    id text primary key constraint replica_id_not_empty check (id <> ''),
    seen_time timestamptz not null
);
