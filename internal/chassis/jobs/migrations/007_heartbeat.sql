-- Nothing was released yet, so the column is renamed in place.
ALTER TABLE job_runners RENAME COLUMN seen_time TO heartbeat_time;
