-- A change of all passes of an event. The row is its own scheduler: each chunk locks it and moves its place on.
CREATE TABLE pass_batches (
    id                 text        NOT NULL CONSTRAINT batch_has_an_id PRIMARY KEY,
    event_id           text        NOT NULL,
    event              jsonb,      -- the event as it is from now on; null leaves it
    fields             jsonb       NOT NULL, -- staff fields to set
    state              text        NOT NULL DEFAULT 'running',
    last_pass_id       bigint      NOT NULL DEFAULT 0, -- passes up to here were visited
    total_pass_count   bigint      NOT NULL,
    visited_pass_count bigint      NOT NULL DEFAULT 0,
    changed_pass_count bigint      NOT NULL DEFAULT 0,
    create_time        timestamptz NOT NULL,
    step_time          timestamptz NOT NULL, -- of the latest chunk: batches take turns
    end_time           timestamptz,
    CONSTRAINT batch_state_is_known CHECK (state IN ('running', 'done', 'canceled'))
);
CREATE INDEX pass_batches_running ON pass_batches (step_time) WHERE state = 'running';
