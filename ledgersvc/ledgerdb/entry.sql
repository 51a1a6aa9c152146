-- name: EntryByReference :one
SELECT ledger_transaction_id, reference, kind, order_id, organizer_id, payment_intent_id, stripe_account, dispute_id,
       fingerprint, effective_time, post_time
FROM entries
WHERE reference = $1;

-- EntriesOfOrder returns the entries of an order, oldest first.
-- name: EntriesOfOrder :many
SELECT ledger_transaction_id, reference, kind, order_id, organizer_id, payment_intent_id, stripe_account, dispute_id,
       fingerprint, effective_time, post_time
FROM entries
WHERE order_id = $1 AND order_id <> ''
ORDER BY ledger_transaction_id;

-- EntriesOfDispute returns the entries of a dispute, oldest first.
-- name: EntriesOfDispute :many
SELECT ledger_transaction_id, reference, kind, order_id, organizer_id, payment_intent_id, stripe_account, dispute_id,
       fingerprint, effective_time, post_time
FROM entries
WHERE dispute_id = $1 AND dispute_id <> ''
ORDER BY ledger_transaction_id;

-- EntriesAfter returns a page of all entries in the order of their numbers.
-- name: EntriesAfter :many
SELECT ledger_transaction_id, reference, kind, order_id, organizer_id, payment_intent_id, stripe_account, dispute_id,
       fingerprint, effective_time, post_time
FROM entries
WHERE ledger_transaction_id > @after_id
ORDER BY ledger_transaction_id
LIMIT @page_size;

-- EntriesOfKindAfter is EntriesAfter for one kind.
-- name: EntriesOfKindAfter :many
SELECT ledger_transaction_id, reference, kind, order_id, organizer_id, payment_intent_id, stripe_account, dispute_id,
       fingerprint, effective_time, post_time
FROM entries
WHERE kind = @kind AND ledger_transaction_id > @after_id
ORDER BY ledger_transaction_id
LIMIT @page_size;

-- name: PostingsOf :many
SELECT ledger_transaction_id, position, source, destination, asset, amount
FROM postings
WHERE ledger_transaction_id = ANY (@ledger_transaction_ids::bigint[])
ORDER BY ledger_transaction_id, position;

-- AccountLinesAfter returns a page of an account's postings, oldest first. Each branch walks its own index; a posting
-- of an account to itself is in the first branch only.
-- name: AccountLinesAfter :many
SELECT line.ledger_transaction_id, line.position, line.source, line.destination, line.asset, line.amount,
       entries.reference, entries.effective_time
FROM (
    (SELECT p.ledger_transaction_id, p.position, p.source, p.destination, p.asset, p.amount
     FROM postings p
     WHERE p.source = @account AND (p.ledger_transaction_id, p.position) > (@after_id::bigint, @after_position::smallint)
     ORDER BY p.ledger_transaction_id, p.position
     LIMIT @page_size)
    UNION ALL
    (SELECT p.ledger_transaction_id, p.position, p.source, p.destination, p.asset, p.amount
     FROM postings p
     WHERE p.destination = @account AND p.source <> @account
       AND (p.ledger_transaction_id, p.position) > (@after_id::bigint, @after_position::smallint)
     ORDER BY p.ledger_transaction_id, p.position
     LIMIT @page_size)
) AS line
JOIN entries ON entries.ledger_transaction_id = line.ledger_transaction_id
ORDER BY line.ledger_transaction_id, line.position
LIMIT @page_size;

-- CopyEntry keeps a copy of an entry with its postings, and the idempotency key of the call that made it unless the
-- key is empty. It is one statement, so one round trip and one commit; a copy that is there stays as it is. No
-- constraint is named: of two that keep the same copy at once, either unique index may be the first to tell.
-- name: CopyEntry :exec
WITH used_key AS (
    INSERT INTO idempotency_keys (caller, method, key, fingerprint, subject, created_time)
    SELECT @caller::text, @method::text, @key::text, @key_fingerprint::bytea, @reference::text, @created_time::timestamptz
    WHERE @key::text <> ''
    ON CONFLICT DO NOTHING
), entry AS (
    INSERT INTO entries (ledger_transaction_id, reference, kind, order_id, organizer_id, payment_intent_id,
                         stripe_account, dispute_id, fingerprint, effective_time, post_time)
    VALUES (@ledger_transaction_id, @reference::text, @kind, @order_id, @organizer_id, @payment_intent_id,
            @stripe_account, @dispute_id, @fingerprint, @effective_time, @post_time)
    ON CONFLICT DO NOTHING
    RETURNING ledger_transaction_id
)
INSERT INTO postings (ledger_transaction_id, position, source, destination, asset, amount)
SELECT entry.ledger_transaction_id, i - 1, (@sources::text[])[i], (@destinations::text[])[i], (@assets::text[])[i], (@amounts::bigint[])[i]
FROM entry, generate_subscripts(@sources::text[], 1) AS i;

-- Seen tells, in one round trip, for which request an idempotency key was used before (empty: for none), and whether
-- there is a copy under a reference.
-- name: Seen :one
SELECT coalesce((SELECT fingerprint FROM idempotency_keys WHERE caller = @caller AND method = @method AND key = @key), '')::bytea AS key_fingerprint,
       EXISTS (SELECT FROM entries WHERE reference = @reference) AS copied;

-- Book notes which ledger these copies are of, the first time; after that it returns what was noted.
-- name: Book :one
INSERT INTO books (ledger, added_time)
VALUES (@ledger, @added_time)
ON CONFLICT (only_row) DO UPDATE SET only_row = true
RETURNING ledger, added_time;
