package ledger

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// chainLogs computes the hashes of all entries written so far.
//
// The real ledger does so on every write, under a lock that all writers of a
// ledger share until their commit. Here it waits until somebody reads, so that
// writers need not wait for each other; no reader can observe the difference. First a
// barrier: once no writer is at work, no entry with a lower id than the highest
// can appear any more. Then the entries up to it are chained in the order of
// their ids.
func (s *Server) chainLogs(ctx context.Context, b book) error {
	var last int64
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "select pg_advisory_xact_lock($1::int, $2::int)", advisoryClass, b.id); err != nil {
			return err
		}
		return tx.QueryRow(ctx, "select coalesce(max(id), 0) from logs where ledger_id = $1", b.id).Scan(&last)
	})
	if err != nil {
		return fmt.Errorf("wait for writers: %w", err)
	}
	for {
		done, err := s.chainSome(ctx, b, last)
		if err != nil {
			return fmt.Errorf("chain logs: %w", err)
		}
		if done {
			return nil
		}
	}
}

// chainBatch is how many log entries are hashed at once.
const chainBatch = 500

// chainSome hashes up to a batch of entries; done when none is left.
func (s *Server) chainSome(ctx context.Context, b book, last int64) (done bool, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		var (
			at   int64
			hash []byte
		)
		if err := tx.QueryRow(ctx, "select log_id, hash from log_chains where ledger_id = $1 for update", b.id).Scan(&at, &hash); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, "select "+logColumns+" from logs where ledger_id = $1 and id > $2 and id <= $3 order by id limit $4", b.id, at, last, chainBatch)
		if err != nil {
			return err
		}
		batch, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (logJSON, error) { return scanLog(row) })
		if err != nil {
			return err
		}
		done = len(batch) < chainBatch
		if len(batch) == 0 {
			return nil
		}
		ids, hashes := make([]int64, len(batch)), make([][]byte, len(batch))
		for i, l := range batch {
			if hash, err = l.chainHash(hash); err != nil {
				return err
			}
			ids[i], hashes[i] = l.ID, hash
		}
		if _, err := tx.Exec(ctx, `
			update logs set hash = u.hash from unnest($2::bigint[], $3::bytea[]) as u (id, hash)
			where logs.ledger_id = $1 and logs.id = u.id`, b.id, ids, hashes); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "update log_chains set log_id = $2, hash = $3 where ledger_id = $1", b.id, ids[len(ids)-1], hash)
		return err
	})
	return done, err
}

// hashedTransaction is the part of a transaction that the chain covers: not the
// volumes, nor the dates of the row.
type hashedTransaction struct {
	Postings  []Posting `json:"postings"`
	Metadata  Metadata  `json:"metadata"`
	Timestamp time.Time `json:"timestamp"`
	Reference string    `json:"reference,omitempty"`
	ID        int64     `json:"id"`
	Reverted  bool      `json:"reverted"`
}

func hashed(t transaction) hashedTransaction {
	return hashedTransaction{Postings: t.Postings, Metadata: t.Metadata, Timestamp: t.Timestamp, Reference: t.Reference, ID: t.ID}
}

// chainHash is the SHA-256 of the previous entry's hash and of this entry
// without id and hash, each as a line of JSON. The order of keys counts.
func (l logJSON) chainHash(previous []byte) ([]byte, error) {
	data := l.Data
	switch d := l.Data.(type) {
	case createdData:
		data = struct {
			Transaction     hashedTransaction   `json:"transaction"`
			AccountMetadata map[string]Metadata `json:"accountMetadata"`
		}{hashed(d.Transaction), d.AccountMetadata}
	case revertedData:
		data = struct {
			RevertedTransactionID int64             `json:"revertedTransactionID"`
			Transaction           hashedTransaction `json:"transaction"`
		}{d.RevertedTransaction.ID, hashed(d.Transaction)}
	}
	digest := sha256.New()
	encoder := json.NewEncoder(digest)
	if previous != nil {
		if err := encoder.Encode(previous); err != nil {
			return nil, fmt.Errorf("hash previous log: %w", err)
		}
	}
	err := encoder.Encode(struct {
		Type           string    `json:"type"`
		Data           any       `json:"data"`
		Date           time.Time `json:"date"`
		IdempotencyKey string    `json:"idempotencyKey"`
		ID             int64     `json:"id"`
		Hash           []byte    `json:"hash"`
	}{Type: l.Type, Data: data, Date: l.Date, IdempotencyKey: l.IdempotencyKey})
	if err != nil {
		return nil, fmt.Errorf("hash log: %w", err)
	}
	return digest.Sum(nil), nil
}
