-- Staff list an event's orders, the newest first. Orders of one instant are sorted: each byte here is written twice in each sale.
---- tern: disable-tx ----
create index concurrently order_of_event on orders (event_id, create_time);
