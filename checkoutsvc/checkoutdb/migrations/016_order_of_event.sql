-- Staff list an event's orders, the newest first.
---- tern: disable-tx ----
create index concurrently order_of_event on orders (event_id, create_time desc, id desc);
