-- The inbox is its own queue: an event that is open says when it is tried next. While a process works on it, that is when its lease
-- ends. It needs no job beside it any more.

ALTER TABLE webhook_events ADD COLUMN next_try_time timestamptz NOT NULL DEFAULT now(); -- of an event that is open
CREATE INDEX webhook_event_due ON webhook_events (next_try_time) WHERE state IN ('received', 'deferred');

DO $$
BEGIN
    IF to_regclass('river_job') IS NOT NULL THEN
        DELETE FROM river_job WHERE kind = 'webhook_event';
    END IF;
END
$$;
