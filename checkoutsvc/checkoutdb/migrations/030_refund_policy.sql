-- How tickets of an event are refunded, for sales from now on: a sold ticket keeps the policy with its line.

alter table events add column buyer_refund_seconds bigint
    constraint event_buyer_refund_ends_within_a_year check (buyer_refund_seconds between 0 and 31536000);
alter table events add column refund_kept_basis_points integer not null default 0
    constraint event_refund_keeps_a_part check (refund_kept_basis_points between 0 and 10000);
alter table events add column refund_application_fee text not null default ''
    constraint event_refund_application_fee_is_known check (refund_application_fee in ('', 'returned', 'kept'));
