-- name: InsertRun :exec
INSERT INTO reconcile_runs (id, kind, from_time, until_time, create_time)
VALUES (@id, @kind, @from_time, @until_time, @create_time);

-- name: GetRun :one
SELECT id, kind, state, from_time, until_time, create_time, end_time, order_lines, ledger_transactions, stripe_transactions,
       differences, opened, closed, in_flight, truncated, error
FROM reconcile_runs WHERE id = @id;

-- RunsBefore returns a page of runs, the newest first; kind 0 means all.
-- name: RunsBefore :many
SELECT id, kind, state, from_time, until_time, create_time, end_time, order_lines, ledger_transactions, stripe_transactions,
       differences, opened, closed, in_flight, truncated, error
FROM reconcile_runs
WHERE (create_time, id) < (@before_time::timestamptz, @before_id::text) AND (@kind::smallint = 0 OR kind = @kind::smallint)
ORDER BY create_time DESC, id DESC
LIMIT @page_size;

-- FinishRun ends a run; one that has ended stays as it is.
-- name: FinishRun :execrows
UPDATE reconcile_runs
SET state = @state, end_time = @end_time, order_lines = @order_lines, ledger_transactions = @ledger_transactions,
    stripe_transactions = @stripe_transactions, differences = @differences, opened = @opened, closed = @closed,
    in_flight = @in_flight, truncated = @truncated, error = @error
WHERE id = @id AND state = 1;

-- UnfinishedRun tells whether a run of a kind is under way.
-- name: UnfinishedRun :one
SELECT EXISTS (SELECT FROM reconcile_runs WHERE kind = @kind AND state = 1);

-- name: Progress :one
SELECT until_time, ledger_transaction_id FROM reconcile_progress;

-- SetProgress moves forward only.
-- name: SetProgress :exec
INSERT INTO reconcile_progress AS known (until_time, ledger_transaction_id)
VALUES (@until_time, @ledger_transaction_id)
ON CONFLICT (only_row) DO UPDATE SET
    until_time = greatest(known.until_time, excluded.until_time),
    ledger_transaction_id = greatest(known.ledger_transaction_id, excluded.ledger_transaction_id);

-- name: AddSightings :copyfrom
INSERT INTO reconcile_sightings (run_id, side, subject, reference, charge_id, stripe_account, asset, amount)
VALUES (@run_id, @side, @subject, @reference, @charge_id, @stripe_account, @asset, @amount);

-- CopySightings notes our copies of a span of time.
-- name: CopySightings :execrows
INSERT INTO reconcile_sightings (run_id, side, subject, reference, charge_id, stripe_account, asset, amount)
SELECT @run_id::text, 'copy', reference, reference, '', stripe_account, '', 0
FROM entries
WHERE effective_time >= @from_time AND effective_time < @until_time;

-- name: CountSightings :one
SELECT count(*) FROM reconcile_sightings WHERE run_id = @run_id;

-- name: SightedAccounts :many
SELECT DISTINCT stripe_account FROM reconcile_sightings WHERE run_id = @run_id AND stripe_account <> '' ORDER BY 1;

-- name: KnownAccounts :many
SELECT DISTINCT stripe_account FROM entries WHERE stripe_account <> '' ORDER BY 1;

-- name: ForgetRun :exec
WITH forgotten AS (DELETE FROM reconcile_suspects s WHERE s.run_id = @run_id)
DELETE FROM reconcile_sightings t WHERE t.run_id = @run_id;

-- AddSuspects finds the subjects of which two sides say different things: the ledger and Stripe by account and asset, the
-- ledger and orders by asset, our copies and the ledger by reference. Of Stripe's charges the intent is looked up among
-- what orders say; those of nobody stay under the charge.
-- name: AddSuspects :exec
WITH seen AS (
    SELECT s.side, s.reference, s.stripe_account, s.asset, s.amount,
           CASE WHEN s.charge_id = '' THEN s.subject
                WHEN c.reference IS NULL THEN 'charge:' || s.charge_id
                ELSE s.subject || c.reference END AS subject
    FROM reconcile_sightings s
    LEFT JOIN (SELECT DISTINCT m.charge_id, m.reference FROM reconcile_sightings m WHERE m.run_id = @run_id AND m.side = 'charge') c
        ON c.charge_id = s.charge_id AND s.charge_id <> ''
    WHERE s.run_id = @run_id AND s.side <> 'charge'
), unlike AS (
    SELECT subject, stripe_account
    FROM seen
    WHERE side IN ('ledger', 'stripe')
    GROUP BY subject, stripe_account, asset
    HAVING coalesce(sum(amount) FILTER (WHERE side = 'ledger'), 0) <> coalesce(sum(amount) FILTER (WHERE side = 'stripe'), 0)
    UNION ALL
    SELECT subject, max(stripe_account)
    FROM seen
    WHERE side IN ('order', 'booked')
    GROUP BY subject, asset
    HAVING sum(amount) FILTER (WHERE side = 'order') IS DISTINCT FROM sum(amount) FILTER (WHERE side = 'booked')
    UNION ALL
    SELECT c.reference, c.stripe_account
    FROM seen c
    LEFT JOIN seen l ON l.side = 'ledger' AND l.reference = c.reference
    WHERE c.side = 'copy' AND l.reference IS NULL
)
INSERT INTO reconcile_suspects (run_id, subject, stripe_account)
SELECT @run_id::text, subject, max(stripe_account) FROM unlike GROUP BY subject
ON CONFLICT DO NOTHING;

