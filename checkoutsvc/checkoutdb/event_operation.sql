-- name: SetEventSchedule :exec
update events set doors_time = $2, start_time = $3, end_time = $4, cancel_time = $5, schedule_number = $6 where id = $1;

-- name: CountEventSold :one
-- CountEventSold counts what a change of an event's schedule touches: tickets that are not void, the orders that they are of, and
-- holds of orders that are not paid.
select
    (select count(*) from orders o join tickets t on t.order_id = o.id
        where o.event_id = sqlc.arg(event_id) and t.state <> 'void') as tickets,
    (select count(*) from orders o
        where o.event_id = sqlc.arg(event_id) and exists (select from tickets t where t.order_id = o.id and t.state <> 'void')) as orders,
    (select count(*) from orders o join holds h on h.order_id = o.id
        where o.event_id = sqlc.arg(event_id) and h.state = 'active') as holds;

-- name: SumEventRefundable :many
-- SumEventRefundable adds up, by currency, what orders of an event that have tickets paid and did not get back.
select o.currency, sum(p.captured_minor_units - coalesce(r.moved, 0))::bigint as minor_units
from orders o
join payment_intents p on p.order_id = o.id and p.stripe_id = o.paying_intent
left join lateral (select sum(x.amount_minor_units) as moved from refunds x
    where x.order_id = o.id and x.payment_intent = o.paying_intent and x.state in ('requested', 'pending', 'succeeded')) r on true
where o.event_id = $1 and o.fulfilment in ('in_progress', 'ledger_blocked', 'completed')
group by o.currency order by o.currency;

-- name: InsertEventOperation :exec
insert into event_operations (id, event_id, kind, actor, schedule_number, old_doors_time, old_start_time, old_end_time, doors_time,
    start_time, end_time, total_ticket_count, create_time)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13);

-- name: FindOpenEventOperation :one
select id from event_operations where event_id = $1 and state in ('running', 'paused');

-- name: GetEventOperation :one
select * from event_operations where id = $1;

-- name: LockEventOperation :one
select * from event_operations where id = $1 for no key update;

-- name: ListEventOperations :many
-- ListEventOperations returns operations before the cursor (create_time, id), the newest first. Each branch has an index of its own.
select page.id from (
    (select o.id, o.create_time from event_operations o
    where sqlc.arg(event_id)::text = '' and (o.create_time, o.id) < (sqlc.arg(before_time)::timestamptz, sqlc.arg(before_id)::text)
    order by o.create_time desc, o.id desc limit sqlc.arg(page_size)::integer)
    union all
    (select o.id, o.create_time from event_operations o
    where o.event_id = nullif(sqlc.arg(event_id)::text, '')
        and (o.create_time, o.id) < (sqlc.arg(before_time)::timestamptz, sqlc.arg(before_id)::text)
    order by o.create_time desc, o.id desc limit sqlc.arg(page_size)::integer)
) as page
order by page.create_time desc, page.id desc limit sqlc.arg(page_size)::integer;

-- name: GetEventOperations :many
select * from event_operations where id = any(sqlc.arg(ids)::text[]) order by create_time desc, id desc;

-- name: SetEventOperationState :exec
-- SetEventOperationState pauses, resumes or ends a locked operation, or has another batch change its passes: a new run.
update event_operations set state = $2, finish_time = $3, next_step_time = now(), failure_count = 0, last_error = '',
    pass_run = pass_run + case when sqlc.arg(new_run)::boolean then 1 else 0 end,
    pass_batch_id = case when sqlc.arg(new_run)::boolean then '' else pass_batch_id end
where id = $1;

-- name: LockDueEventOperation :one
-- LockDueEventOperation locks the running operation whose next step has been due longest, unless another replica works on it. The
-- lock ends with the transaction of the step, so an operation whose worker died is free at once.
select * from event_operations where state = 'running' and next_step_time <= now()
order by next_step_time limit 1 for no key update skip locked;

-- name: SetOperationFence :exec
-- SetOperationFence notes which transactions may have read the schedule before: those that had begun to write by now.
update event_operations set step = 'wait', fence_xid = pg_snapshot_xmax(pg_current_snapshot())::text::bigint where id = $1;

