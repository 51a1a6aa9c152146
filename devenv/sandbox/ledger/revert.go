package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

// reversal is a checked request to revert a transaction.
type reversal struct {
	id              int64
	force           bool
	atEffectiveDate bool
	metadata        Metadata
}

// revert makes a transaction that undoes another one, once. It fails with
// NOT_FOUND, ALREADY_REVERT, or INSUFFICIENT_FUND when an account that received
// would end below zero.
func (w *work) revert(ctx context.Context, in reversal, o order) (outcome, error) {
	if out, found, err := w.lookup(ctx, o); found || err != nil {
		return out, err
	}
	original, err := w.markReverted(ctx, in.id)
	if err != nil {
		return outcome{}, err
	}
	made := transaction{
		Postings: reversed(original.Postings), Metadata: maps.Clone(in.metadata.orEmpty()),
		Timestamp: w.now, InsertedAt: w.now, UpdatedAt: w.now,
	}
	made.Metadata[revertsKey] = strconv.FormatInt(in.id, 10)
	if in.atEffectiveDate {
		made.Timestamp = original.Timestamp
	}
	moves := movements(made.Postings)
	if !w.queueMoves(moves, made.Timestamp) {
		if err := w.flush(ctx); err != nil {
			return outcome{}, err
		}
	}
	for _, m := range moves {
		if !in.force && m.isSource && m.Account != world && w.rows[m.Holding].balance().Sign() < 0 {
			return outcome{}, &apiError{http.StatusBadRequest, codeInsufficientFund, fmt.Sprintf("%sinsufficient fund for %s/%s", forging, m.Account, m.Asset)}
		}
	}
	made.PostCommitVolumes = w.rows.table(moves)
	if made.PostCommitEffectiveVolumes, err = w.effectiveVolumes(ctx, moves, made.Timestamp); err != nil {
		return outcome{}, err
	}
	if err := w.queueAccounts(w.accounts(moves, nil, made.Timestamp)); err != nil {
		return outcome{}, err
	}
	return w.insert(ctx, &entry{
		kind: kindReverted, made: made, moves: moves,
		data: struct {
			RevertedTransaction storedTransaction `json:"revertedTransaction"`
			Transaction         storedTransaction `json:"transaction"`
		}{storedTransaction(original), storedTransaction(made)},
	}, o)
}

// markReverted locks the transaction, marks it, and returns it so marked.
func (w *work) markReverted(ctx context.Context, id int64) (transaction, error) {
	var (
		t               = transaction{ID: id, UpdatedAt: w.now, RevertedAt: &w.now}
		marked, exists  bool
		reference       *string
		postings, table []byte
	)
	w.batch.Queue(`
		update transactions set reverted_at = $3, updated_at = $3
		where ledger_id = $1 and id = $2 and reverted_at is null
		returning timestamp, reference, postings, metadata, post_commit_volumes, inserted_at`, w.book.id, id, w.now,
	).Query(func(rows pgx.Rows) error {
		defer rows.Close()
		for rows.Next() {
			if err := rows.Scan(&t.Timestamp, &reference, &postings, &t.Metadata, &table, &t.InsertedAt); err != nil {
				return err
			}
			marked = true
		}
		return rows.Err()
	})
	w.batch.Queue("select exists (select from transactions where ledger_id = $1 and id = $2)", w.book.id, id).
		QueryRow(func(row pgx.Row) error { return row.Scan(&exists) })
	if err := w.flush(ctx); err != nil {
		return transaction{}, err
	}
	switch {
	case !exists:
		return transaction{}, notFound(forging + "not found")
	case !marked:
		return transaction{}, &apiError{http.StatusBadRequest, codeAlreadyRevert, fmt.Sprintf("%salready reverted, id: %d", forging, id)}
	}
	t.Timestamp, t.InsertedAt = t.Timestamp.UTC(), t.InsertedAt.UTC()
	if reference != nil {
		t.Reference = *reference
	}
	if err := json.Unmarshal(postings, &t.Postings); err != nil {
		return transaction{}, fmt.Errorf("decode postings: %w", err)
	}
	if err := json.Unmarshal(table, &t.PostCommitVolumes); err != nil {
		return transaction{}, fmt.Errorf("decode volumes: %w", err)
	}
	return t, nil
}

// revertRequest is the optional body of a revert.
type revertRequest struct {
	Metadata Metadata `json:"metadata"`
}

func revertTransaction(s *Server, c *call) error {
	id, err := c.unsignedID()
	if err != nil {
		return err
	}
	data, err := c.body()
	if err != nil {
		return err
	}
	var request revertRequest
	if len(data) > 0 {
		if err := decodeFirst(data, &request); err != nil {
			return invalid("expected JSON body with metadata")
		}
	}
	in := reversal{id: id, force: c.flag("force"), atEffectiveDate: c.flag("atEffectiveDate"), metadata: request.Metadata}
	out, err := s.write(c.ctx(), c.book, c.order(in.fingerprint()), func(ctx context.Context, w *work, o order) (outcome, error) {
		return w.revert(ctx, in, o)
	})
	if err != nil {
		return err
	}
	c.markHit(out)
	return c.ok(http.StatusCreated, out.transaction)
}

// unsignedID reads the transaction id of a write's path.
func (c *call) unsignedID() (int64, error) {
	id, err := strconv.ParseUint(c.params["id"], 10, 64)
	if err != nil {
		return 0, invalid("%s", err)
	}
	if id > 1<<62 {
		return 0, notFound(forging + "not found")
	}
	return int64(id), nil
}

func (c *call) markHit(out outcome) {
	if out.hit {
		c.w.Header().Set(headerHit, "true")
	}
}

// order reads what all writes have in common.
func (c *call) order(fingerprint string) order {
	return order{key: c.r.Header.Get(headerIdempotency), hash: fingerprint, dryRun: c.flag("dryRun")}
}

// roundTime brings a timestamp to the precision of the ledger: UTC, whole
// microseconds, rounded.
func roundTime(t time.Time) time.Time { return t.UTC().Round(time.Microsecond) }
