-- name: GetWebhookEvent :one
-- GetWebhookEvent returns one event with its body.
select id, endpoint, event_id, source, type, api_version, livemode, stripe_account, object_id, create_time,
    receive_time, delivery_count, state, error, end_time, attempt_count, queue_time, deferral_count, failure_count,
    replay_count, body, next_try_time
from webhook_events
where endpoint = $1 and event_id = $2;

-- name: ClaimWebhookEvents :many
-- ClaimWebhookEvents leases events that are due, at most so many, those first that wait longest.
with due as (
    select endpoint, event_id from webhook_events
    where state in ('received', 'deferred') and next_try_time <= now()
    order by next_try_time limit @events_max
    for update skip locked
)
update webhook_events as e
set next_try_time = now() + make_interval(secs => @lease_seconds::float8)
from due
where e.endpoint = due.endpoint and e.event_id = due.event_id
returning e.id, e.endpoint, e.event_id, e.source, e.type, e.api_version, e.livemode, e.stripe_account, e.object_id, e.create_time,
    e.receive_time, e.delivery_count, e.state, e.error, e.end_time, e.attempt_count, e.queue_time, e.deferral_count, e.failure_count,
    e.replay_count, e.body, e.next_try_time;

-- name: EndWebhookEvent :execrows
-- EndWebhookEvent ends the run of an event, unless another try ended it or it was replayed since.
update webhook_events
set state = @state, error = @error, end_time = @end_time::timestamptz, attempt_count = attempt_count + 1
where endpoint = @endpoint and event_id = @event_id and replay_count = @replay_count
    and state in ('received', 'deferred');

-- name: DelayWebhookEvent :execrows
-- DelayWebhookEvent notes a try without success, unless another try ended the event or it was replayed since.
update webhook_events
set state = @state, error = @error, attempt_count = attempt_count + 1, deferral_count = @deferral_count,
    failure_count = @failure_count, next_try_time = now() + make_interval(secs => @delay_seconds::float8)
where endpoint = @endpoint and event_id = @event_id and replay_count = @replay_count
    and state in ('received', 'deferred');

-- name: CountOpenWebhookEvents :one
-- CountOpenWebhookEvents counts what is still to do, and what needs a person.
select count(*) filter (where state = 'received') as received,
    count(*) filter (where state = 'deferred') as deferred,
    count(*) filter (where state = 'dead') as dead
from webhook_events
where state in ('received', 'deferred', 'dead');

-- name: CountOverdueWebhookEvents :one
-- CountOverdueWebhookEvents counts open events that were due so many seconds ago.
select count(*) from webhook_events
where state in ('received', 'deferred') and next_try_time < now() - make_interval(secs => @overdue_seconds::float8);

-- name: InsertWebhookReplay :exec
insert into webhook_replays (replay_time, caller, choice, note, event_count)
values (@replay_time, @caller, @choice, @note, @event_count);

-- name: ListConnectedAccounts :many
-- ListConnectedAccounts returns the accounts whose events arrived at the Connect endpoint since a time.
select distinct stripe_account
from webhook_events
where receive_time >= $1 and endpoint = 'connect' and stripe_account <> ''
order by stripe_account;

-- name: GetWebhookBackfill :one
select complete_until from webhook_backfills where stripe_account = $1;

-- name: SetWebhookBackfill :exec
-- SetWebhookBackfill never goes back, whichever replica finishes last.
insert into webhook_backfills as b (stripe_account, complete_until)
values (@stripe_account, @complete_until)
on conflict on constraint webhook_backfill_once_per_account
do update set complete_until = greatest(b.complete_until, excluded.complete_until);

-- LastDelivery returns when an endpoint got an event that it did not have, since a time.
-- name: LastDelivery :one
select receive_time from webhook_events
where receive_time >= @since and endpoint = @endpoint and source = 'delivery'
order by receive_time desc limit 1;

-- ListRecentAccounts returns the connected accounts that were heard of last.
-- name: ListRecentAccounts :many
select stripe_account from webhook_events
where receive_time >= @since and endpoint = 'connect' and stripe_account <> ''
group by stripe_account order by max(receive_time) desc limit @accounts_max;
