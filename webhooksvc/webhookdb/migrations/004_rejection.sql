-- How many deliveries were refused for their signature, by endpoint and minute. Nothing of them is kept.
CREATE TABLE webhook_rejections (
    endpoint text        NOT NULL,
    minute   timestamptz NOT NULL,
    count    bigint      NOT NULL,
    CONSTRAINT webhook_rejections_once_per_minute PRIMARY KEY (endpoint, minute)
);
