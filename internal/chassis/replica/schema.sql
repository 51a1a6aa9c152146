-- Replicas that share what is limited for all of them; see package replica. It says who was here in the last seconds, so a crash may
-- empty it.
CREATE UNLOGGED TABLE replicas (
    id        text PRIMARY KEY CONSTRAINT replica_id_not_empty CHECK (id <> ''),
    seen_time timestamptz NOT NULL
);
