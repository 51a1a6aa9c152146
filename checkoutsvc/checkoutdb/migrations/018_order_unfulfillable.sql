-- Staff list orders that were given up, the newest first. Few are, and no sale writes to this index.
---- tern: disable-tx ----
create index concurrently order_unfulfillable on orders (create_time desc, id desc) where fulfilment = 'unfulfillable';
