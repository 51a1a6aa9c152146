-- name: ListOrderMoney :many
-- ListOrderMoney returns what orders know of money in a span of time, after the cursor (time, id). Each branch walks an
-- index of its own, so that a page costs the same wherever it begins. The kinds are those of the contract.
select line.kind, line.id, line.order_id, o.organizer_id, o.fulfilment, line.payment_intent, line.stripe_account,
    line.minor_units, line.currency, line.time, line.charge_id, line.mismatch, line.paying, line.refund_state,
    line.refund_at_stripe, line.dispute_id
from (
    (select 1::integer as kind, p.stripe_id::text as id, p.order_id, p.stripe_id::text as payment_intent, p.stripe_account,
        p.captured_minor_units as minor_units, p.currency, o.capture_time::timestamptz as time, p.charge_id, p.mismatch,
        true as paying, ''::text as refund_state, false as refund_at_stripe, ''::text as dispute_id
    from orders o join payment_intents p on p.stripe_id = o.paying_intent and p.order_id = o.id
    where o.capture_time >= sqlc.arg(from_time)::timestamptz and o.capture_time < sqlc.arg(until_time)::timestamptz
        and (o.capture_time, o.paying_intent) > (sqlc.arg(after_time)::timestamptz, sqlc.arg(after_id)::text)
    order by o.capture_time, o.paying_intent
    limit sqlc.arg(page_size)::integer)
    union all -- money that the order did not want
    (select 1, p.stripe_id, p.order_id, p.stripe_id, p.stripe_account, p.captured_minor_units, p.currency, r.create_time,
        p.charge_id, p.mismatch, false, '', false, ''
    from refunds r
    join payment_intents p on p.stripe_id = r.payment_intent and p.order_id = r.order_id
    join orders o on o.id = r.order_id
    where r.reason in ('duplicate_payment', 'late', 'given_up') and p.captured_minor_units > 0
        and o.paying_intent is distinct from p.stripe_id
        and r.create_time >= sqlc.arg(from_time)::timestamptz and r.create_time < sqlc.arg(until_time)::timestamptz
        and (r.create_time, r.payment_intent) > (sqlc.arg(after_time)::timestamptz, sqlc.arg(after_id)::text)
    order by r.create_time, r.payment_intent
    limit sqlc.arg(page_size)::integer)
    union all
    (select 2, coalesce(r.stripe_refund_id, r.id), r.order_id, r.payment_intent, coalesce(p.stripe_account, ''),
        r.amount_minor_units, r.currency, coalesce(r.refund_time, r.create_time), '', '', false, r.state,
        r.stripe_refund_id is not null or r.reason = 'unmatched', ''
    from refunds r left join payment_intents p on p.stripe_id = r.payment_intent and p.order_id = r.order_id
    where coalesce(r.refund_time, r.create_time) >= sqlc.arg(from_time)::timestamptz
        and coalesce(r.refund_time, r.create_time) < sqlc.arg(until_time)::timestamptz
        and (coalesce(r.refund_time, r.create_time), coalesce(r.stripe_refund_id, r.id))
            > (sqlc.arg(after_time)::timestamptz, sqlc.arg(after_id)::text)
    order by coalesce(r.refund_time, r.create_time), coalesce(r.stripe_refund_id, r.id)
    limit sqlc.arg(page_size)::integer)
    union all
    (select 3, f.balance_transaction_id, f.order_id, d.payment_intent, coalesce(p.stripe_account, ''),
        case when f.currency in ('', d.currency) then f.minor_units -- else converted: all of the disputed amount moved
            when f.minor_units < 0 then -d.amount_minor_units else d.amount_minor_units end,
        d.currency, f.funds_time, '', '', false, '', false, f.dispute_id
    from dispute_funds f join disputes d on d.id = f.dispute_id
    left join payment_intents p on p.stripe_id = d.payment_intent and p.order_id = f.order_id
    where f.funds_time >= sqlc.arg(from_time)::timestamptz and f.funds_time < sqlc.arg(until_time)::timestamptz
        and (f.funds_time, f.balance_transaction_id) > (sqlc.arg(after_time)::timestamptz, sqlc.arg(after_id)::text)
    order by f.funds_time, f.balance_transaction_id
    limit sqlc.arg(page_size)::integer)
    union all
    (select 4, d.id, d.order_id, d.payment_intent, coalesce(p.stripe_account, ''), d.amount_minor_units, d.currency,
        d.close_time, '', '', false, '', false, d.id
    from disputes d left join payment_intents p on p.stripe_id = d.payment_intent and p.order_id = d.order_id
    where d.status = 'lost'
        and d.close_time >= sqlc.arg(from_time)::timestamptz and d.close_time < sqlc.arg(until_time)::timestamptz
        and (d.close_time, d.id) > (sqlc.arg(after_time)::timestamptz, sqlc.arg(after_id)::text)
    order by d.close_time, d.id
    limit sqlc.arg(page_size)::integer)
) as line
join orders o on o.id = line.order_id
order by line.time, line.id
limit sqlc.arg(page_size)::integer;

