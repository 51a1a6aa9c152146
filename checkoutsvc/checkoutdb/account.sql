-- name: BeginAccountFetch :one
-- BeginAccountFetch numbers a fetch from Stripe before it is made.
insert into stripe_accounts (id, fetches_begun, create_time) values ($1, 1, $2)
on conflict (id) do update set fetches_begun = stripe_accounts.fetches_begun + 1
returning fetches_begun;

-- name: LockAccount :one
select id, organizer_id, linked_by_hand, charges_enabled, payouts_enabled, disconnected, disabled_reason, fetches_begun,
    fetch_merged, fetch_time, create_time
from stripe_accounts where id = $1 for update;

-- name: SetAccount :exec
update stripe_accounts set organizer_id = $2, linked_by_hand = $3, charges_enabled = $4, payouts_enabled = $5,
    disconnected = $6, disabled_reason = $7, fetch_merged = $8, fetch_time = $9
where id = $1;

-- name: GetAccount :one
select id, organizer_id, linked_by_hand, charges_enabled, payouts_enabled, disconnected, disabled_reason, fetches_begun,
    fetch_merged, fetch_time, create_time
from stripe_accounts where id = $1 and fetch_merged > 0;

-- name: ListAccounts :many
select id, organizer_id, linked_by_hand, charges_enabled, payouts_enabled, disconnected, disabled_reason, fetches_begun,
    fetch_merged, fetch_time, create_time
from stripe_accounts
where id > sqlc.arg(after_id)::text and fetch_merged > 0
    and (sqlc.arg(organizer_id)::text = '' or organizer_id = sqlc.arg(organizer_id)::text)
order by id
limit sqlc.arg(page_size);
