-- What Stripe told us, one row per (endpoint, event). Written before the delivery is answered, together with the job
-- that processes it. Bodies are kept as they arrived, because their bytes are what was signed.
CREATE TABLE webhook_events (
    id             bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- order of arrival
    endpoint       text        NOT NULL,
    event_id       text        NOT NULL,
    source         text        NOT NULL, -- delivery: signed and verified; backfill: fetched from Stripe's list
    type           text        NOT NULL,
    api_version    text        NOT NULL, -- empty when the body has none
    livemode       boolean     NOT NULL,
    stripe_account text        NOT NULL, -- empty for the platform
    object_id      text        NOT NULL, -- empty when it has none
    create_time    timestamptz,          -- at Stripe; null when the body does not say
    receive_time   timestamptz NOT NULL, -- of the first delivery
    delivery_count bigint      NOT NULL,
    state          text        NOT NULL DEFAULT 'received',
    error          text        NOT NULL DEFAULT '', -- of the latest try, or why it has no effect
    end_time       timestamptz,
    attempt_count  integer     NOT NULL DEFAULT 0, -- tries ever
    -- of the run that it is in: since it was received, or last replayed
    queue_time     timestamptz NOT NULL,
    park_count     integer     NOT NULL DEFAULT 0, -- tries that found the order unknown
    failure_count  integer     NOT NULL DEFAULT 0, -- other tries without success
    replay_count   integer     NOT NULL DEFAULT 0, -- number of the run, part of its idempotency keys
    body           bytea       NOT NULL,
    CONSTRAINT webhook_event_is_stored_once UNIQUE (endpoint, event_id),
    CONSTRAINT webhook_event_endpoint_is_known CHECK (endpoint IN ('account', 'connect')),
    CONSTRAINT webhook_event_source_is_known CHECK (source IN ('delivery', 'backfill')),
    CONSTRAINT webhook_event_state_is_known CHECK (state IN ('received', 'parked', 'applied', 'ignored', 'rejected', 'dead')),
    CONSTRAINT webhook_event_that_ended_says_when CHECK ((end_time IS NULL) = (state IN ('received', 'parked')))
);

-- What is still to do or needs a person; few rows at any time.
CREATE INDEX webhook_event_open ON webhook_events (state, id) WHERE state IN ('received', 'parked', 'dead');
-- What happened to one payment.
CREATE INDEX webhook_event_of_object ON webhook_events (object_id, id);
-- Rows arrive in order of time, so a BRIN index finds a range of time and costs nothing to keep.
CREATE INDEX webhook_event_by_time ON webhook_events USING brin (receive_time);

-- Who put events back to work, and why.
CREATE TABLE webhook_replays (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    replay_time timestamptz NOT NULL,
    caller      text        NOT NULL,
    choice      jsonb       NOT NULL, -- the request
    note        text        NOT NULL,
    event_count bigint      NOT NULL
);

-- How far Stripe's event list has been read, per account; the platform's is the empty one.
CREATE TABLE webhook_backfills (
    stripe_account text        NOT NULL,
    complete_until timestamptz NOT NULL, -- all undelivered events that were made before are in the inbox
    CONSTRAINT webhook_backfill_once_per_account PRIMARY KEY (stripe_account)
);
