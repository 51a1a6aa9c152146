-- order_by_create_time and order_by_capture_time do their work.
drop index order_by_creation;
drop index order_by_capture;
