-- KeepFreeSale keeps the sale of a free order, the first time; after that it returns what was kept.
-- name: KeepFreeSale :one
insert into free_sales as known (order_id, organizer_id, currency, sale_time, record_time)
values (@order_id, @organizer_id, @currency, @sale_time, @record_time)
on conflict (order_id) do update set order_id = known.order_id
returning order_id, organizer_id, currency, sale_time, record_time;

-- name: FreeSaleOfOrder :one
select order_id, organizer_id, currency, sale_time, record_time from free_sales where order_id = $1;
