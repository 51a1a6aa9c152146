-- The sweep of holds pages through those that are due; many end at the same instant.
---- tern: disable-tx ----
create index concurrently hold_due_by_order on holds (expire_time, order_id) where state = 'active';
