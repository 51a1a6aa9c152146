-- What was posted: our own copy of the ledger's transactions, written after the ledger has taken them. It is never
-- changed: an entry is undone by another entry. The ledger decides what is true; a copy that is missing is made when
-- its fact is reported again.
CREATE TABLE entries (
    ledger_transaction_id bigint      CONSTRAINT entry_is_copied_once PRIMARY KEY, -- number at the ledger
    reference             text        NOT NULL CONSTRAINT reference_is_posted_once UNIQUE,
    kind                  text        NOT NULL,
    order_id              text        NOT NULL, -- these are empty where the fact has none
    organizer_id          text        NOT NULL,
    payment_intent_id     text        NOT NULL,
    stripe_account        text        NOT NULL, -- empty: the platform's
    dispute_id            text        NOT NULL,
    fingerprint           bytea       NOT NULL, -- of what was asked for, as the ledger keeps it; empty: not posted by us
    effective_time        timestamptz NOT NULL, -- when the fact happened
    post_time             timestamptz NOT NULL, -- when the ledger took it
    CONSTRAINT entry_has_a_reference CHECK (reference <> '')
);

CREATE INDEX entries_by_order ON entries (order_id, ledger_transaction_id) WHERE order_id <> '';
CREATE INDEX entries_by_dispute ON entries (dispute_id) WHERE dispute_id <> '';
CREATE INDEX entries_by_kind ON entries (kind, ledger_transaction_id);

-- The lines of an entry, in the ledger's order.
CREATE TABLE postings (
    ledger_transaction_id bigint   NOT NULL CONSTRAINT posting_belongs_to_an_entry REFERENCES entries,
    position              smallint NOT NULL,
    source                text     NOT NULL,
    destination           text     NOT NULL,
    asset                 text     NOT NULL, -- the ledger's notation, "EUR/2"
    amount                bigint   NOT NULL CONSTRAINT posting_is_positive CHECK (amount > 0), -- minor units
    PRIMARY KEY (ledger_transaction_id, position)
);

CREATE INDEX postings_by_source ON postings (source, ledger_transaction_id, position);
CREATE INDEX postings_by_destination ON postings (destination, ledger_transaction_id, position);

-- Which ledger these copies are of, so that a wrong address is noticed before money is booked twice. At most one row.
CREATE TABLE books (
    only_row   boolean     PRIMARY KEY DEFAULT true CONSTRAINT books_are_one CHECK (only_row),
    ledger     text        NOT NULL,
    added_time timestamptz NOT NULL -- when the ledger was made at the server
);
