-- What a run could not read or compare, though everything else was.

ALTER TABLE reconcile_runs
    ADD COLUMN unread_items    bigint NOT NULL DEFAULT 0,
    ADD COLUMN unread_subjects text[] NOT NULL DEFAULT '{}'; -- the first of them
