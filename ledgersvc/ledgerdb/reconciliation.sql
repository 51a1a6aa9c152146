-- name: InsertRun :exec
insert into reconcile_runs (id, kind, from_time, until_time, create_time)
values (@id, @kind, @from_time, @until_time, @create_time);

-- name: GetRun :one
select id, kind, state, from_time, until_time, create_time, end_time, order_lines, ledger_transactions, stripe_transactions,
       differences, opened, closed, in_flight, truncated, error, foreign_items, foreign_money,
       unread_items, unread_subjects
from reconcile_runs where id = @id;

-- RunsBefore returns a page of runs, the newest first; kind 0 means all.
-- name: RunsBefore :many
select id, kind, state, from_time, until_time, create_time, end_time, order_lines, ledger_transactions, stripe_transactions,
       differences, opened, closed, in_flight, truncated, error, foreign_items, foreign_money,
       unread_items, unread_subjects
from reconcile_runs
where (create_time, id) < (@before_time::timestamptz, @before_id::text) and (@kind::smallint = 0 or kind = @kind::smallint)
order by create_time desc, id desc
limit @page_size;

-- FinishRun ends a run; one that has ended stays as it is.
-- name: FinishRun :execrows
update reconcile_runs
set state = @state, end_time = @end_time, order_lines = @order_lines, ledger_transactions = @ledger_transactions,
    stripe_transactions = @stripe_transactions, differences = @differences, opened = @opened, closed = @closed,
    in_flight = @in_flight, foreign_items = @foreign_items, foreign_money = @foreign_money, truncated = @truncated, error = @error,
    unread_items = @unread_items, unread_subjects = @unread_subjects
where id = @id and state = 1;

-- RunningRuns returns the runs that have not ended, the oldest first.
-- name: RunningRuns :many
select id, kind, state, from_time, until_time, create_time, end_time, order_lines, ledger_transactions, stripe_transactions,
       differences, opened, closed, in_flight, truncated, error, foreign_items, foreign_money,
       unread_items, unread_subjects
from reconcile_runs where state = 1 order by create_time, id;

-- UnfinishedRun says whether a run of a kind is in progress.
-- name: UnfinishedRun :one
select exists (select from reconcile_runs where kind = @kind and state = 1);

-- name: Progress :one
select until_time, ledger_transaction_id from reconcile_progress;

-- SetProgress moves forward only.
-- name: SetProgress :exec
insert into reconcile_progress as known (until_time, ledger_transaction_id)
values (@until_time, @ledger_transaction_id)
on conflict (only_row) do update set
    until_time = greatest(known.until_time, excluded.until_time),
    ledger_transaction_id = greatest(known.ledger_transaction_id, excluded.ledger_transaction_id);

-- name: AddRecords :copyfrom
insert into reconcile_records (run_id, source, subject, reference, charge_id, stripe_account, asset, amount)
values (@run_id, @source, @subject, @reference, @charge_id, @stripe_account, @asset, @amount);

-- AddCopyRecords records our copies of a span of time.
-- name: AddCopyRecords :execrows
insert into reconcile_records (run_id, source, subject, reference, charge_id, stripe_account, asset, amount)
select @run_id::text, 'copy', reference, reference, '', stripe_account, '', 0
from entries
where effective_time >= @from_time and effective_time < @until_time;

-- name: CountRecords :one
select count(*) from reconcile_records where run_id = @run_id;

-- name: RecordedAccounts :many
select distinct stripe_account from reconcile_records where run_id = @run_id and stripe_account <> '' order by 1;

-- name: KnownAccounts :many
select distinct stripe_account from entries where stripe_account <> '' order by 1;

-- name: DeleteRecords :exec
with deleted as (delete from reconcile_unmatched_items u where u.run_id = @run_id)
delete from reconcile_records r where r.run_id = @run_id;

