-- Takes the place of order_by_capture, which has the paying intent as well.
---- tern: disable-tx ----
create index concurrently order_by_capture_time on orders (capture_time) where capture_time is not null;
