-- One notification of one revision to one device. It is written in the transaction of the revision and is the job of
-- telling the device: a pending row whose due_time has come belongs to whoever leases it by moving due_time.
CREATE TABLE pushes (
    id            uuid        NOT NULL CONSTRAINT push_has_an_id PRIMARY KEY, -- apns-id
    pass_type     text        NOT NULL,
    serial        text        NOT NULL,
    revision      bigint      NOT NULL,
    device_id     text        NOT NULL,
    push_token    text        NOT NULL,
    pass_batch_id text        NOT NULL DEFAULT '', -- of the batch that made the revision
    state         text        NOT NULL DEFAULT 'pending',
    attempt_count integer     NOT NULL DEFAULT 0,
    apns_status   integer     NOT NULL DEFAULT 0,
    apns_reason   text        NOT NULL DEFAULT '',
    create_time   timestamptz NOT NULL,
    due_time      timestamptz NOT NULL, -- by the database's clock
    send_time     timestamptz,
    CONSTRAINT push_tells_a_device_once UNIQUE (serial, revision, device_id),
    CONSTRAINT push_state_is_known CHECK (state IN ('pending', 'sent', 'coalesced', 'gone', 'failed'))
) WITH (fillfactor = 80);
CREATE INDEX pushes_due ON pushes (pass_type, due_time) WHERE state = 'pending';
CREATE INDEX pushes_pending_by_token ON pushes (push_token) WHERE state = 'pending';
-- To show how far a batch has come.
CREATE INDEX pushes_told_by_batch ON pushes (pass_batch_id) WHERE pass_batch_id <> '' AND state IN ('sent', 'coalesced');
CREATE INDEX pushes_by_time ON pushes USING brin (create_time);
