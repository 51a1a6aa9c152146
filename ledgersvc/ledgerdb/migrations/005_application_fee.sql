-- What is known of the platform's fees of charges. The refunded sum merges by its maximum; all else is frozen by the
-- first observation, so that a repeated posting is the same bytes.
CREATE TABLE application_fees (
    fee_id            text        PRIMARY KEY,
    stripe_account    text        NOT NULL,
    organizer_id      text        NOT NULL,
    order_id          text        NOT NULL, -- empty: of a charge that is not ours
    payment_intent_id text        NOT NULL, -- empty: of a charge that is not ours
    source            text        NOT NULL, -- where the money of the charge lies
    booked            bigint      NOT NULL, -- what the entry of the charge holds of it already
    currency          text        NOT NULL,
    amount            bigint      NOT NULL CONSTRAINT application_fee_is_positive CHECK (amount > 0),
    refunded          bigint      NOT NULL DEFAULT 0,
    fee_time          timestamptz NOT NULL,
    CONSTRAINT application_fee_source_is_known CHECK (source IN ('direct', 'destination', 'elsewhere')),
    CONSTRAINT application_fee_refund_fits CHECK (refunded BETWEEN 0 AND amount)
);

-- Each time the refunded sum grew: an entry appfee-ref:<fee>:<cumulative> of that amount.
CREATE TABLE application_fee_refunds (
    fee_id     text   NOT NULL REFERENCES application_fees,
    cumulative bigint NOT NULL,
    amount     bigint NOT NULL CONSTRAINT application_fee_refund_is_positive CHECK (amount > 0),
    PRIMARY KEY (fee_id, cumulative)
);

-- What payouts consist of, as Stripe listed it when it said that the list is complete.
CREATE TABLE payout_transactions (
    payout_id         text        PRIMARY KEY,
    stripe_account    text        NOT NULL, -- empty: the platform's
    currency          text        NOT NULL,
    amount            bigint      NOT NULL, -- of the payout
    transaction_count bigint      NOT NULL,
    net               bigint      NOT NULL, -- sum of the transactions; the difference from the amount should be zero
    complete_time     timestamptz NOT NULL
);
