package ledger

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// account is an account as it travels.
type account struct {
	Address          string             `json:"address"`
	Metadata         Metadata           `json:"metadata"`
	FirstUsage       time.Time          `json:"firstUsage"`
	InsertionDate    time.Time          `json:"insertionDate"`
	UpdatedAt        time.Time          `json:"updatedAt"`
	Volumes          map[string]volumes `json:"volumes,omitempty"`
	EffectiveVolumes map[string]volumes `json:"effectiveVolumes,omitempty"`
}

// accountResource says how accounts are filtered.
func accountResource() resource {
	return resource{
		fields: map[string]fieldKind{
			"address": stringField, "first_usage": dateField, "balance": numberMapField, "metadata": stringMapField,
			"insertion_date": dateField, "updated_at": dateField,
		},
		resolve: resolveAccount,
	}
}

func resolveAccount(q *query, operator, key string, value any) (string, error) {
	switch {
	case key == "address":
		return q.compareAddress("address", operator, value)
	case key == "first_usage" || key == "insertion_date" || key == "updated_at":
		return q.compareTime(key, operator, value)
	case key == "balance" || len(key) > 7 && key[:7] == "balance":
		return q.compareNumber("("+q.balance(index(key))+")", operator, value)
	default:
		return q.compareMetadata("metadata", operator, key, value)
	}
}

// balance selects an account's balance in an asset. Without asset it selects
// those in all assets, which fails when there is more than one, as in the
// ledger.
func (q *query) balance(asset string) string {
	sql := "select v.input - v.output from volumes v where v.ledger_id = $1 and v.account = address"
	if q.pit != nil {
		sql = "select sum(v.input - v.output) from moves v where v.ledger_id = $1 and v.account = address and v.effective_at <= " + q.arg(*q.pit)
	}
	if asset != "" {
		sql += " and v.asset = " + q.arg(asset) + "::text"
	}
	if q.pit != nil {
		sql += " group by v.asset"
	}
	return sql
}

// accountsFrom is the table of accounts, or its state at the point in time
// asked for.
func accountsFrom(q *query) string {
	if q.pit == nil {
		return "accounts a"
	}
	return fmt.Sprintf(`(
		select ledger_id, address, first_usage, insertion_date, updated_at,
		       coalesce((select h.metadata from account_metadata h
		                 where h.ledger_id = $1 and h.address = x.address and h.date <= %[1]s
		                 order by h.revision desc limit 1), '{}'::jsonb) as metadata
		from accounts x where ledger_id = $1 and first_usage <= %[1]s) a`, q.arg(*q.pit))
}

const accountColumns = "address, metadata, first_usage, insertion_date, updated_at"

func scanAccount(row pgx.CollectableRow, extra ...any) (account, error) {
	var a account
	err := row.Scan(append([]any{&a.Address, &a.Metadata, &a.FirstUsage, &a.InsertionDate, &a.UpdatedAt}, extra...)...)
	a.FirstUsage, a.InsertionDate, a.UpdatedAt = a.FirstUsage.UTC(), a.InsertionDate.UTC(), a.UpdatedAt.UTC()
	return a, err
}

func listAccounts(s *Server, c *call) error {
	p, err := c.page("address", false)
	if err != nil {
		return err
	}
	q := p.query(c.book)
	from := accountsFrom(q)
	where, err := p.condition(accountResource(), q)
	if err != nil {
		return filtering(err)
	}
	cursor, err := paginate(c.ctx(), s, p, q, listing{
		columns: accountColumns,
		from:    from,
		where:   "ledger_id = $1 and (" + where + ")",
		sort: map[string]sortColumn{
			"address":        {sql: "address"},
			"first_usage":    {sql: "first_usage", cast: "timestamptz"},
			"insertion_date": {sql: "insertion_date", cast: "timestamptz"},
			"updated_at":     {sql: "updated_at", cast: "timestamptz"},
			"balance":        {fixed: true}, "metadata": {fixed: true},
		},
		tie: "address", tieCast: `text collate "C"`,
	}, scanAccount)
	if err != nil {
		return err
	}
	if err := s.expandAccounts(c.ctx(), c.book, cursor.Data, p.PIT, p.Expand); err != nil {
		return err
	}
	return respond(c, cursor, nil)
}

func countAccounts(s *Server, c *call) error {
	return s.count(c, accountResource(), accountsFrom)
}

func readAccount(s *Server, c *call) error {
	q := newQuery(c.book)
	var err error
	if q.pit, err = timeParameter(c.query, "pit"); err != nil {
		return invalid("%s", err)
	}
	sql := "select " + accountColumns + " from " + accountsFrom(q) + " where ledger_id = $1 and address = " + q.arg(c.params["address"])
	rows, err := s.pool.Query(c.ctx(), sql, q.args...)
	if err != nil {
		return fmt.Errorf("read account: %w", err)
	}
	a, err := pgx.CollectExactlyOneRow(rows, func(row pgx.CollectableRow) (account, error) { return scanAccount(row) })
	if errors.Is(err, pgx.ErrNoRows) {
		return notFound("not found")
	}
	if err != nil {
		return fmt.Errorf("read account: %w", err)
	}
	one := []account{a}
	if err := s.expandAccounts(c.ctx(), c.book, one, q.pit, c.expand()); err != nil {
		return err
	}
	return c.ok(http.StatusOK, one[0])
}

// expandAccounts adds the volumes that were asked for: as of insertion dates,
// or as of timestamps when effective.
func (s *Server) expandAccounts(ctx context.Context, b book, accounts []account, pit *time.Time, expand []string) error {
	addresses := make([]string, len(accounts))
	for i, a := range accounts {
		addresses[i] = a.Address
	}
	if slices.Contains(expand, "volumes") {
		table, err := s.volumesOf(ctx, b, addresses, pit, "inserted_at")
		if err != nil {
			return err
		}
		for i := range accounts {
			accounts[i].Volumes = table[accounts[i].Address]
		}
	}
	if slices.Contains(expand, "effectiveVolumes") {
		table, err := s.volumesOf(ctx, b, addresses, pit, "effective_at")
		if err != nil {
			return err
		}
		for i := range accounts {
			accounts[i].EffectiveVolumes = table[accounts[i].Address]
		}
	}
	return nil
}

// volumesOf returns the volumes of accounts: now, or up to a date.
func (s *Server) volumesOf(ctx context.Context, b book, addresses []string, pit *time.Time, date string) (volumeTable, error) {
	sql, args := `
		select account, asset, input::text, output::text
		from volumes where ledger_id = $1 and account = any($2::text[])`, []any{b.id, addresses}
	if pit != nil {
		sql, args = `
			select account, asset, sum(input)::text, sum(output)::text
			from moves where ledger_id = $1 and account = any($2::text[]) and `+date+` <= $3
			group by account, asset`, append(args, *pit)
	}
	rows, err := s.pool.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("read volumes: %w", err)
	}
	return collectVolumes(rows)
}
