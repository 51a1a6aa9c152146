-- Staff list orders in a state of fulfilment, the newest first; most of the states are rare.
---- tern: disable-tx ----
create index concurrently order_by_fulfilment on orders (fulfilment, create_time, id);
