-- Takes the place of order_by_creation, which has the id as well: orders of one instant are few, and are sorted.
---- tern: disable-tx ----
create index concurrently order_by_create_time on orders (create_time);
