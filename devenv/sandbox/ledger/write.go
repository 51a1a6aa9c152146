package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/devenv/sandbox/ledger/numscript"
)

// write carries out one write in a work of its own.
//
// A key that a parallel call took first is read again: that call's answer
// is ours. A reference that a parallel call took first is a conflict, because
// its constraint fires before the key's.
func (s *Server) write(ctx context.Context, b book, o order, f func(ctx context.Context, w *work, o order) (outcome, error)) (outcome, error) {
	o.last = true
	for range attemptsMax {
		var (
			out        outcome
			leftBehind []accountUpsert
		)
		err := s.run(ctx, b, func(ctx context.Context, w *work) error {
			var err error
			out, err = f(ctx, w, o)
			leftBehind = w.leftBehind
			if err == nil && (out.hit || o.dryRun) {
				return errRollback
			}
			return err
		})
		if constraint(err) == constraintIdempotencyKey {
			continue
		}
		if err == nil && o.dryRun && !out.hit {
			err = s.leaveAccounts(ctx, b, leftBehind)
		}
		return out, err
	}
	return outcome{}, fmt.Errorf("idempotency key %q stays taken without a log entry", o.key)
}

// entry is a transaction about to be written, with its log entry.
type entry struct {
	kind  string
	made  transaction
	moves []movement
	data  any // createdData or revertedData, with made in it
}

// insertSQL writes a transaction, its moves and its log entry. The order of the
// parts matters: a taken reference must fail before a taken key.
const insertSQL = `
	with made as (
	    insert into transactions (ledger_id, id, timestamp, reference, postings, metadata, post_commit_volumes, inserted_at, updated_at)
	    values ($1, nextval($2::text::regclass), $4, $5, $6::json, $7::jsonb, $8::json, $9, $9)
	    returning id
	), moved as (
	    insert into moves (ledger_id, account, asset, effective_at, transaction_id, inserted_at, input, output, is_source, is_destination)
	    select $1, d.account, d.asset, $4, made.id, $9, d.input, d.output, d.is_source, d.is_destination
	    from made, unnest($10::text[], $11::text[], $12::text[]::numeric[], $13::text[]::numeric[], $14::bool[], $15::bool[])
	         as d (account, asset, input, output, is_source, is_destination)
	), logged as (
	    insert into logs (ledger_id, id, type, transaction_id, data, date, idempotency_key, idempotency_hash)
	    select $1, nextval($3::text::regclass), $16, made.id, $17::json, $9, $18, $19 from made
	    returning id
	)
	select made.id, logged.id from made, logged`

// insert writes the entry and what else is queued, and commits if nothing
// follows. A taken reference is a conflict.
func (w *work) insert(ctx context.Context, e *entry, o order) (outcome, error) {
	n := len(e.moves)
	accounts, assets := columns(movedHoldings(e.moves))
	input, output := make([]string, n), make([]string, n)
	isSource, isDestination := make([]bool, n), make([]bool, n)
	for i, m := range e.moves {
		input[i], output[i] = m.input.String(), m.output.String()
		isSource[i], isDestination[i] = m.isSource, m.isRecipient
	}
	texts, err := encodeAll(e.made.Postings, e.made.Metadata, e.made.PostCommitVolumes, e.data)
	if err != nil {
		return outcome{}, err
	}
	made := e.made
	out := outcome{transaction: &made}
	w.batch.Queue(insertSQL,
		w.book.id, w.book.transactionSequence(), w.book.logSequence(),
		made.Timestamp, nullable(made.Reference), texts[0], texts[1], texts[2], w.now,
		accounts, assets, input, output, isSource, isDestination,
		e.kind, texts[3], nullable(o.key), o.hash,
	).QueryRow(func(row pgx.Row) error { return row.Scan(&made.ID, &out.logID) })
	err = w.finish(ctx, o)
	if constraint(err) == constraintReference {
		return outcome{}, conflict(made.Reference)
	}
	return out, err
}

