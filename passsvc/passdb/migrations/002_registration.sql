-- A device's wish to hear of a pass's changes. Neither id nor token identify a person.
CREATE TABLE registrations (
    device_id     text        NOT NULL, -- deviceLibraryIdentifier: a secret of the device
    pass_type     text        NOT NULL,
    serial        text        NOT NULL REFERENCES passes (serial),
    push_token    text        NOT NULL,
    register_time timestamptz NOT NULL, -- when the device last told its push token
    -- From update_tags when the pass had changed before the device registered: what it holds may be older, and the tag
    -- it echoes may be newer, so the registration counts as a change for this device.
    list_tag      bigint      NOT NULL DEFAULT 0,
    CONSTRAINT device_registers_once PRIMARY KEY (device_id, pass_type, serial)
);
CREATE INDEX registrations_by_pass ON registrations (serial, register_time);
CREATE INDEX registrations_by_push_token ON registrations (pass_type, push_token);
