-- name: InsertTransfer :exec
insert into ticket_transfers (id, order_id, ticket_id, recipient_name, recipient_email, recipient_language, create_time, expire_time)
values ($1, $2, $3, $4, $5, $6, $7, $8);

-- name: EndTransfer :exec
-- EndTransfer writes how a transfer ended. The caller holds the order's row lock.
update ticket_transfers set state = $2, end_time = $3 where id = $1;

-- name: FindOrderOfTransfer :one
select order_id from ticket_transfers where id = $1;

-- name: ListDueTransfers :many
-- ListDueTransfers returns orders of transfers that have run out, each once, without locking them.
select distinct order_id from (
    select order_id from ticket_transfers where state = 'pending' and expire_time <= now() order by expire_time limit sqlc.arg(transfer_count)
) as due;
