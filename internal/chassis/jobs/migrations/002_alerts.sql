-- An incident that somebody must know of. It is open from its first report to its resolution, and sent once.
CREATE TABLE alerts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL,
    subject text NOT NULL,
    facts jsonb NOT NULL,
    link text NOT NULL,
    opened_time timestamptz NOT NULL DEFAULT now(),
    sent_time timestamptz,
    resolved_time timestamptz,
    send_attempts integer NOT NULL DEFAULT 0,
    -- the lease of who is sending it, or the backoff after a failure
    next_send_time timestamptz NOT NULL DEFAULT now()
);

CREATE UNIQUE INDEX alert_open_once ON alerts (kind, subject) WHERE resolved_time IS NULL;
CREATE INDEX alert_unsent ON alerts (next_send_time) WHERE sent_time IS NULL;
