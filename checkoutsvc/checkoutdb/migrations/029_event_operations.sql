-- Events that are moved or canceled after they were put on sale.

-- schedule_number counts the times that an event's times were changed, or the event canceled; 1: as it was put on sale.
ALTER TABLE events
    ADD COLUMN schedule_number integer NOT NULL DEFAULT 1,
    ADD COLUMN cancel_time timestamptz,
    ADD CONSTRAINT event_schedule_number_is_positive CHECK (schedule_number > 0);

-- The number of the schedule that the ticket's pass shows, or is about to.
ALTER TABLE tickets
    ADD COLUMN schedule_number integer NOT NULL DEFAULT 1;

-- An operation brings what was sold to an event's new schedule: tickets, passes and mails.
CREATE TABLE event_operations (
    id text PRIMARY KEY,
    event_id text NOT NULL REFERENCES events,
    kind text NOT NULL,
    state text NOT NULL DEFAULT 'running',
    -- What it does next, and not before when. Whoever does it holds the row's lock, or has moved the time on.
    step text NOT NULL DEFAULT 'fence',
    next_step_time timestamptz NOT NULL DEFAULT now(),
    actor text NOT NULL,
    -- The schedule that it makes true, and the times before and after. A cancellation leaves them.
    schedule_number integer NOT NULL,
    old_doors_time timestamptz,
    old_start_time timestamptz NOT NULL,
    old_end_time timestamptz NOT NULL,
    doors_time timestamptz,
    start_time timestamptz NOT NULL,
    end_time timestamptz NOT NULL,
    -- Transactions with smaller numbers may have read the schedule before; 0: not known yet.
    fence_xid bigint NOT NULL DEFAULT 0,
    -- The last order that was visited, in the order of creation.
    after_create_time timestamptz NOT NULL DEFAULT '1970-01-01 00:00:00+00',
    after_order_id text NOT NULL DEFAULT '',
    -- Progress.
    total_ticket_count bigint NOT NULL,
    done_ticket_count bigint NOT NULL DEFAULT 0,
    mail_count bigint NOT NULL DEFAULT 0,
    failed_order_count bigint NOT NULL DEFAULT 0,
    -- Runs of the passes' batch: each pause ends one.
    pass_run integer NOT NULL DEFAULT 1,
    pass_batch_id text NOT NULL DEFAULT '',
    visited_pass_count bigint NOT NULL DEFAULT 0,
    changed_pass_count bigint NOT NULL DEFAULT 0,
    pushed_count bigint NOT NULL DEFAULT 0,
    failure_count integer NOT NULL DEFAULT 0, -- in a row
    last_error text NOT NULL DEFAULT '',
    create_time timestamptz NOT NULL,
    finish_time timestamptz,
    CONSTRAINT event_operation_kind_is_known CHECK (kind IN ('move', 'cancel')),
    CONSTRAINT event_operation_state_is_known CHECK (state IN ('running', 'paused', 'canceled', 'completed')),
    CONSTRAINT event_operation_step_is_known CHECK (step IN ('fence', 'wait', 'orders', 'passes')),
    CONSTRAINT event_operation_ends_once CHECK ((state IN ('canceled', 'completed')) = (finish_time IS NOT NULL)),
    CONSTRAINT event_operation_of_a_schedule_once UNIQUE (event_id, schedule_number)
);
CREATE UNIQUE INDEX event_has_one_open_operation ON event_operations (event_id) WHERE state IN ('running', 'paused');
CREATE INDEX event_operation_due ON event_operations (next_step_time) WHERE state = 'running';
CREATE INDEX event_operation_by_create_time ON event_operations (create_time DESC, id DESC);
CREATE INDEX event_operation_of_event ON event_operations (event_id, create_time DESC, id DESC);

-- Orders that were being fulfilled when their tickets took the new schedule: their passes may be issued by a call that shows the
-- old one, so they are issued again with the tickets' new change numbers.
CREATE TABLE event_operation_orders (
    operation_id text NOT NULL REFERENCES event_operations ON DELETE CASCADE,
    order_id text NOT NULL REFERENCES orders,
    PRIMARY KEY (operation_id, order_id)
);
CREATE INDEX event_operation_order_by_order ON event_operation_orders (order_id);
