-- Stripe reports what of a charge went back also as a sum, perhaps before it lists the refunds.
alter table payment_intents add column refunded_minor_units bigint not null default 0;

alter table refunds drop constraint refund_reason_is_known;
alter table refunds add constraint refund_reason_is_known
    check (reason in ('requested', 'duplicate_payment', 'late', 'given_up', 'external', 'fraud', 'unmatched'));
