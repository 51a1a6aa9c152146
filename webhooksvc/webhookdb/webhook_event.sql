-- name: GetWebhookEvent :one
-- GetWebhookEvent returns one event with its body.
SELECT id, endpoint, event_id, source, type, api_version, livemode, stripe_account, object_id, create_time,
    receive_time, delivery_count, state, error, end_time, attempt_count, queue_time, deferral_count, failure_count,
    replay_count, body
FROM webhook_events
WHERE endpoint = $1 AND event_id = $2;

-- name: EndWebhookEvent :execrows
-- EndWebhookEvent ends the run of an event, unless another try ended it or it was replayed since.
UPDATE webhook_events
SET state = @state, error = @error, end_time = @end_time::timestamptz, attempt_count = attempt_count + 1
WHERE endpoint = @endpoint AND event_id = @event_id AND replay_count = @replay_count
    AND state IN ('received', 'deferred');

-- name: DelayWebhookEvent :execrows
-- DelayWebhookEvent notes a try without success, unless another try ended the event or it was replayed since.
UPDATE webhook_events
SET state = @state, error = @error, attempt_count = attempt_count + 1, deferral_count = @deferral_count,
    failure_count = @failure_count
WHERE endpoint = @endpoint AND event_id = @event_id AND replay_count = @replay_count
    AND state IN ('received', 'deferred');

-- name: CountOpenWebhookEvents :one
-- CountOpenWebhookEvents counts what is still to do, and what needs a person.
SELECT count(*) FILTER (WHERE state = 'received') AS received,
    count(*) FILTER (WHERE state = 'deferred') AS deferred,
    count(*) FILTER (WHERE state = 'dead') AS dead
FROM webhook_events
WHERE state IN ('received', 'deferred', 'dead');

-- name: InsertWebhookReplay :exec
INSERT INTO webhook_replays (replay_time, caller, choice, note, event_count)
VALUES (@replay_time, @caller, @choice, @note, @event_count);

-- name: ListConnectedAccounts :many
-- ListConnectedAccounts returns the accounts whose events arrived at the Connect endpoint since a time.
SELECT DISTINCT stripe_account
FROM webhook_events
WHERE receive_time >= $1 AND endpoint = 'connect' AND stripe_account <> ''
ORDER BY stripe_account;

-- name: GetWebhookBackfill :one
SELECT complete_until FROM webhook_backfills WHERE stripe_account = $1;

-- name: SetWebhookBackfill :exec
-- SetWebhookBackfill never goes back, whichever replica finishes last.
INSERT INTO webhook_backfills AS b (stripe_account, complete_until)
VALUES (@stripe_account, @complete_until)
ON CONFLICT ON CONSTRAINT webhook_backfill_once_per_account
DO UPDATE SET complete_until = greatest(b.complete_until, excluded.complete_until);

-- name: DeleteOldWebhookEvents :execrows
-- DeleteOldWebhookEvents deletes some of the events that were received and ended before a time. What is still to do, or
-- needs a person, stays however old it is. In no order, so that the BRIN index of the time finds them.
DELETE FROM webhook_events
WHERE id IN (
    SELECT e.id FROM webhook_events e
    WHERE e.state IN ('applied', 'ignored', 'rejected') AND e.receive_time < @before AND e.end_time < @before
    LIMIT @event_count
    FOR UPDATE SKIP LOCKED
);
