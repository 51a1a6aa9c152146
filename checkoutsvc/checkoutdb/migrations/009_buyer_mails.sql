-- Mails about an order's money that were sent, so that each is sent once. The receipt has a column of its own.
create table buyer_mails (
    id text primary key, -- what it is about: refund.<refund id>, given_up.<order id>
    order_id text not null references orders,
    sent_time timestamptz not null
);

-- What happened before anybody was told by mail is not told years later.
insert into buyer_mails (id, order_id, sent_time)
select 'refund.' || id, order_id, now() from refunds where state in ('pending', 'succeeded')
union all
select 'given_up.' || id, id, now() from orders where fulfilment = 'unfulfillable';
