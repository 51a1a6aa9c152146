package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"

	"github.com/jackc/pgx/v5"
)

// save merges metadata into a transaction or an account. An account that does
// not exist comes into being; a transaction must exist.
func (w *work) save(ctx context.Context, in savedData, o order) (outcome, error) {
	if out, found, err := w.lookup(ctx, o); found || err != nil {
		return out, err
	}
	in.Metadata = in.Metadata.orEmpty()
	if address, ok := in.TargetID.(string); ok {
		if err := w.queueAccounts([]accountUpsert{{address: address, metadata: in.Metadata, firstUsage: w.now, at: w.now}}); err != nil {
			return outcome{}, err
		}
	} else if err := w.changeMetadata(ctx, in.TargetID, func(m Metadata) (Metadata, bool) {
		changed := maps.Clone(m)
		maps.Copy(changed, in.Metadata)
		return changed, true
	}); err != nil {
		return outcome{}, err
	}
	return w.insertLog(ctx, kindSavedMetadata, in, o)
}

// remove deletes a metadata key. It must exist on a transaction; on an account
// it need not, nor need the account.
func (w *work) remove(ctx context.Context, in deletedData, o order) (outcome, error) {
	if out, found, err := w.lookup(ctx, o); found || err != nil {
		return out, err
	}
	if address, ok := in.TargetID.(string); ok {
		w.batch.Queue(`
			with changed as (
			    update accounts set metadata = metadata - $3::text
			    where ledger_id = $1 and address = $2 and metadata ? $3
			    returning metadata
			)
			insert into account_metadata (ledger_id, address, date, metadata)
			select $1, $2, $4, metadata from changed`, w.book.id, address, in.Key, w.now)
	} else if err := w.changeMetadata(ctx, in.TargetID, func(m Metadata) (Metadata, bool) {
		changed := maps.Clone(m)
		delete(changed, in.Key)
		return changed, len(changed) < len(m)
	}); err != nil {
		return outcome{}, err
	}
	return w.insertLog(ctx, kindDeletedMetadata, in, o)
}

// changeMetadata applies change to a transaction's metadata and keeps the old
// state in the history. A change that is not possible, or a transaction that
// does not exist, is NOT_FOUND.
func (w *work) changeMetadata(ctx context.Context, id any, change func(Metadata) (Metadata, bool)) error {
	var (
		found   bool
		current Metadata
	)
	w.batch.Queue("select metadata from transactions where ledger_id = $1 and id = $2 for update", w.book.id, id).
		Query(func(rows pgx.Rows) error {
			defer rows.Close()
			for rows.Next() {
				if err := rows.Scan(&current); err != nil {
					return err
				}
				found = true
			}
			return rows.Err()
		})
	if err := w.flush(ctx); err != nil {
		return err
	}
	if !found {
		return notFound(forging + "not found")
	}
	changed, possible := change(current.orEmpty())
	if !possible {
		return notFound(forging + "not found")
	}
	if maps.Equal(changed, current) {
		return nil
	}
	// The first change also records how the transaction was made.
	w.batch.Queue(`
		insert into transaction_metadata (ledger_id, transaction_id, date, metadata)
		select ledger_id, id, timestamp, metadata from transactions t
		where ledger_id = $1 and id = $2
		  and not exists (select from transaction_metadata h where h.ledger_id = $1 and h.transaction_id = $2)`, w.book.id, id)
	w.batch.Queue("update transactions set metadata = $3, updated_at = $4 where ledger_id = $1 and id = $2", w.book.id, id, changed, w.now)
	w.batch.Queue("insert into transaction_metadata (ledger_id, transaction_id, date, metadata) values ($1, $2, $4, $3)", w.book.id, id, changed, w.now)
	return nil
}

// metadataBody reads a body that is a map of strings.
func (c *call) metadataBody() (Metadata, error) {
	data, err := c.body()
	if err != nil {
		return nil, err
	}
	var m Metadata
	if err := decodeFirst(data, &m); err != nil {
		return nil, err
	}
	return m.orEmpty(), nil
}

func addTransactionMetadata(s *Server, c *call) error {
	id, err := c.unsignedID()
	if err != nil {
		return err
	}
	return s.saveMetadata(c, targetTransaction, id)
}

func addAccountMetadata(s *Server, c *call) error {
	return s.saveMetadata(c, targetAccount, c.params["address"])
}

func (s *Server) saveMetadata(c *call, targetType string, target any) error {
	metadata, err := c.metadataBody()
	if err != nil {
		return err
	}
	in := savedData{TargetType: targetType, TargetID: target, Metadata: metadata}
	return s.writeMetadata(c, in.fingerprint(), func(ctx context.Context, w *work, o order) (outcome, error) {
		return w.save(ctx, in, o)
	})
}

func deleteTransactionMetadata(s *Server, c *call) error {
	id, err := c.unsignedID()
	if err != nil {
		return err
	}
	return s.removeMetadata(c, targetTransaction, id)
}

func deleteAccountMetadata(s *Server, c *call) error {
	return s.removeMetadata(c, targetAccount, c.params["address"])
}

func (s *Server) removeMetadata(c *call, targetType string, target any) error {
	in := deletedData{TargetType: targetType, TargetID: target, Key: c.params["key"]}
	return s.writeMetadata(c, in.fingerprint(), func(ctx context.Context, w *work, o order) (outcome, error) {
		return w.remove(ctx, in, o)
	})
}

func (s *Server) writeMetadata(c *call, fingerprint string, f func(context.Context, *work, order) (outcome, error)) error {
	out, err := s.write(c.ctx(), c.book, c.order(fingerprint), f)
	if err != nil {
		return err
	}
	c.markHit(out)
	return c.noContent()
}

// targetOf reads the target of a bulk's metadata element.
func targetOf(targetType string, id json.RawMessage) (any, error) {
	switch targetType {
	case targetAccount:
		var address string
		err := json.Unmarshal(id, &address)
		return address, err
	case targetTransaction:
		var number int64
		err := json.Unmarshal(id, &number)
		return number, err
	}
	return nil, fmt.Errorf("invalid target type: %s", targetType)
}
