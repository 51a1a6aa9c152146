-- One pass per ticket. The row lock of a pass serialises its changes and its registrations.
CREATE TABLE passes (
    serial               text        NOT NULL CONSTRAINT pass_has_a_serial PRIMARY KEY,
    id                   bigint      NOT NULL GENERATED ALWAYS AS IDENTITY CONSTRAINT pass_has_a_place UNIQUE, -- order of issue
    pass_type            text        NOT NULL, -- Apple's pass type identifier
    ticket_id            text        NOT NULL CONSTRAINT ticket_has_one_pass UNIQUE,
    order_id             text        NOT NULL,
    event_id             text        NOT NULL,
    ticket_change_number bigint      NOT NULL, -- of the content, as the caller counts changes of the ticket
    content              jsonb       NOT NULL,
    content_hash         bytea       NOT NULL, -- SHA-256 of the canonical form
    issue_hash           bytea       NOT NULL, -- content_hash of revision 1
    token_key_version    integer     NOT NULL, -- of the key that its authentication token is derived from
    revision             bigint      NOT NULL,
    revise_time          timestamptz NOT NULL, -- when the revision was made; the signing time of its archive
    modify_time          timestamptz NOT NULL, -- what devices are told: whole seconds, later with every revision
    update_tag           bigint      NOT NULL DEFAULT 0, -- of its latest change, from update_tags; 0 while it is as issued
    create_time          timestamptz NOT NULL,
    CONSTRAINT pass_revision_is_positive CHECK (revision > 0),
    CONSTRAINT pass_modify_time_is_in_seconds CHECK (modify_time = date_trunc('second', modify_time))
);
CREATE INDEX passes_by_order ON passes (order_id, id);
CREATE INDEX passes_by_event ON passes (event_id, id);
-- What changed since a tag; passes as issued are not in it.
CREATE INDEX passes_by_update_tag ON passes (pass_type, update_tag) WHERE update_tag > 0;

-- The number that devices echo. It is taken under this row's lock, held to the commit, so that numbers become visible
-- in their order: a device that has seen 11 has been told of 10.
CREATE TABLE update_tags (
    pass_type text   NOT NULL CONSTRAINT pass_type_has_one_tag PRIMARY KEY,
    tag       bigint NOT NULL
);

-- Revisions from the second on; the first is the pass as issued.
CREATE TABLE pass_revisions (
    serial        text        NOT NULL REFERENCES passes (serial),
    revision      bigint      NOT NULL,
    content_hash  bytea       NOT NULL,
    revise_time   timestamptz NOT NULL,
    origin        text        NOT NULL, -- issue, update, void, batch
    note          text        NOT NULL DEFAULT '', -- why, for staff
    pass_batch_id text        NOT NULL DEFAULT '',
    changes       jsonb       NOT NULL, -- [{path, old, new}] against the revision before
    CONSTRAINT revision_is_written_once PRIMARY KEY (serial, revision)
);

-- Copied from internal/chassis/idem.
CREATE TABLE idempotency_keys (
    caller        text        NOT NULL, -- whose key it is
    method        text        NOT NULL, -- the procedure it was used for
    key           text        NOT NULL,
    fingerprint   bytea       NOT NULL, -- SHA-256 of the request
    subject       text        NOT NULL DEFAULT '', -- the business id, where the answer is read from its row
    response_type text        NOT NULL DEFAULT '', -- full name of the stored answer's message, else empty
    response      bytea,
    created_time  timestamptz NOT NULL,
    CONSTRAINT idempotency_key_is_used_once PRIMARY KEY (caller, method, key)
);
CREATE INDEX idempotency_keys_by_time ON idempotency_keys USING brin (created_time);
