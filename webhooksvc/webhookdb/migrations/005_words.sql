-- The field's words: an event that waits for its order is deferred. Nothing was released yet.

ALTER TABLE webhook_events RENAME COLUMN park_count TO deferral_count;
ALTER TABLE webhook_events DROP CONSTRAINT webhook_event_state_is_known;
ALTER TABLE webhook_events DROP CONSTRAINT webhook_event_that_ended_says_when;
UPDATE webhook_events SET state = 'deferred' WHERE state = 'parked';
ALTER TABLE webhook_events ADD CONSTRAINT webhook_event_state_is_known
    CHECK (state IN ('received', 'deferred', 'applied', 'ignored', 'rejected', 'dead'));
ALTER TABLE webhook_events ADD CONSTRAINT webhook_event_that_ended_says_when
    CHECK ((end_time IS NULL) = (state IN ('received', 'deferred')));
DROP INDEX webhook_event_open;
CREATE INDEX webhook_event_open ON webhook_events (state, id) WHERE state IN ('received', 'deferred', 'dead');
