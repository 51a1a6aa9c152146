-- Seats of void tickets are on sale again until doors, unless the event keeps them.
alter table events add column keep_refunded_seats boolean not null default false;

-- Whether the ticket's seat is on sale again: stock counts it no more. Tickets of orders that were given up returned theirs.
alter table tickets add column seat_returned boolean not null default false;
update tickets t set seat_returned = true
from orders o where o.id = t.order_id and o.fulfilment = 'unfulfillable' and t.state = 'void';
