-- name: IsMailSent :one
select exists (select from buyer_mails where id = $1);

-- name: MarkMailSent :exec
insert into buyer_mails (id, order_id, sent_time) values ($1, $2, $3) on conflict (id) do nothing;
