-- name: InsertPassBatch :exec
insert into pass_batches (id, event_id, event, fields, total_pass_count, create_time, step_time)
values ($1, $2, $3, $4, $5, $6, $6);

-- name: GetPassBatch :one
select * from pass_batches where id = $1;

-- name: LockNextBatch :one
-- LockNextBatch locks the running batch that has waited longest for its next chunk, unless another replica works on it or
-- it has failed before.
-- The lock ends with the transaction of the chunk, so a batch whose worker died is free at once.
select * from pass_batches where state = 'running' and id <> all(sqlc.arg(failed_ids)::text[])
order by step_time limit 1 for update skip locked;

-- name: AdvanceBatch :exec
update pass_batches set last_pass_id = sqlc.arg(last_pass_id), step_time = sqlc.arg(now)::timestamptz,
    visited_pass_count = visited_pass_count + sqlc.arg(visited), changed_pass_count = changed_pass_count + sqlc.arg(changed),
    state = case when sqlc.arg(done)::boolean then 'done' else state end,
    end_time = case when sqlc.arg(done)::boolean then sqlc.arg(now)::timestamptz else end_time end
where id = sqlc.arg(id);

-- name: CancelBatch :exec
update pass_batches set state = 'canceled', end_time = $2 where id = $1 and state = 'running';

-- name: CountBatchPushes :one
-- CountBatchPushes counts the devices' notifications of a batch that APNs has taken.
select count(*) from pushes where pass_batch_id = $1 and pass_batch_id <> '' and state in ('sent', 'coalesced');

-- name: PostponeBatch :exec
-- PostponeBatch lets others go first after a chunk that failed.
update pass_batches set step_time = $2 where id = $1 and state = 'running';
