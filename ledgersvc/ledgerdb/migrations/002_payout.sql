-- What is known of a payout. Observations come in any order and merge; which entries follow is derived from the row.
-- All but the status is frozen by the first observation, so that a repeated posting is the same bytes.
CREATE TABLE payouts (
    payout_id       text        PRIMARY KEY,
    stripe_account  text        NOT NULL, -- empty: the platform's
    organizer_id    text        NOT NULL, -- empty: the platform's
    status          smallint    NOT NULL, -- dayof.ledger.v1.PayoutStatus with the highest rank seen
    paid            boolean     NOT NULL, -- it was seen as paid before it was seen to come back
    currency        text        NOT NULL,
    amount          bigint      NOT NULL CONSTRAINT payout_is_positive CHECK (amount > 0),
    bank_account_id text        NOT NULL,
    payout_time     timestamptz NOT NULL
);
