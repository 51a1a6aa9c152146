-- A payout of a negative amount debits the bank.
ALTER TABLE payouts DROP CONSTRAINT payout_is_positive;
ALTER TABLE payouts ADD CONSTRAINT payout_moves_money CHECK (amount <> 0);
