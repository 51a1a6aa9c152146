package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

// transactionResource says how transactions are filtered.
func transactionResource() resource {
	return resource{
		fields: map[string]fieldKind{
			"reverted": booleanField, "account": stringField, "source": stringField, "destination": stringField,
			"timestamp": dateField, "metadata": stringMapField, "id": numberField, "reference": stringField,
			"inserted_at": dateField, "updated_at": dateField, "reverted_at": dateField,
		},
		resolve: resolveTransaction,
	}
}

func resolveTransaction(q *query, operator, key string, value any) (string, error) {
	switch key {
	case "reverted":
		if value == true {
			return "reverted_at is not null", nil
		}
		return "reverted_at is null", nil
	case "account", "source", "destination":
		clause, err := q.compareAddress("m.account", operator, value)
		if err != nil {
			return "", err
		}
		switch key {
		case "source":
			clause += " and m.is_source"
		case "destination":
			clause += " and m.is_destination"
		}
		return "id in (select m.transaction_id from moves m where m.ledger_id = $1 and " + clause + ")", nil
	case "id":
		return q.compareNumber("id", operator, value)
	case "reference":
		return q.compareText("reference", operator, value)
	case "timestamp", "inserted_at", "updated_at", "reverted_at":
		return q.compareTime(key, operator, value)
	default:
		return q.compareMetadata("metadata", operator, key, value)
	}
}

// transactionsFrom is the table of transactions, or its state at the point
// in time asked for.
func transactionsFrom(q *query) string {
	if q.pit == nil {
		return "transactions t"
	}
	pit := q.arg(*q.pit)
	return fmt.Sprintf(`(
		select ledger_id, id, timestamp, reference, postings, post_commit_volumes, inserted_at, updated_at,
		       case when reverted_at <= %[1]s then reverted_at end as reverted_at,
		       case when exists (select from transaction_metadata h where h.ledger_id = $1 and h.transaction_id = x.id)
		            then coalesce((select h.metadata from transaction_metadata h
		                           where h.ledger_id = $1 and h.transaction_id = x.id and h.date <= %[1]s
		                           order by h.revision desc limit 1), '{}'::jsonb)
		            else x.metadata end as metadata
		from transactions x where ledger_id = $1 and timestamp <= %[1]s) t`, pit)
}

const transactionColumns = "id, timestamp, reference, postings, metadata, post_commit_volumes, inserted_at, updated_at, reverted_at"

// scanTransaction reads transactionColumns and extra columns behind them.
func scanTransaction(row pgx.CollectableRow, extra ...any) (transaction, error) {
	var (
		t               transaction
		reference       *string
		postings, table []byte
	)
	into := append([]any{&t.ID, &t.Timestamp, &reference, &postings, &t.Metadata, &table, &t.InsertedAt, &t.UpdatedAt, &t.RevertedAt}, extra...)
	if err := row.Scan(into...); err != nil {
		return t, err
	}
	t.Timestamp, t.InsertedAt, t.UpdatedAt = t.Timestamp.UTC(), t.InsertedAt.UTC(), t.UpdatedAt.UTC()
	if t.RevertedAt != nil {
		at := t.RevertedAt.UTC()
		t.RevertedAt = &at
	}
	if reference != nil {
		t.Reference = *reference
	}
	if err := json.Unmarshal(postings, &t.Postings); err != nil {
		return t, fmt.Errorf("decode postings: %w", err)
	}
	if err := json.Unmarshal(table, &t.PostCommitVolumes); err != nil {
		return t, fmt.Errorf("decode volumes: %w", err)
	}
	return t, nil
}

func transactionListing(from, where string) listing {
	return listing{
		columns: transactionColumns,
		from:    from,
		where:   "ledger_id = $1 and (" + where + ")",
		sort: map[string]sortColumn{
			"id":          {sql: "id", cast: "bigint"},
			"timestamp":   {sql: "timestamp", cast: "timestamptz"},
			"inserted_at": {sql: "inserted_at", cast: "timestamptz"},
			"updated_at":  {sql: "updated_at", cast: "timestamptz"},
			"reverted_at": {sql: "reverted_at", cast: "timestamptz"},
			"reference":   {fixed: true}, "account": {fixed: true}, "source": {fixed: true},
			"destination": {fixed: true}, "metadata": {fixed: true}, "reverted": {fixed: true},
		},
		tie: "id", tieCast: "bigint",
	}
}

