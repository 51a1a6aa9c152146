-- How often staff corrected the buyer of an order. It numbers what is known of the buyer, so that a receipt to an address of before does not
-- count as that to the present one.
alter table orders add column buyer_corrections integer not null default 0
    constraint order_buyer_corrections_are_bounded check (buyer_corrections between 0 and 5);
