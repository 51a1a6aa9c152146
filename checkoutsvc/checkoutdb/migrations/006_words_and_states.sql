-- The field's words. Nothing was released yet, so columns are renamed in place and old code need not run beside this.

alter table operator_items rename to review_cases;
alter table review_cases rename constraint operator_item_once to review_case_once;
alter index operator_item_by_creation rename to review_case_by_creation;
alter index operator_item_of_order rename to review_case_of_order;

alter table orders rename column walk_start_time to fulfilment_start_time;
alter table orders rename constraint order_walks_with_an_intent to order_is_fulfilled_with_an_intent;
alter table orders rename constraint order_in_a_walk_has_a_next_attempt to order_being_fulfilled_has_a_next_attempt;

alter table payment_intents rename column surplus to duplicate;

alter table refunds drop constraint refund_reason_is_known;
update refunds set reason = 'duplicate_payment' where reason = 'surplus';
alter table refunds add constraint refund_reason_is_known
    check (reason in ('requested', 'duplicate_payment', 'late', 'given_up', 'external', 'fraud'));
drop index refund_of_unwanted_money_once;
create unique index refund_of_unwanted_money_once on refunds (payment_intent) where reason in ('duplicate_payment', 'late', 'given_up');
drop index refund_of_unwanted_money_by_time;
create index refund_of_unwanted_money_by_time on refunds (create_time, payment_intent)
    where reason in ('duplicate_payment', 'late', 'given_up');

alter table stripe_accounts rename column looks_begun to fetches_begun;
alter table stripe_accounts rename column look_seen to fetch_merged;
alter table stripe_accounts rename constraint stripe_account_that_was_seen_has_its_time to stripe_account_that_was_fetched_has_its_time;

-- What a line quoted, and how to read it; tickets have the same.
alter table order_lines add column snapshot_schema integer not null default 1;

-- The rules' states, kept by the database as well.
alter table payment_intents add constraint payment_intent_status_is_known check (status in (
    'requires_payment_method', 'requires_action', 'processing', 'requires_capture', 'succeeded', 'failed', 'canceled'
));
alter table payment_intents add constraint payment_intent_mismatch_is_known check (mismatch in (
    '', 'owner', 'livemode', 'currency', 'amount'
));
