-- name: AddRejections :exec
insert into webhook_rejections as r (endpoint, minute, count)
values (@endpoint, @minute, @count)
on conflict on constraint webhook_rejections_once_per_minute do update set count = r.count + excluded.count;

-- name: CountRejections :one
-- CountRejections sums the refused deliveries of an endpoint since a minute.
select coalesce(sum(count), 0)::bigint from webhook_rejections where endpoint = @endpoint and minute >= @since;

-- name: DeleteOldRejections :exec
delete from webhook_rejections where minute < @before;
