-- The end of an incident is delivered as well, to whoever heard of its beginning. Ends before this are not told any more.
ALTER TABLE alerts ADD COLUMN end_sent_time timestamptz;
UPDATE alerts SET end_sent_time = resolved_time WHERE resolved_time IS NOT NULL AND sent_time IS NOT NULL;
CREATE INDEX alert_end_unsent ON alerts (next_send_time) WHERE resolved_time IS NOT NULL AND end_sent_time IS NULL;
