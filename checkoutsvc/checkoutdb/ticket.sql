-- name: InsertTicket :exec
insert into tickets (id, order_id, position, event_id, variant_id, variant_version, snapshot, snapshot_schema,
    code_key_version, create_time, schedule_number, seat_id)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12);

-- name: InsertReplacement :exec
-- InsertReplacement inserts a ticket in the place of another one, which must be void by then.
insert into tickets (id, order_id, position, event_id, variant_id, variant_version, snapshot, snapshot_schema,
    code_key_version, create_time, schedule_number, replaces, holder_name, holder_email, holder_language, holder_number,
    seat_id)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17);

-- name: SetTicketHolder :exec
update tickets set holder_name = $2, holder_number = $3 where id = $1;

-- name: SetTicketState :exec
update tickets set state = $2, pass_serial = $3, valid_time = $4, change_number = $5, seat_returned = $6, seat_id = $7 where id = $1;

-- name: GetTicket :one
select id, order_id, position, event_id, variant_id, variant_version, code_key_version, create_time, snapshot_schema,
    snapshot, state, pass_serial, change_number, valid_time, seat_returned, schedule_number, seat_id, replaces, holder_name, holder_email,
    holder_language, holder_number
from tickets where id = $1;
