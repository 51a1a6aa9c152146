-- What devices complain about: untrusted text, cleaned and cut.
CREATE TABLE device_logs (
    id       bigint      NOT NULL GENERATED ALWAYS AS IDENTITY CONSTRAINT device_log_has_an_id PRIMARY KEY,
    log_time timestamptz NOT NULL,
    line     text        NOT NULL,
    CONSTRAINT device_log_line_is_short CHECK (char_length(line) <= 1000)
);
