-- A failed attempt may be repeated before its backoff is over, when what it failed at is back, but not earlier than a dependency asked
-- for.
alter table orders add column earliest_attempt_time timestamptz;
