-- A price may be 0. An order whose total is 0 has no payment: neither an intent nor a state that a payment leads to.
alter table variant_versions drop constraint variant_version_price_is_positive;
alter table variant_versions add constraint variant_version_price_is_not_negative check (price_minor_units >= 0);

alter table orders drop constraint order_payment_is_known;
alter table orders add constraint order_payment_is_known check (payment in (
    'awaiting_payment', 'processing', 'authorized', 'partially_captured', 'paid', 'partially_refunded', 'refunded',
    'disputed', 'charged_back', 'canceled', 'expired', 'failed', 'not_required'
));
alter table orders drop constraint order_total_is_positive;
alter table orders add constraint order_total_is_not_negative check (total_minor_units >= 0);
alter table orders add constraint order_without_payment_is_free check ((payment = 'not_required') = (total_minor_units = 0));
alter table orders add constraint order_free_has_no_intent check (total_minor_units > 0 or (paying_intent is null and capture_time is null));
alter table orders drop constraint order_is_fulfilled_with_an_intent;
alter table orders add constraint order_is_fulfilled_with_an_intent check (
    fulfilment = 'none' or total_minor_units = 0 or (paying_intent is not null and capture_time is not null)
);
