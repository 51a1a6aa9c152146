package ledgersvc

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/dayof/dayof/ledgersvc/journal"
	"github.com/dayof/dayof/ledgersvc/ledgerdb"
)

// entryCopy returns our copy of the entry under a reference.
func entryCopy(ctx context.Context, pool *pgxpool.Pool, reference string) (journal.Entry, bool, error) {
	row, err := new(ledgerdb.Queries).EntryByReference(ctx, pool, reference)
	if errors.Is(err, pgx.ErrNoRows) {
		return journal.Entry{}, false, nil
	}
	if err != nil {
		return journal.Entry{}, false, fmt.Errorf("read copy: %w", err)
	}
	entries, err := journal.EntriesFromRows(ctx, pool, []ledgerdb.Entry{row})
	if err != nil {
		return journal.Entry{}, false, err
	}
	return entries[0], true, nil
}
