-- Comparison of orders, the ledger, our copy of it and Stripe.

CREATE TABLE reconcile_runs (
    id              text        PRIMARY KEY,
    kind            smallint    NOT NULL, -- dayof.ledger.v1.RunKind
    state           smallint    NOT NULL DEFAULT 1, -- dayof.ledger.v1.RunState
    from_time       timestamptz NOT NULL,
    until_time      timestamptz NOT NULL, -- not part of the span
    create_time     timestamptz NOT NULL,
    end_time        timestamptz,
    order_lines     bigint      NOT NULL DEFAULT 0,
    ledger_transactions bigint  NOT NULL DEFAULT 0,
    stripe_transactions bigint  NOT NULL DEFAULT 0,
    differences     bigint      NOT NULL DEFAULT 0,
    opened          bigint      NOT NULL DEFAULT 0,
    closed          bigint      NOT NULL DEFAULT 0,
    in_flight       bigint      NOT NULL DEFAULT 0,
    truncated       boolean     NOT NULL DEFAULT false,
    error           text        NOT NULL DEFAULT '',
    CONSTRAINT run_goes_forward CHECK (from_time < until_time),
    CONSTRAINT run_that_ended_has_its_time CHECK ((state = 1) = (end_time IS NULL))
);
CREATE INDEX reconcile_runs_by_creation ON reconcile_runs (create_time DESC, id DESC);

-- How far the continuous reconciliation has come. At most one row.
CREATE TABLE reconcile_progress (
    only_row              boolean     PRIMARY KEY DEFAULT true CONSTRAINT progress_is_one CHECK (only_row),
    until_time            timestamptz NOT NULL,
    ledger_transaction_id bigint      NOT NULL -- highest number at the ledger that was read
);

-- One row per incident. It goes from open to resolved (by a person) or closed (a later run found it gone).
CREATE TABLE reconcile_differences (
    id               text        PRIMARY KEY,
    kind             smallint    NOT NULL, -- dayof.ledger.v1.DifferenceKind
    subject          text        NOT NULL,
    digest           text        NOT NULL, -- of what the sides say: other amounts are another incident
    state            smallint    NOT NULL DEFAULT 1, -- dayof.ledger.v1.DifferenceState
    order_id         text        NOT NULL,
    organizer_id     text        NOT NULL,
    payment_intent_id text       NOT NULL,
    stripe_account   text        NOT NULL,
    expected_currency text       NOT NULL, -- empty: there should be nothing
    expected_amount  bigint      NOT NULL,
    found_currency   text        NOT NULL, -- empty: there is nothing
    found_amount     bigint      NOT NULL,
    sides            text        NOT NULL,
    cause            text        NOT NULL,
    first_run_id     text        NOT NULL,
    first_seen_time  timestamptz NOT NULL,
    last_seen_time   timestamptz NOT NULL,
    resolve_time     timestamptz,
    resolved_by      text        NOT NULL DEFAULT '',
    resolve_reason   text        NOT NULL DEFAULT '',
    CONSTRAINT difference_that_ended_has_its_time CHECK ((state = 1) = (resolve_time IS NULL)),
    CONSTRAINT difference_is_resolved_with_a_reason CHECK (state <> 2 OR (resolved_by <> '' AND resolve_reason <> ''))
);
-- What somebody has resolved stays so while the same is found; what went by itself may come again.
CREATE UNIQUE INDEX difference_of_a_subject_once ON reconcile_differences (kind, subject, digest) WHERE state <> 3;
CREATE INDEX differences_by_creation ON reconcile_differences (first_seen_time DESC, id DESC);
CREATE INDEX differences_open ON reconcile_differences (subject) WHERE state = 1;
CREATE INDEX differences_of_an_order ON reconcile_differences (order_id) WHERE order_id <> '';

-- What looked different while it was in flight: the next run looks again.
CREATE TABLE reconcile_watches (
    subject        text        PRIMARY KEY,
    stripe_account text        NOT NULL,
    reason         text        NOT NULL,
    first_seen_time timestamptz NOT NULL
);

-- What a run has read, until it ends. A crash may empty the two tables: the run begins anew then.
CREATE UNLOGGED TABLE reconcile_sightings (
    run_id         text   NOT NULL,
    side           text   NOT NULL, -- order, booked (the ledger, of orders), ledger, stripe, copy; charge: maps a charge to its intent
    subject        text   NOT NULL, -- what the sides are compared by; a prefix only where charge_id is set
    reference      text   NOT NULL,
    charge_id      text   NOT NULL,
    stripe_account text   NOT NULL,
    asset          text   NOT NULL,
    amount         bigint NOT NULL
);
CREATE INDEX reconcile_sightings_of_a_run ON reconcile_sightings (run_id);

-- What a run looks at closely.
CREATE UNLOGGED TABLE reconcile_suspects (
    run_id         text NOT NULL,
    subject        text NOT NULL,
    stripe_account text NOT NULL,
    PRIMARY KEY (run_id, subject)
);

-- For statements, and for comparing a span of time with the ledger.
CREATE INDEX entries_by_effective_time ON entries (effective_time, ledger_transaction_id);
CREATE INDEX entries_by_organizer ON entries (organizer_id, ledger_transaction_id) WHERE organizer_id <> '';
