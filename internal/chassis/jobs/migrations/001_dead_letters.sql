-- A job that ended without success: its attempts are exhausted, or it said that trying again is of no use. River
-- forgets such jobs after some days; these rows stay until somebody deletes them.
CREATE TABLE dead_letters (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id bigint NOT NULL,
    kind text NOT NULL,
    queue text NOT NULL,
    args jsonb NOT NULL,
    -- exhausted or cancelled
    reason text NOT NULL,
    -- of the last attempt
    error text NOT NULL,
    -- of all attempts, as River keeps them
    errors jsonb NOT NULL,
    attempts integer NOT NULL,
    created_time timestamptz NOT NULL,
    dead_time timestamptz NOT NULL,
    -- closed: put back to work as another job, or dismissed
    retried_time timestamptz,
    retried_job_id bigint,
    dismissed_time timestamptz,
    note text NOT NULL DEFAULT '',
    CONSTRAINT dead_letter_of_job_once UNIQUE (job_id),
    CONSTRAINT dead_letter_reason_is_known CHECK (reason IN ('exhausted', 'cancelled')),
    CONSTRAINT dead_letter_closed_once CHECK (retried_time IS NULL OR dismissed_time IS NULL)
);

CREATE INDEX dead_letter_open ON dead_letters (kind, dead_time) WHERE retried_time IS NULL AND dismissed_time IS NULL;
