-- Which ticks of which periodic job have been enqueued: the replica that inserts the row does it.
CREATE TABLE job_ticks (
    name text NOT NULL,
    tick timestamptz NOT NULL,
    CONSTRAINT job_tick_once PRIMARY KEY (name, tick)
);
