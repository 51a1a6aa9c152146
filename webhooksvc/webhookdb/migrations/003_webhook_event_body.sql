-- Bodies are JSON of 2 to 30 kB. To compress them by Postgres's own method took more than half of what storing an event cost;
-- lz4 takes a small part of that for a similar size. A server that was built without it keeps its own method. Rows that are
-- there already stay as they are.
DO $$
BEGIN
    ALTER TABLE webhook_events ALTER COLUMN body SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported THEN
    RAISE NOTICE 'this server cannot compress by lz4';
END
$$;
