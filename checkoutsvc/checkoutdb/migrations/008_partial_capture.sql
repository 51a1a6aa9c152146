-- A capture below the total is a state of its own until a person decides.
alter table orders drop constraint order_payment_is_known;
alter table orders add constraint order_payment_is_known check (payment in (
    'awaiting_payment', 'processing', 'authorized', 'partially_captured', 'paid', 'partially_refunded', 'refunded',
    'disputed', 'charged_back', 'canceled', 'expired', 'failed'
));
