package ledger

import (
	"fmt"
	"math/big"
	"net/http"
	"strconv"

	"github.com/jackc/pgx/v5"
)

// holdingJSON is a row of /volumes as it travels.
type holdingJSON struct {
	Account string   `json:"account"`
	Asset   string   `json:"asset"`
	Input   *big.Int `json:"input"`
	Output  *big.Int `json:"output"`
	Balance *big.Int `json:"balance"`
}

// volumeResource says how volumes are filtered.
func volumeResource() resource {
	return resource{
		fields: map[string]fieldKind{
			"address": stringField, "balance": numberMapField, "first_usage": dateField, "metadata": stringMapField,
		},
		aliases: map[string]string{"account": "address"},
		resolve: resolveVolume,
	}
}

func resolveVolume(q *query, operator, key string, value any) (string, error) {
	switch {
	case key == "address":
		return q.compareAddress("account", operator, value)
	case key == "first_usage":
		clause, err := q.compareTime("a.first_usage", operator, value)
		return "exists (select from accounts a where a.ledger_id = $1 and a.address = account and " + clause + ")", err
	case len(key) >= 7 && key[:7] == "balance":
		clause, err := q.compareNumber("input - output", operator, value)
		if asset := index(key); asset != "" {
			clause = "(" + clause + ") and asset = " + q.arg(asset) + "::text"
		}
		return clause, err
	default:
		return q.compareAccountMetadata(operator, key, value)
	}
}

// compareAccountMetadata compares metadata of the account of a volumes row, as
// it was at the point in time asked for.
func (q *query) compareAccountMetadata(operator, key string, value any) (string, error) {
	from := "accounts a where a.ledger_id = $1 and a.address = account"
	if q.pit != nil {
		from = `(select h.metadata from account_metadata h where h.ledger_id = $1 and h.address = account and h.date <= ` +
			q.arg(*q.pit) + ` order by h.revision desc limit 1) a where true`
	}
	clause, err := q.compareMetadata("a.metadata", operator, key, value)
	return "exists (select from " + from + " and " + clause + ")", err
}

// volumesFrom selects volumes per account and asset: now, or of the moves
// between the bounds of the query.
func volumesFrom(q *query) string {
	if q.pit == nil && q.oot == nil {
		return "select account, asset, input, output from volumes where ledger_id = $1"
	}
	date := "effective_at"
	if q.byInsertion {
		date = "inserted_at"
	}
	sql := "select account, asset, sum(input) as input, sum(output) as output from moves where ledger_id = $1"
	if q.pit != nil {
		sql += " and " + date + " <= " + q.arg(*q.pit)
	}
	if q.oot != nil {
		sql += " and " + date + " >= " + q.arg(*q.oot)
	}
	return sql + " group by account, asset"
}

func scanHolding(row pgx.CollectableRow, extra ...any) (holdingJSON, error) {
	var (
		h             holdingJSON
		input, output string
	)
	if err := row.Scan(append([]any{&h.Account, &h.Asset, &input, &output}, extra...)...); err != nil {
		return h, err
	}
	v, err := parseVolumes(input, output)
	if err != nil {
		return h, err
	}
	h.Input, h.Output, h.Balance = v.input, v.output, v.balance()
	return h, nil
}

func listVolumes(s *Server, c *call) error {
	p, err := c.volumesPage()
	if err != nil {
		return err
	}
	q := p.query(c.book)
	from := volumesFrom(q)
	where, err := p.condition(volumeResource(), q)
	if err != nil {
		return filtering(err)
	}
	from = "(select account, asset, input, output from (" + from + ") x where " + where + ") v"
	if p.GroupBy > 0 {
		from = fmt.Sprintf(`(
			select array_to_string((string_to_array(account, ':'))[1:%d], ':') collate "C" as account, asset, sum(input) as input, sum(output) as output
			from %s group by 1, asset) g`, p.GroupBy, from)
	}
	cursor, err := paginate(c.ctx(), s, p, q, listing{
		columns: "account, asset, input::text, output::text",
		from:    from,
		// The ledger is chosen inside; $1 must be used for the statement to be valid.
		where: "$1::int is not null",
		sort: map[string]sortColumn{
			"account": {sql: "account"}, "address": {sql: "account"},
			"balance": {fixed: true}, "metadata": {fixed: true}, "first_usage": {fixed: true},
		},
		tie: "asset", tieCast: "text",
	}, scanHolding)
	return respond(c, cursor, err)
}

// volumesPage reads the paging parameters, and those of volumes only. startTime
// and endTime are old names of oot and pit.
func (c *call) volumesPage() (page, error) {
	groupBy := 0
	if text := c.query.Get("groupBy"); text != "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return page{}, invalid("%s", err)
		}
		groupBy = int(min(n, 1<<20))
	}
	pit, err := timeParameter(c.query, "endTime")
	if err != nil {
		return page{}, invalid("%s", err)
	}
	oot, err := timeParameter(c.query, "startTime")
	if err != nil {
		return page{}, invalid("%s", err)
	}
	p, err := c.page("account", false)
	if err != nil || c.query.Get("cursor") != "" {
		return p, err
	}
	p.GroupBy = max(groupBy, 0)
	p.Insertion = c.flag("insertionDate")
	if pit != nil {
		p.PIT = pit
	}
	if oot != nil {
		p.OOT = oot
	}
	return p, nil
}

// balanceResource says how aggregated balances are filtered.
func balanceResource() resource {
	return resource{
		fields: map[string]fieldKind{"address": stringField, "metadata": stringMapField},
		resolve: func(q *query, operator, key string, value any) (string, error) {
			if key == "address" {
				return q.compareAddress("account", operator, value)
			}
			return q.compareAccountMetadata(operator, key, value)
		},
	}
}

// aggregateBalances sums balances per asset over the accounts that match.
func aggregateBalances(s *Server, c *call) error {
	p, err := c.balancesPage()
	if err != nil {
		return invalid("%s", err)
	}
	q := p.query(c.book)
	from := volumesFrom(q)
	where, err := p.condition(balanceResource(), q)
	if err != nil {
		return err
	}
	rows, err := s.pool.Query(c.ctx(), "select asset, sum(input - output)::text from ("+from+") x where "+where+" group by asset", q.args...)
	if err != nil {
		return fmt.Errorf("aggregate balances: %w", err)
	}
	defer rows.Close()
	asStrings := isTrue(c.r.Header.Get(headerBigintString))
	balances := make(map[string]any)
	for rows.Next() {
		var asset, text string
		if err := rows.Scan(&asset, &text); err != nil {
			return fmt.Errorf("aggregate balances: %w", err)
		}
		balance, err := parseAmount(text)
		if err != nil {
			return err
		}
		balances[asset] = balance
		if asStrings {
			balances[asset] = text
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("aggregate balances: %w", err)
	}
	return c.ok(http.StatusOK, balances)
}

func (c *call) balancesPage() (page, error) {
	var (
		p   page
		err error
	)
	if p.PIT, err = timeParameter(c.query, "pit"); err != nil {
		return p, err
	}
	if p.Filter, err = c.filterText(); err != nil {
		return p, err
	}
	if _, err = parseFilter(p.Filter); err != nil {
		return p, err
	}
	p.Insertion = c.flag("use_insertion_date") || c.flag("useInsertionDate")
	return p, nil
}