-- name: FindOrderMoney :many
-- FindOrderMoney returns the lines of given ids: payment intents, refunds by Stripe's id or ours, balance transactions of
-- disputes, and disputes.
select line.kind, line.id, line.order_id, o.organizer_id, o.fulfilment, line.payment_intent, line.stripe_account,
    line.minor_units, line.currency, line.time, line.charge_id, line.mismatch, line.paying, line.refund_state,
    line.refund_at_stripe, line.dispute_id
from (
    select 1::integer as kind, p.stripe_id::text as id, p.order_id, p.stripe_id::text as payment_intent, p.stripe_account,
        p.captured_minor_units as minor_units, p.currency, coalesce(o.capture_time, p.create_time)::timestamptz as time,
        p.charge_id, p.mismatch, o.paying_intent is not distinct from p.stripe_id as paying, ''::text as refund_state,
        false as refund_at_stripe, ''::text as dispute_id
    from payment_intents p join orders o on o.id = p.order_id
    where p.stripe_id = any (sqlc.arg(ids)::text[]) and p.captured_minor_units > 0
    union all
    select 2, coalesce(r.stripe_refund_id, r.id), r.order_id, r.payment_intent, coalesce(p.stripe_account, ''),
        r.amount_minor_units, r.currency, coalesce(r.refund_time, r.create_time), '', '', false, r.state,
        r.stripe_refund_id is not null or r.reason = 'unmatched', ''
    from refunds r left join payment_intents p on p.stripe_id = r.payment_intent and p.order_id = r.order_id
    where r.stripe_refund_id = any (sqlc.arg(ids)::text[]) or r.id = any (sqlc.arg(ids)::text[])
    union all
    select 3, f.balance_transaction_id, f.order_id, d.payment_intent, coalesce(p.stripe_account, ''),
        case when f.currency in ('', d.currency) then f.minor_units -- else converted: all of the disputed amount moved
            when f.minor_units < 0 then -d.amount_minor_units else d.amount_minor_units end,
        d.currency, f.funds_time, '', '', false, '', false, f.dispute_id
    from dispute_funds f join disputes d on d.id = f.dispute_id
    left join payment_intents p on p.stripe_id = d.payment_intent and p.order_id = f.order_id
    where f.balance_transaction_id = any (sqlc.arg(ids)::text[])
    union all
    select 4, d.id, d.order_id, d.payment_intent, coalesce(p.stripe_account, ''), d.amount_minor_units, d.currency,
        coalesce(d.close_time, d.create_time), '', '', false, '', false, d.id
    from disputes d left join payment_intents p on p.stripe_id = d.payment_intent and p.order_id = d.order_id
    where d.status = 'lost' and d.id = any (sqlc.arg(ids)::text[])
) as line
join orders o on o.id = line.order_id
order by line.time, line.id;

-- name: KnownOrders :many
-- KnownOrders returns those of the ids that are orders.
select id from orders where id = any (sqlc.arg(ids)::text[]) order by id;
