-- name: EntryByReference :one
select ledger_transaction_id, reference, kind, order_id, organizer_id, payment_intent_id, stripe_account, dispute_id,
       fingerprint, effective_time, post_time
from entries
where reference = $1;

-- EntriesOfOrder returns the entries of an order, oldest first.
-- name: EntriesOfOrder :many
select ledger_transaction_id, reference, kind, order_id, organizer_id, payment_intent_id, stripe_account, dispute_id,
       fingerprint, effective_time, post_time
from entries
where order_id = $1 and order_id <> ''
order by ledger_transaction_id;

-- EntriesOfDispute returns the entries of a dispute, oldest first.
-- name: EntriesOfDispute :many
select ledger_transaction_id, reference, kind, order_id, organizer_id, payment_intent_id, stripe_account, dispute_id,
       fingerprint, effective_time, post_time
from entries
where dispute_id = $1 and dispute_id <> ''
order by ledger_transaction_id;

-- EntriesAfter returns a page of all entries in the order of their numbers.
-- name: EntriesAfter :many
select ledger_transaction_id, reference, kind, order_id, organizer_id, payment_intent_id, stripe_account, dispute_id,
       fingerprint, effective_time, post_time
from entries
where ledger_transaction_id > @after_id
order by ledger_transaction_id
limit @page_size;

-- EntriesOfKindAfter is EntriesAfter for one kind.
-- name: EntriesOfKindAfter :many
select ledger_transaction_id, reference, kind, order_id, organizer_id, payment_intent_id, stripe_account, dispute_id,
       fingerprint, effective_time, post_time
from entries
where kind = @kind and ledger_transaction_id > @after_id
order by ledger_transaction_id
limit @page_size;

-- name: PostingsOf :many
select ledger_transaction_id, position, source, destination, asset, amount
from postings
where ledger_transaction_id = any (@ledger_transaction_ids::bigint[])
order by ledger_transaction_id, position;

-- AccountLinesAfter returns a page of an account's postings, oldest first. Each branch reads its own index; a posting
-- of an account to itself is in the first branch only.
-- name: AccountLinesAfter :many
select line.ledger_transaction_id, line.position, line.source, line.destination, line.asset, line.amount,
       entries.reference, entries.effective_time
from (
    (select p.ledger_transaction_id, p.position, p.source, p.destination, p.asset, p.amount
     from postings p
     where p.source = @account and (p.ledger_transaction_id, p.position) > (@after_id::bigint, @after_position::smallint)
     order by p.ledger_transaction_id, p.position
     limit @page_size)
    union all
    (select p.ledger_transaction_id, p.position, p.source, p.destination, p.asset, p.amount
     from postings p
     where p.destination = @account and p.source <> @account
       and (p.ledger_transaction_id, p.position) > (@after_id::bigint, @after_position::smallint)
     order by p.ledger_transaction_id, p.position
     limit @page_size)
) as line
join entries on entries.ledger_transaction_id = line.ledger_transaction_id
order by line.ledger_transaction_id, line.position
limit @page_size;

-- CopyEntry keeps a copy of an entry with its postings, and the idempotency key of the call that made it unless the
-- key is empty. It is one statement, so one round trip and one commit; a copy that is there stays as it is. No
-- constraint is named: of two that keep the same copy at once, either unique index may be the first to refuse.
-- name: CopyEntry :exec
with used_key as (
    insert into idempotency_keys (caller, method, key, fingerprint, subject, created_time)
    select @caller::text, @method::text, @key::text, @key_fingerprint::bytea, @reference::text, @created_time::timestamptz
    where @key::text <> ''
    on conflict do nothing
), entry as (
    insert into entries (ledger_transaction_id, reference, kind, order_id, organizer_id, payment_intent_id,
                         stripe_account, dispute_id, fingerprint, effective_time, post_time)
    values (@ledger_transaction_id, @reference::text, @kind, @order_id, @organizer_id, @payment_intent_id,
            @stripe_account, @dispute_id, @fingerprint, @effective_time, @post_time)
    on conflict do nothing
    returning ledger_transaction_id
)
insert into postings (ledger_transaction_id, position, source, destination, asset, amount)
select entry.ledger_transaction_id, i - 1, (@sources::text[])[i], (@destinations::text[])[i], (@assets::text[])[i], (@amounts::bigint[])[i]
from entry, generate_subscripts(@sources::text[], 1) as i;

-- CallState returns, in one round trip, for which request an idempotency key was used before (empty: for none), and whether
-- there is a copy under a reference.
-- name: CallState :one
select coalesce((select fingerprint from idempotency_keys where caller = @caller and method = @method and key = @key), '')::bytea as key_fingerprint,
       exists (select from entries where reference = @reference) as copied;

-- KeepBook keeps which ledger these copies are of, the first time; after that it returns what was kept.
-- name: KeepBook :one
insert into books (ledger, added_time)
values (@ledger, @added_time)
on conflict (only_row) do update set only_row = true
returning ledger, added_time;

-- name: EntriesByReferences :many
select ledger_transaction_id, reference, kind, order_id, organizer_id, payment_intent_id, stripe_account, dispute_id,
       fingerprint, effective_time, post_time
from entries
where reference = any (@reference_list::text[]);

-- EntriesOfOrganizerAfter returns a page of an organiser's entries in the order of their numbers.
-- name: EntriesOfOrganizerAfter :many
select ledger_transaction_id, reference, kind, order_id, organizer_id, payment_intent_id, stripe_account, dispute_id,
       fingerprint, effective_time, post_time
from entries
where organizer_id = @organizer_id and organizer_id <> '' and ledger_transaction_id > @after_id
order by ledger_transaction_id
limit @page_size;

-- EntriesBetweenAfter returns a page of the entries of a span of time, by time and number.
-- name: EntriesBetweenAfter :many
select ledger_transaction_id, reference, kind, order_id, organizer_id, payment_intent_id, stripe_account, dispute_id,
       fingerprint, effective_time, post_time
from entries
where effective_time >= @from_time and effective_time < @until_time
  and (effective_time, ledger_transaction_id) > (@after_time::timestamptz, @after_id::bigint)
order by effective_time, ledger_transaction_id
limit @page_size;
