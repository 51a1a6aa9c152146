-- ObservePayout merges an observation into what is known of a payout and returns it. Statuses merge by rank: pending 1,
-- in transit 2, paid 3, failed 4 and canceled 5 are final, and the first of the two stays. It returns no row when
-- account, organiser or amount differ from what was seen before.
-- name: ObservePayout :one
INSERT INTO payouts AS known (payout_id, stripe_account, organizer_id, status, paid, currency, amount, bank_account_id, payout_time)
VALUES (@payout_id, @stripe_account, @organizer_id, @status::smallint, @status::smallint = 3, @currency, @amount, @bank_account_id, @payout_time)
ON CONFLICT (payout_id) DO UPDATE SET
    status = CASE WHEN known.status >= 4 THEN known.status ELSE greatest(known.status, excluded.status) END,
    paid = known.paid OR (excluded.paid AND known.status < 4),
    -- The bank account may be learnt until it is needed.
    bank_account_id = CASE WHEN known.bank_account_id = '' AND NOT known.paid THEN excluded.bank_account_id
                           ELSE known.bank_account_id END
WHERE known.stripe_account = excluded.stripe_account AND known.organizer_id = excluded.organizer_id
  AND known.currency = excluded.currency AND known.amount = excluded.amount
RETURNING payout_id, stripe_account, organizer_id, status, paid, currency, amount, bank_account_id, payout_time;
