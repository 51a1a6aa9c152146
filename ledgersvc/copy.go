package ledgersvc

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/ledgersvc/journal"
	"github.com/dayof/dayof/ledgersvc/ledgerdb"
)

// entryCopy returns our copy of the entry under a reference.
func (s *Service) entryCopy(ctx context.Context, reference string) (journal.Entry, bool, error) {
	row, err := s.q.EntryByReference(ctx, s.pool, reference)
	if errors.Is(err, pgx.ErrNoRows) {
		return journal.Entry{}, false, nil
	}
	if err != nil {
		return journal.Entry{}, false, fmt.Errorf("read copy: %w", err)
	}
	entries, err := journal.EntriesFromRows(ctx, s.pool, []ledgerdb.Entry{row})
	if err != nil {
		return journal.Entry{}, false, err
	}
	return entries[0], true, nil
}