-- name: PassOperationFence :exec
-- PassOperationFence goes on when all transactions have ended that may have read the schedule before, and else looks again soon.
update event_operations set
    step = case when pg_snapshot_xmin(pg_current_snapshot())::text::bigint >= fence_xid then 'orders' else 'wait' end,
    next_step_time = case when pg_snapshot_xmin(pg_current_snapshot())::text::bigint >= fence_xid then now()
        else now() + interval '200 milliseconds' end,
    last_error = case when pg_snapshot_xmin(pg_current_snapshot())::text::bigint >= fence_xid then ''
        else 'waits for transactions that began before the change' end
where id = $1;

-- name: LockEventOrders :many
-- LockEventOrders locks the next orders of an event behind a cursor (create_time, id), in the order in which they were made.
select id, create_time from orders
where event_id = $1 and (create_time, id) > (sqlc.arg(after_time)::timestamptz, sqlc.arg(after_id)::text)
order by create_time, id limit sqlc.arg(order_count)
for no key update;

-- name: SetTicketSchedules :many
-- SetTicketSchedules has the tickets of locked orders take a new schedule. Void ones show what they showed.
update tickets set schedule_number = sqlc.arg(schedule_number), change_number = change_number + 1
where order_id = any(sqlc.arg(order_ids)::text[]) and schedule_number < sqlc.arg(schedule_number)::integer and state <> 'void'
returning order_id, pass_serial;

-- name: InsertOperationOrders :exec
insert into event_operation_orders (operation_id, order_id)
select sqlc.arg(operation_id), unnest(sqlc.arg(order_ids)::text[]) on conflict do nothing;

-- name: AdvanceOperationOrders :exec
update event_operations set after_create_time = $2, after_order_id = $3, step = sqlc.arg(step),
    done_ticket_count = done_ticket_count + sqlc.arg(ticket_count)::bigint,
    total_ticket_count = greatest(total_ticket_count, done_ticket_count + sqlc.arg(ticket_count)::bigint),
    mail_count = mail_count + sqlc.arg(mail_count)::bigint, failed_order_count = failed_order_count + sqlc.arg(failed_count)::bigint,
    failure_count = 0, last_error = sqlc.arg(last_error)
where id = $1;

-- name: LeaseEventOperation :exec
-- LeaseEventOperation keeps others from the operation's next step for a while.
update event_operations set next_step_time = now() + make_interval(secs => sqlc.arg(lease_seconds)::float8) where id = $1;

-- name: PostponeEventOperation :exec
update event_operations set next_step_time = now() + make_interval(secs => sqlc.arg(wait_seconds)::float8),
    failure_count = failure_count + 1, last_error = $2
where id = $1 and state = 'running';

-- name: ListOperationOrders :many
select order_id from event_operation_orders where operation_id = $1 order by order_id limit 100;

-- name: DeleteOperationOrder :exec
delete from event_operation_orders where operation_id = $1 and order_id = $2;

-- name: SetOperationBatch :execrows
-- SetOperationBatch notes how far the passes' batch is. No row: the operation was paused or ended meanwhile.
update event_operations set pass_batch_id = sqlc.arg(pass_batch_id), visited_pass_count = sqlc.arg(visited)::bigint,
    changed_pass_count = sqlc.arg(changed)::bigint, pushed_count = sqlc.arg(pushed)::bigint,
    next_step_time = now() + make_interval(secs => sqlc.arg(wait_seconds)::float8), failure_count = 0, last_error = ''
where id = $1 and state = 'running' and pass_run = sqlc.arg(pass_run);

-- name: CompleteEventOperation :execrows
-- CompleteEventOperation ends an operation that has nothing left to do.
update event_operations e set state = 'completed', finish_time = sqlc.arg(finish_time)::timestamptz, last_error = '',
    visited_pass_count = sqlc.arg(visited)::bigint, changed_pass_count = sqlc.arg(changed)::bigint, pushed_count = sqlc.arg(pushed)::bigint
where e.id = $1 and e.state = 'running' and e.pass_run = sqlc.arg(pass_run)
    and not exists (select from event_operation_orders x where x.operation_id = e.id);

-- name: RenewOperationBatch :exec
-- RenewOperationBatch has another batch change the passes, for one that somebody stopped at passsvc.
update event_operations set pass_run = pass_run + 1, pass_batch_id = '', next_step_time = now() + interval '10 seconds',
    last_error = 'somebody stopped the batch of passes; another one begins'
where id = $1 and state = 'running' and pass_run = sqlc.arg(pass_run);
