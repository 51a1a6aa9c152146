package ledger

import (
	"time"

	"github.com/jackc/pgx/v5"
)

// logJSON is a log entry as it travels.
type logJSON struct {
	Type            string    `json:"type"`
	Data            any       `json:"data"`
	Date            time.Time `json:"date"`
	IdempotencyKey  string    `json:"idempotencyKey"`
	IdempotencyHash string    `json:"idempotencyHash"`
	ID              int64     `json:"id"`
	Hash            []byte    `json:"hash"`
}

func logResource() resource {
	return resource{
		fields: map[string]fieldKind{"date": dateField, "id": numberField, "type": stringField},
		resolve: func(q *query, operator, key string, value any) (string, error) {
			switch key {
			case "date":
				return q.compareTime("date", operator, value)
			case "id":
				return q.compareNumber("id", operator, value)
			default:
				return q.compareText("type", operator, value)
			}
		},
	}
}

const logColumns = "type, transaction_id, data, date, coalesce(idempotency_key, ''), idempotency_hash, id, hash"

func scanLog(row pgx.CollectableRow, extra ...any) (logJSON, error) {
	var (
		l             logJSON
		transactionID *int64
		data          []byte
	)
	err := row.Scan(append([]any{&l.Type, &transactionID, &data, &l.Date, &l.IdempotencyKey, &l.IdempotencyHash, &l.ID, &l.Hash}, extra...)...)
	if err != nil {
		return l, err
	}
	l.Date = l.Date.UTC()
	l.Data, err = decodeData(l.Type, transactionID, data)
	return l, err
}

// chained is the part of the log that has its hashes: all that was written
// before the caller made sure of it.
const chained = "ledger_id = $1 and id <= (select log_id from log_chains where ledger_id = $1)"

func listLogs(s *Server, c *call) error {
	p, err := c.page("id", true)
	if err != nil {
		return err
	}
	q := p.query(c.book)
	where, err := p.condition(logResource(), q)
	if err != nil {
		return filtering(err)
	}
	if err := s.chainLogs(c.ctx(), c.book); err != nil {
		return err
	}
	cursor, err := paginate(c.ctx(), s, p, q, listing{
		columns: logColumns,
		from:    "logs",
		where:   chained + " and (" + where + ")",
		sort: map[string]sortColumn{
			"id": {sql: "id", cast: "bigint"}, "date": {sql: "date", cast: "timestamptz"}, "type": {fixed: true},
		},
		tie: "id", tieCast: "bigint",
	}, scanLog)
	return respond(c, cursor, err)
}
