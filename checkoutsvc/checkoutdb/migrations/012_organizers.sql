-- An organiser has one name: events that spelt it otherwise get the latest one.

CREATE TABLE organizers (
    id   text PRIMARY KEY,
    name text NOT NULL,
    CONSTRAINT organizer_has_one_name UNIQUE (id, name)
);

INSERT INTO organizers (id, name)
SELECT DISTINCT ON (organizer_id) organizer_id, organizer_name FROM events ORDER BY organizer_id, create_time DESC, id;

UPDATE events e SET organizer_name = o.name FROM organizers o WHERE o.id = e.organizer_id AND e.organizer_name <> o.name;

ALTER TABLE events ADD CONSTRAINT event_bears_its_organizers_name
    FOREIGN KEY (organizer_id, organizer_name) REFERENCES organizers (id, name);
