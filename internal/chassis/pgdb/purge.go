package pgdb

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// purgePass is how many rows are found in one pass over a table; their places take 8 MB.
	purgePass = 1_000_000
	// purgeBatch is how many rows one statement deletes, so that no lock is held and no WAL is written for long at once.
	purgeBatch = 2000
)

// Purge deletes the rows of a table for which a condition holds, and returns how many. Table and condition are SQL of the program's
// own; args are the condition's parameters.
//
// The rows are found in one pass and deleted by their place, in short statements that test the condition once more. A statement that
// deletes "a thousand of them" again and again would pass over all that were deleted before, which stay until they are vacuumed.
//
// Idempotent: repeated, or on two replicas at once, it deletes each row once. What was deleted before an error stays deleted.
func Purge(ctx context.Context, pool *pgxpool.Pool, table, condition string, args ...any) (int64, error) {
	find := fmt.Sprintf("select ctid from %s where %s limit %d", table, condition, purgePass)
	remove := fmt.Sprintf("delete from %s where ctid = any($%d::tid[]) and (%s)", table, len(args)+1, condition)
	var total int64
	for {
		rows, err := pool.Query(ctx, find, args...)
		if err != nil {
			return total, fmt.Errorf("find old rows of %s: %w", table, err)
		}
		places, err := pgx.CollectRows(rows, pgx.RowTo[pgtype.TID])
		if err != nil {
			return total, fmt.Errorf("find old rows of %s: %w", table, err)
		}
		for batch := range slices.Chunk(places, purgeBatch) {
			tag, err := pool.Exec(ctx, remove, slices.Concat(args, []any{batch})...)
			if err != nil {
				return total, fmt.Errorf("delete old rows of %s: %w", table, err)
			}
			total += tag.RowsAffected()
		}
		if len(places) < purgePass {
			return total, nil
		}
	}
}
