package ledger

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Types of log entries.
const (
	kindCreated         = "NEW_TRANSACTION"
	kindReverted        = "REVERTED_TRANSACTION"
	kindSavedMetadata   = "SET_METADATA"
	kindDeletedMetadata = "DELETE_METADATA"
)

// Targets of metadata.
const (
	targetAccount     = "ACCOUNT"
	targetTransaction = "TRANSACTION"
)

// createdData, revertedData, savedData and deletedData are what log entries
// hold, by their type. In a row the made transaction has id 0: its id is in a
// column, because it is not known when the row is written.
type createdData struct {
	Transaction     transaction         `json:"transaction"`
	AccountMetadata map[string]Metadata `json:"accountMetadata"`
}

type revertedData struct {
	RevertedTransaction transaction `json:"revertedTransaction"`
	Transaction         transaction `json:"transaction"`
}

type savedData struct {
	TargetType string   `json:"targetType"`
	TargetID   any      `json:"targetId"`
	Metadata   Metadata `json:"metadata"`
}

type deletedData struct {
	TargetType string `json:"targetType"`
	TargetID   any    `json:"targetId"`
	Key        string `json:"key"`
}

// order is how a write was asked for.
type order struct {
	key    string // idempotency key, empty for none
	hash   string // of the input
	dryRun bool
	// last is true when nothing follows in the work, so that the COMMIT may
	// travel with the last statement.
	last bool
}

// outcome is the result of a write.
type outcome struct {
	logID       int64
	transaction *transaction // made by the write, nil for metadata
	hit         bool         // an earlier write with the same key
}

// prior is an earlier log entry with the same key.
type prior struct {
	id            int64
	kind          string
	transactionID *int64
	data          []byte
	hash          string
	found         bool
}

// queueLookup queues the search for an earlier write with the key.
func (w *work) queueLookup(key string, p *prior) {
	w.batch.Queue(`
		select id, type, transaction_id, data, idempotency_hash
		from logs where ledger_id = $1 and idempotency_key = $2`, w.book.id, key,
	).Query(func(rows pgx.Rows) error {
		defer rows.Close()
		for rows.Next() {
			if err := rows.Scan(&p.id, &p.kind, &p.transactionID, &p.data, &p.hash); err != nil {
				return err
			}
			p.found = true
		}
		return rows.Err()
	})
}

// lookup searches at once.
func (w *work) lookup(ctx context.Context, o order) (outcome, bool, error) {
	p, known := w.findPrior(o.key)
	if !known {
		if err := w.flush(ctx); err != nil {
			return outcome{}, false, err
		}
	}
	return p.replay(o)
}

// findPrior returns the earlier log entry with the key. Unless known, it is
// filled by the next flush.
func (w *work) findPrior(key string) (p *prior, known bool) {
	if key == "" {
		return new(prior), true
	}
	if p, known = w.priors[key]; known {
		delete(w.priors, key) // the next element may meet this one's entry
		return p, true
	}
	p = new(prior)
	w.queueLookup(key, p)
	return p, false
}

// replay returns the first outcome of a repeated write: the answer of that
// time, whatever happened since. Another input under the key is refused.
func (p *prior) replay(o order) (out outcome, found bool, err error) {
	if !p.found {
		return outcome{}, false, nil
	}
	if p.hash != o.hash {
		return outcome{}, true, invalid("invalid idempotency hash when using idempotency key '%s', has computed '%s' but '%s' is stored", o.key, o.hash, p.hash)
	}
	data, err := decodeData(p.kind, p.transactionID, p.data)
	if err != nil {
		return outcome{}, true, err
	}
	out = outcome{logID: p.id, hit: true}
	switch data := data.(type) {
	case createdData:
		out.transaction = &data.Transaction
	case revertedData:
		out.transaction = &data.Transaction
	}
	return out, true, nil
}

// decodeData reads the data of a row and puts the id of the made transaction in.
func decodeData(kind string, transactionID *int64, data []byte) (any, error) {
	var err error
	switch kind {
	case kindCreated:
		var d createdData
		err = json.Unmarshal(data, &d)
		d.Transaction.ID = *transactionID
		return d, err
	case kindReverted:
		var d revertedData
		err = json.Unmarshal(data, &d)
		d.Transaction.ID = *transactionID
		return d, err
	case kindSavedMetadata:
		var d savedData
		err = json.Unmarshal(data, &d)
		d.TargetID = wholeNumber(d.TargetID)
		return d, err
	case kindDeletedMetadata:
		var d deletedData
		err = json.Unmarshal(data, &d)
		d.TargetID = wholeNumber(d.TargetID)
		return d, err
	}
	return nil, fmt.Errorf("log entry of unknown type %q", kind)
}

// wholeNumber turns the float64 of a decoded transaction id back into an id.
func wholeNumber(v any) any {
	if n, ok := v.(float64); ok {
		return int64(n)
	}
	return v
}

// insertLog writes the entry of a metadata call.
func (w *work) insertLog(ctx context.Context, kind string, data any, o order) (outcome, error) {
	text, err := json.Marshal(data)
	if err != nil {
		return outcome{}, fmt.Errorf("encode log data: %w", err)
	}
	var out outcome
	w.batch.Queue(`
		insert into logs (ledger_id, id, type, data, date, idempotency_key, idempotency_hash)
		values ($1, nextval($2::text::regclass), $3, $4::json, $5, $6, $7) returning id`,
		w.book.id, w.book.logSequence(), kind, string(text), w.now, nullable(o.key), o.hash,
	).QueryRow(func(row pgx.Row) error { return row.Scan(&out.logID) })
	return out, w.finish(ctx, o)
}

// finish sends what is queued, and commits when nothing follows.
func (w *work) finish(ctx context.Context, o order) error {
	if o.last && !o.dryRun {
		return w.commit(ctx)
	}
	return w.flush(ctx)
}

// nullable is nil for the empty string.
func nullable(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
