-- name: InsertRevisions :exec
insert into pass_revisions (serial, revision, content_hash, revise_time, origin, note, pass_batch_id, changes)
select unnest(sqlc.arg(serials)::text[]), unnest(sqlc.arg(revisions)::bigint[]), unnest(sqlc.arg(content_hashes)::bytea[]),
    sqlc.arg(revise_time), sqlc.arg(origin), sqlc.arg(note), sqlc.arg(pass_batch_id), unnest(sqlc.arg(changes)::jsonb[]);

-- name: ListRevisions :many
select * from pass_revisions where serial = $1 order by revision desc limit sqlc.arg(revision_count);
