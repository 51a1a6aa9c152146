-- The field's words: a difference is observed. Nothing was released yet.

ALTER TABLE reconcile_differences RENAME COLUMN first_seen_time TO first_observed_time;
ALTER TABLE reconcile_differences RENAME COLUMN last_seen_time TO last_observed_time;
ALTER TABLE reconcile_watches RENAME COLUMN first_seen_time TO first_observed_time;