func listTransactions(s *Server, c *call) error {
	column := "id"
	if c.query.Get("order") == "effective" {
		column = "timestamp"
	}
	p, err := c.page(column, true)
	if err != nil {
		return err
	}
	q := p.query(c.book)
	where, err := p.condition(transactionResource(), q)
	if err != nil {
		return filtering(err)
	}
	cursor, err := paginate(c.ctx(), s, p, q, transactionListing(transactionsFrom(q), where), scanTransaction)
	if err != nil {
		return err
	}
	for i := range cursor.Data {
		if err := s.expandTransaction(c.ctx(), c.book, &cursor.Data[i], p.Expand); err != nil {
			return err
		}
	}
	return respond(c, cursor, nil)
}

func countTransactions(s *Server, c *call) error {
	return s.count(c, transactionResource(), transactionsFrom)
}

func readTransaction(s *Server, c *call) error {
	id, err := strconv.ParseInt(c.params["id"], 10, 64)
	if err != nil {
		return invalid("%s", err)
	}
	q := newQuery(c.book)
	if q.pit, err = timeParameter(c.query, "pit"); err != nil {
		return invalid("%s", err)
	}
	sql := "select " + transactionColumns + " from " + transactionsFrom(q) + " where ledger_id = $1 and id = " + q.arg(id)
	rows, err := s.pool.Query(c.ctx(), sql, q.args...)
	if err != nil {
		return fmt.Errorf("read transaction: %w", err)
	}
	t, err := pgx.CollectExactlyOneRow(rows, func(row pgx.CollectableRow) (transaction, error) { return scanTransaction(row) })
	if errors.Is(err, pgx.ErrNoRows) {
		return notFound("not found")
	}
	if err != nil {
		return fmt.Errorf("read transaction: %w", err)
	}
	if err := s.expandTransaction(c.ctx(), c.book, &t, c.expand()); err != nil {
		return err
	}
	return c.ok(http.StatusOK, t)
}

// expandTransaction leaves the volumes in that were asked for, and adds
// effective volumes: they are computed, because a backdated transaction changes
// those of its successors.
func (s *Server) expandTransaction(ctx context.Context, b book, t *transaction, expand []string) error {
	if !slices.Contains(expand, "volumes") {
		t.PostCommitVolumes = nil
	}
	if !slices.Contains(expand, "effectiveVolumes") {
		return nil
	}
	table, err := s.effectiveVolumesAt(ctx, b, t.ID, t.Timestamp, t.Postings)
	t.PostCommitEffectiveVolumes = table
	return err
}

// effectiveVolumesAt sums up what had moved, by timestamp, when the transaction
// took effect.
func (s *Server) effectiveVolumesAt(ctx context.Context, b book, id int64, timestamp time.Time, postings []Posting) (volumeTable, error) {
	accounts, assets := columns(movedHoldings(movements(postings)))
	rows, err := s.pool.Query(ctx, `
		select m.account, m.asset, sum(m.input)::text, sum(m.output)::text
		from unnest($2::text[], $3::text[]) as k (account, asset)
		join moves m on m.ledger_id = $1 and m.account = k.account and m.asset = k.asset
		            and (m.effective_at, m.transaction_id) <= ($4, $5)
		group by m.account, m.asset`, b.id, accounts, assets, timestamp, id)
	if err != nil {
		return nil, fmt.Errorf("sum moves: %w", err)
	}
	return collectVolumes(rows)
}

// collectVolumes reads rows of account, asset, input, output.
func collectVolumes(rows pgx.Rows) (volumeTable, error) {
	defer rows.Close()
	table := make(volumeTable)
	for rows.Next() {
		var account, asset, input, output string
		if err := rows.Scan(&account, &asset, &input, &output); err != nil {
			return nil, err
		}
		v, err := parseVolumes(input, output)
		if err != nil {
			return nil, err
		}
		table.set(account, asset, v)
	}
	return table, rows.Err()
}
