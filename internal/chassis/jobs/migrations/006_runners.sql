-- A process that runs jobs, and when it was last alive. Whoever is silent for long has died, and others take its jobs up.
CREATE TABLE job_runners (
    id text PRIMARY KEY,
    seen_time timestamptz NOT NULL
);
