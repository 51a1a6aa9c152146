-- For those who read what orders know of money in the order of time, to compare it with other books.
create index order_by_capture on orders (capture_time, paying_intent) where capture_time is not null;
create index refund_by_time on refunds ((coalesce(refund_time, create_time)), (coalesce(stripe_refund_id, id)));
create index refund_of_unwanted_money_by_time on refunds (create_time, payment_intent)
    where reason in ('surplus', 'late', 'given_up');
create index dispute_funds_by_time on dispute_funds (funds_time, balance_transaction_id);
create index dispute_lost_by_time on disputes (close_time, id) where status = 'lost';