-- AddUnmatchedItems finds the subjects of which two sources have different amounts: the ledger and Stripe by account and
-- asset, the ledger and orders by asset, our copies and the ledger by reference. The intent of a charge comes from the
-- records of orders; charges of nobody stay under the charge.
-- name: AddUnmatchedItems :exec
with records as (
    select s.source, s.reference, s.stripe_account, s.asset, s.amount,
           case when s.charge_id = '' then s.subject
                when c.reference is null then 'charge:' || s.charge_id
                else s.subject || c.reference end as subject
    from reconcile_records s
    left join (select distinct m.charge_id, m.reference from reconcile_records m where m.run_id = @run_id and m.source = 'charge') c
        on c.charge_id = s.charge_id and s.charge_id <> ''
    where s.run_id = @run_id and s.source <> 'charge'
), unmatched as (
    select subject, stripe_account
    from records
    where source in ('ledger', 'stripe')
    group by subject, stripe_account, asset
    having coalesce(sum(amount) filter (where source = 'ledger'), 0) <> coalesce(sum(amount) filter (where source = 'stripe'), 0)
    union all
    select subject, max(stripe_account)
    from records
    where source in ('order', 'booked')
    group by subject, asset
    having sum(amount) filter (where source = 'order') is distinct from sum(amount) filter (where source = 'booked')
    union all
    select c.reference, c.stripe_account
    from records c
    left join records l on l.source = 'ledger' and l.reference = c.reference
    where c.source = 'copy' and l.reference is null
)
insert into reconcile_unmatched_items (run_id, subject, stripe_account)
select @run_id::text, subject, max(stripe_account) from unmatched group by subject
on conflict do nothing;

-- name: AddUnmatchedItem :exec
insert into reconcile_unmatched_items (run_id, subject, stripe_account)
values (@run_id, @subject, @stripe_account)
on conflict do nothing;

-- AddOldUnmatchedItems lets a run fetch again what is open or in flight.
-- name: AddOldUnmatchedItems :exec
insert into reconcile_unmatched_items (run_id, subject, stripe_account)
select @run_id::text, subject, max(stripe_account)
from (
    select subject, stripe_account from reconcile_differences where state = 1
    union all
    select subject, stripe_account from reconcile_watches
) as old
group by subject
on conflict do nothing;

-- name: UnmatchedItemsAfter :many
select subject, stripe_account from reconcile_unmatched_items
where run_id = @run_id and subject > @after_subject
order by subject
limit @page_size;

-- ObserveDifference keeps a difference, once while it is not gone. A row of another id than asked for was there already.
-- name: ObserveDifference :one
insert into reconcile_differences as known (id, kind, subject, digest, order_id, organizer_id, payment_intent_id, stripe_account,
    expected_currency, expected_amount, found_currency, found_amount, sides, cause, first_run_id, first_observed_time, last_observed_time)
values (@id, @kind, @subject, @digest, @order_id, @organizer_id, @payment_intent_id, @stripe_account,
    @expected_currency, @expected_amount, @found_currency, @found_amount, @sides, @cause, @first_run_id, @observe_time, @observe_time)
on conflict (kind, subject, digest) where state <> 3 do update set
    last_observed_time = greatest(known.last_observed_time, excluded.last_observed_time), cause = excluded.cause, sides = excluded.sides
returning id, state;

-- CloseDifferences closes what is open of a subject but for one row; it returns the rows.
-- name: CloseDifferences :many
update reconcile_differences
set state = 3, resolve_time = @now
where subject = @subject and state = 1 and id <> @keep_id
returning id;

-- name: Watch :exec
insert into reconcile_watches (subject, stripe_account, reason, first_observed_time)
values (@subject, @stripe_account, @reason, @first_observed_time)
on conflict (subject) do update set reason = excluded.reason;

-- name: Unwatch :exec
delete from reconcile_watches where subject = any(@subjects::text[]);

-- name: GetDifference :one
select id, kind, subject, digest, state, order_id, organizer_id, payment_intent_id, stripe_account, expected_currency,
       expected_amount, found_currency, found_amount, sides, cause, first_run_id, first_observed_time, last_observed_time,
       resolve_time, resolved_by, resolve_reason
from reconcile_differences where id = @id;

-- ResolveDifference closes an open difference by hand.
-- name: ResolveDifference :execrows
update reconcile_differences
set state = 2, resolve_time = @resolve_time, resolved_by = @resolved_by, resolve_reason = @resolve_reason
where id = @id and state = 1;

-- DifferencesBefore returns a page of differences, the newest first; 0 and the empty text mean all.
-- name: DifferencesBefore :many
select id, kind, subject, digest, state, order_id, organizer_id, payment_intent_id, stripe_account, expected_currency,
       expected_amount, found_currency, found_amount, sides, cause, first_run_id, first_observed_time, last_observed_time,
       resolve_time, resolved_by, resolve_reason
from reconcile_differences
where (first_observed_time, id) < (@before_time::timestamptz, @before_id::text)
  and (@state::smallint = 0 or state = @state::smallint)
  and (@kind::smallint = 0 or kind = @kind::smallint)
  and (@order_id::text = '' or order_id = @order_id::text)
order by first_observed_time desc, id desc
limit @page_size;
