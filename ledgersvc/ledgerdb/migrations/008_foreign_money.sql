-- What others moved on the same account of Stripe, which a run counts and sums but does not call a difference.

ALTER TABLE reconcile_runs
    ADD COLUMN foreign_items bigint NOT NULL DEFAULT 0,
    ADD COLUMN foreign_money jsonb  NOT NULL DEFAULT '{}'; -- net minor units by asset