func encodeAll(values ...any) ([]string, error) {
	texts := make([]string, len(values))
	for i, v := range values {
		data, err := json.Marshal(v)
		if err != nil {
			return nil, fmt.Errorf("encode a column: %w", err)
		}
		texts[i] = string(data)
	}
	return texts, nil
}

// accountUpsert makes an account, or widens what is known of it.
type accountUpsert struct {
	address    string
	metadata   Metadata
	firstUsage time.Time
	at         time.Time
}

// upsertAccountsSQL makes accounts, moves their first usage back, and merges
// metadata; accounts that need none of it stay as they are. A write that began
// before the one that made the account, and waited for it, counts as the first:
// insertion, first usage and update then carry its time. Changed metadata goes to
// the history.
const upsertAccountsSQL = `
	with changed as (
	    insert into accounts as a (ledger_id, address, metadata, first_usage, insertion_date, updated_at)
	    select $1, d.address, d.metadata, $4, $5, $5
	    from unnest($2::text[], $3::text[]::jsonb[]) as d (address, metadata)
	    on conflict (ledger_id, address) do update
	    set first_usage = least(a.first_usage, excluded.first_usage),
	        insertion_date = least(a.insertion_date, excluded.insertion_date),
	        metadata = a.metadata || excluded.metadata,
	        updated_at = excluded.updated_at
	    where excluded.first_usage < a.first_usage or not a.metadata @> excluded.metadata
	    returning address, metadata
	)
	insert into account_metadata (ledger_id, address, date, metadata)
	select $1, address, $5, metadata from changed where metadata <> '{}'`

// queueAccounts queues the accounts of one transaction: sorted by address, all
// with one time. Accounts that are known to exist since earlier are left out
// by the caller.
func (w *work) queueAccounts(accounts []accountUpsert) error {
	if len(accounts) == 0 {
		return nil
	}
	args, err := accountArguments(w.book, accounts)
	if err != nil {
		return err
	}
	w.batch.Queue(upsertAccountsSQL, args...)
	return nil
}

func accountArguments(b book, accounts []accountUpsert) ([]any, error) {
	addresses, metadata := make([]string, len(accounts)), make([]string, len(accounts))
	for i, a := range accounts {
		addresses[i] = a.address
		texts, err := encodeAll(a.metadata.orEmpty())
		if err != nil {
			return nil, err
		}
		metadata[i] = texts[0]
	}
	return []any{b.id, addresses, metadata, accounts[0].firstUsage, accounts[0].at}, nil
}

// leaveAccounts does what the real server does by mistake: a dry run leaves the
// account rows behind, because it writes them outside of the transaction; but
// not while the ledger is still empty.
func (s *Server) leaveAccounts(ctx context.Context, b book, accounts []accountUpsert) error {
	if len(accounts) == 0 {
		return nil
	}
	var used bool
	if err := s.pool.QueryRow(ctx, "select exists (select from logs where ledger_id = $1)", b.id).Scan(&used); err != nil {
		return fmt.Errorf("look for logs: %w", err)
	}
	if !used {
		return nil
	}
	args, err := accountArguments(b, accounts)
	if err != nil {
		return err
	}
	if _, err := s.pool.Exec(ctx, upsertAccountsSQL, args...); err != nil {
		return fmt.Errorf("leave accounts behind: %w", err)
	}
	return nil
}

// queueForget queues the removal of volumes rows that were made for the lock
// only. Rows of sources stay, as in the real ledger.
func (w *work) queueForget(holdings []numscript.Holding) {
	if len(holdings) == 0 {
		return
	}
	accounts, assets := columns(holdings)
	w.batch.Queue(`
		delete from volumes v using unnest($2::text[], $3::text[]) as k (account, asset)
		where v.ledger_id = $1 and v.account = k.account and v.asset = k.asset`,
		w.book.id, accounts, assets)
}
