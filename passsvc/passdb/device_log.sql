-- name: InsertDeviceLogs :exec
insert into device_logs (log_time, line) select sqlc.arg(log_time), unnest(sqlc.arg(lines)::text[]);

-- name: ListDeviceLogs :many
select log_time, line from device_logs
where sqlc.arg(serial)::text = '' or position(sqlc.arg(serial)::text in line) > 0
order by id desc limit sqlc.arg(line_count);

-- name: DeleteOldDeviceLogs :execrows
delete from device_logs d
where d.log_time < $1 or d.id <= (select max(n.id) from device_logs n) - sqlc.arg(line_count)::bigint;

-- name: FindSerialOrDevice :one
-- FindSerialOrDevice returns one of some names that is the serial of a pass or the identifier of a registered device.
(select p.serial::text as name from passes p where p.serial = any(sqlc.arg(names)::text[]) limit 1)
union all
(select r.device_id::text from registrations r where r.device_id = any(sqlc.arg(names)::text[]) limit 1)
limit 1;
