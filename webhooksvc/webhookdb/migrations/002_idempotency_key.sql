-- One row per call that had an effect, kept for seven days. Written in the transaction of the effect.
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

-- For the job that deletes old keys. Rows arrive in order of time, so a BRIN index is enough and costs nothing to keep.
CREATE INDEX idempotency_keys_by_time ON idempotency_keys USING brin (created_time);