-- name: AddSuspect :exec
INSERT INTO reconcile_suspects (run_id, subject, stripe_account)
VALUES (@run_id, @subject, @stripe_account)
ON CONFLICT DO NOTHING;

-- AddOldSuspects lets a run look again at what is open or watched.
-- name: AddOldSuspects :exec
INSERT INTO reconcile_suspects (run_id, subject, stripe_account)
SELECT @run_id::text, subject, max(stripe_account)
FROM (
    SELECT subject, stripe_account FROM reconcile_differences WHERE state = 1
    UNION ALL
    SELECT subject, stripe_account FROM reconcile_watches
) AS old
GROUP BY subject
ON CONFLICT DO NOTHING;

-- name: SuspectsAfter :many
SELECT subject, stripe_account FROM reconcile_suspects
WHERE run_id = @run_id AND subject > @after_subject
ORDER BY subject
LIMIT @page_size;

-- SeeDifference keeps a difference, once while it is not gone. It tells whether the row is new, and its state.
-- name: SeeDifference :one
INSERT INTO reconcile_differences AS known (id, kind, subject, digest, order_id, organizer_id, payment_intent_id, stripe_account,
    expected_currency, expected_amount, found_currency, found_amount, sides, cause, first_run_id, first_observed_time, last_observed_time)
VALUES (@id, @kind, @subject, @digest, @order_id, @organizer_id, @payment_intent_id, @stripe_account,
    @expected_currency, @expected_amount, @found_currency, @found_amount, @sides, @cause, @first_run_id, @seen_time, @seen_time)
ON CONFLICT (kind, subject, digest) WHERE state <> 3 DO UPDATE SET
    last_observed_time = greatest(known.last_observed_time, excluded.last_observed_time), cause = excluded.cause, sides = excluded.sides
RETURNING id, state, (first_run_id = @first_run_id AND first_observed_time = @seen_time)::boolean AS is_new;

-- CloseGone closes what is open of a subject but for one row; it returns the rows.
-- name: CloseGone :many
UPDATE reconcile_differences
SET state = 3, resolve_time = @now
WHERE subject = @subject AND state = 1 AND id <> @keep_id
RETURNING id;

-- name: Watch :exec
INSERT INTO reconcile_watches (subject, stripe_account, reason, first_observed_time)
VALUES (@subject, @stripe_account, @reason, @first_observed_time)
ON CONFLICT (subject) DO UPDATE SET reason = excluded.reason;

-- name: Unwatch :exec
DELETE FROM reconcile_watches WHERE subject = @subject;

-- name: GetDifference :one
SELECT id, kind, subject, digest, state, order_id, organizer_id, payment_intent_id, stripe_account, expected_currency,
       expected_amount, found_currency, found_amount, sides, cause, first_run_id, first_observed_time, last_observed_time,
       resolve_time, resolved_by, resolve_reason
FROM reconcile_differences WHERE id = @id;

-- ResolveDifference closes an open difference by hand.
-- name: ResolveDifference :execrows
UPDATE reconcile_differences
SET state = 2, resolve_time = @resolve_time, resolved_by = @resolved_by, resolve_reason = @resolve_reason
WHERE id = @id AND state = 1;

-- DifferencesBefore returns a page of differences, the newest first; 0 and the empty text mean all.
-- name: DifferencesBefore :many
SELECT id, kind, subject, digest, state, order_id, organizer_id, payment_intent_id, stripe_account, expected_currency,
       expected_amount, found_currency, found_amount, sides, cause, first_run_id, first_observed_time, last_observed_time,
       resolve_time, resolved_by, resolve_reason
FROM reconcile_differences
WHERE (first_observed_time, id) < (@before_time::timestamptz, @before_id::text)
  AND (@state::smallint = 0 OR state = @state::smallint)
  AND (@kind::smallint = 0 OR kind = @kind::smallint)
  AND (@order_id::text = '' OR order_id = @order_id::text)
ORDER BY first_observed_time DESC, id DESC
LIMIT @page_size;

-- name: EntriesByReferences :many
SELECT ledger_transaction_id, reference, kind, order_id, organizer_id, payment_intent_id, stripe_account, dispute_id,
       fingerprint, effective_time, post_time
FROM entries
WHERE reference = ANY (@reference_list::text[]);

-- EntriesOfOrganizerAfter returns a page of an organiser's entries in the order of their numbers.
-- name: EntriesOfOrganizerAfter :many
SELECT ledger_transaction_id, reference, kind, order_id, organizer_id, payment_intent_id, stripe_account, dispute_id,
       fingerprint, effective_time, post_time
FROM entries
WHERE organizer_id = @organizer_id AND organizer_id <> '' AND ledger_transaction_id > @after_id
ORDER BY ledger_transaction_id
LIMIT @page_size;

-- EntriesBetweenAfter returns a page of the entries of a span of time, by time and number.
-- name: EntriesBetweenAfter :many
SELECT ledger_transaction_id, reference, kind, order_id, organizer_id, payment_intent_id, stripe_account, dispute_id,
       fingerprint, effective_time, post_time
FROM entries
WHERE effective_time >= @from_time AND effective_time < @until_time
  AND (effective_time, ledger_transaction_id) > (@after_time::timestamptz, @after_id::bigint)
ORDER BY effective_time, ledger_transaction_id
LIMIT @page_size;
