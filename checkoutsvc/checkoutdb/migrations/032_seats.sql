-- Reserved seating. A variant is either general admission, of which stock alone keeps count, or seated: each of its tickets is one of its
-- seats then. Stock counts these too, so that all that reads it stays right: its capacity is the number of seats that are not blocked,
-- and taken the number of those that an order has.
ALTER TABLE variants ADD COLUMN seated boolean NOT NULL DEFAULT false;
ALTER TABLE variants ADD CONSTRAINT variant_of_its_event UNIQUE (id, event_id);

CREATE TABLE seat_sections (
    event_id text NOT NULL REFERENCES events,
    name text NOT NULL,
    seat_count integer NOT NULL,
    create_time timestamptz NOT NULL,
    PRIMARY KEY (event_id, name)
);

CREATE TABLE seats (
    id text PRIMARY KEY,
    event_id text NOT NULL,
    section text NOT NULL,
    row_label text NOT NULL,
    label text NOT NULL,
    variant_id text NOT NULL,
    -- Seats with the same row number and following places are neighbours.
    row_number integer NOT NULL,
    place integer NOT NULL,
    quality_rank integer NOT NULL,
    x integer,
    y integer,
    accessible boolean NOT NULL,
    -- What changes in a sale comes last. The order that holds or owns the seat is the one claim on it.
    blocked boolean NOT NULL DEFAULT false,
    order_id text REFERENCES orders DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT seat_of_its_section FOREIGN KEY (event_id, section) REFERENCES seat_sections,
    CONSTRAINT seat_of_its_variant FOREIGN KEY (variant_id, event_id) REFERENCES variants (id, event_id),
    CONSTRAINT seat_label_once UNIQUE (event_id, section, row_label, label),
    CONSTRAINT seat_blocked_is_not_sold CHECK (NOT blocked OR order_id IS NULL)
) WITH (fillfactor = 80);
-- The seats that best available chooses among, the best first.
CREATE INDEX seat_on_sale ON seats (variant_id, accessible, quality_rank, section, row_number, place)
    WHERE order_id IS NULL AND NOT blocked;

-- The seats of the line's tickets, as they are shown; null for general admission. They stay named when the hold has ended: money that comes
-- late buys these or none.
ALTER TABLE order_lines ADD COLUMN seats jsonb;
ALTER TABLE order_lines ADD CONSTRAINT order_line_has_a_seat_per_ticket
    CHECK (seats IS NULL OR jsonb_array_length(seats) = quantity) NOT VALID; -- no line has any yet

-- The seat that the ticket keeps off sale: null for general admission, and once the seat has gone back or to a ticket that replaces this one.
-- No two tickets have one seat. The constraint is looked at on commit, so that a seat may go from one ticket to another; it knows only
-- tickets with a seat, and not their states, whose changes would be dearer for all tickets.
ALTER TABLE tickets ADD COLUMN seat_id text;
ALTER TABLE tickets ADD CONSTRAINT ticket_of_its_seat FOREIGN KEY (seat_id) REFERENCES seats NOT VALID;
ALTER TABLE tickets ADD CONSTRAINT ticket_of_a_seat_once
    EXCLUDE USING btree (seat_id WITH =) WHERE (seat_id IS NOT NULL) DEFERRABLE INITIALLY DEFERRED;

-- take_seats gives an order the seats of the first of several choices that are all free, and returns their ids; none when no choice is. The
-- choices stand one after the other, each of so many seats. It waits for nobody: seats that somebody else is taking count as taken, and a
-- choice of which only a part is free is let go at once.
CREATE FUNCTION take_seats(taker text, choices text[], seat_count integer) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    choice text[];
    locked bigint;
BEGIN
    FOR n IN 0 .. cardinality(choices) / seat_count - 1 LOOP
        choice := choices[n * seat_count + 1 : (n + 1) * seat_count];
        BEGIN
            PERFORM FROM seats s WHERE s.id = ANY (choice) AND s.order_id IS NULL AND NOT s.blocked ORDER BY s.id FOR UPDATE SKIP LOCKED;
            GET DIAGNOSTICS locked = ROW_COUNT;
            IF locked = seat_count THEN
                UPDATE seats s SET order_id = taker WHERE s.id = ANY (choice);
                RETURN QUERY SELECT unnest(choice);
                RETURN;
            ELSIF locked > 0 THEN
                RAISE EXCEPTION 'only a part of the seats is free' USING ERRCODE = 'lock_not_available';
            END IF;
        EXCEPTION WHEN lock_not_available THEN
            NULL; -- the locks are gone with the block
        END;
    END LOOP;
END
$$;
