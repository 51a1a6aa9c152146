-- Tickets that are replaced: handed over to somebody else, or issued again to the same holder.

ALTER TABLE tickets
    -- The ticket of the same order in whose place this one is.
    ADD COLUMN replaces text REFERENCES tickets,
    -- Who holds it, where that is not the buyer of the order; the name alone where the buyer keeps it for somebody.
    ADD COLUMN holder_name text NOT NULL DEFAULT '',
    ADD COLUMN holder_email text NOT NULL DEFAULT '',
    ADD COLUMN holder_language text NOT NULL DEFAULT '',
    -- Counts the changes of the name; passsvc ignores smaller numbers.
    ADD COLUMN holder_number integer NOT NULL DEFAULT 0,
    ADD CONSTRAINT ticket_does_not_replace_itself CHECK (replaces <> id);
CREATE UNIQUE INDEX ticket_is_replaced_once ON tickets (replaces) WHERE replaces IS NOT NULL;

-- A replaced ticket is void, whatever the code does: the row that replaces it is refused else. Its state is written before, in the
-- same transaction.
CREATE FUNCTION ticket_replaces_a_void_one() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM tickets t WHERE t.id = new.replaces AND t.order_id = new.order_id AND t.state = 'void') THEN
        RAISE EXCEPTION 'ticket % replaces one that is not a void ticket of its order', new.id
            USING errcode = 'check_violation', constraint = 'ticket_replaces_a_void_one';
    END IF;
    RETURN new;
END
$$;
CREATE TRIGGER ticket_replaces_a_void_one BEFORE INSERT OR UPDATE OF replaces ON tickets
    FOR EACH ROW WHEN (new.replaces IS NOT NULL) EXECUTE FUNCTION ticket_replaces_a_void_one();

-- Tickets that were offered to somebody. The holder keeps the ticket until the recipient accepts.
CREATE TABLE ticket_transfers (
    id text PRIMARY KEY,
    order_id text NOT NULL REFERENCES orders,
    ticket_id text NOT NULL REFERENCES tickets,
    state text NOT NULL DEFAULT 'pending',
    recipient_name text NOT NULL,
    recipient_email text NOT NULL,
    recipient_language text NOT NULL,
    create_time timestamptz NOT NULL,
    expire_time timestamptz NOT NULL,
    end_time timestamptz,
    CONSTRAINT ticket_transfer_state_is_known CHECK (state IN ('pending', 'accepted', 'declined', 'canceled', 'expired')),
    CONSTRAINT ticket_transfer_ended_has_its_time CHECK ((state = 'pending') = (end_time IS NULL)),
    CONSTRAINT ticket_transfer_has_a_recipient CHECK (recipient_name <> '' AND recipient_email <> '')
);
CREATE UNIQUE INDEX ticket_transfer_pending_once ON ticket_transfers (ticket_id) WHERE state = 'pending';
CREATE UNIQUE INDEX ticket_transfer_accepted_once ON ticket_transfers (ticket_id) WHERE state = 'accepted';
CREATE INDEX ticket_transfer_of_order ON ticket_transfers (order_id);
CREATE INDEX ticket_transfer_due ON ticket_transfers (expire_time) WHERE state = 'pending';

-- What an event allows: by default tickets are transferred, and their holders named, until its start.
ALTER TABLE events
    ADD COLUMN transfers_allowed boolean NOT NULL DEFAULT true,
    ADD COLUMN transfer_end_time timestamptz,
    ADD COLUMN transfer_limit integer NOT NULL DEFAULT 5,
    ADD COLUMN holder_change_end_time timestamptz,
    ADD CONSTRAINT event_transfer_limit_is_positive CHECK (transfer_limit > 0);
