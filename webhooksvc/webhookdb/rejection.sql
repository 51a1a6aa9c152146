-- name: AddRejections :exec
INSERT INTO webhook_rejections AS r (endpoint, minute, count)
VALUES (@endpoint, @minute, @count)
ON CONFLICT ON CONSTRAINT webhook_rejections_once_per_minute DO UPDATE SET count = r.count + excluded.count;

-- name: CountRejections :one
-- CountRejections sums the refused deliveries of an endpoint since a minute.
SELECT coalesce(sum(count), 0)::bigint FROM webhook_rejections WHERE endpoint = @endpoint AND minute >= @since;

-- name: DeleteOldRejections :exec
DELETE FROM webhook_rejections WHERE minute < @before;
