package alert

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Alert is an incident that somebody must know of.
type Alert struct {
	ID           int64
	Kind         string         // what kind of incident: "ledger_blocked"
	Subject      string         // whose: an order id
	Facts        map[string]any // what one needs to know first
	Link         string         // where to read more; may be empty
	OpenedTime   time.Time
	SentTime     *time.Time // nil until its beginning was delivered
	ResolvedTime *time.Time // nil while it is open
}

// columns are in the order of Alert's fields.
const columns = `id, kind, subject, facts, link, opened_time, sent_time, resolved_time`

// Execer is a transaction, a connection, a pool or a pipeline.
type Execer interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// Querier is a transaction, a connection or a pool.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// Raise opens an incident in the caller's transaction, so that it exists if and
// only if the fact does. While one of the same kind and subject is open, nothing
// happens: each incident is sent once, and its end once, by Deliver after the commit. Facts may be
// nil.
func Raise(ctx context.Context, tx Execer, kind, subject string, facts map[string]any, link string) error {
	if facts == nil {
		facts = map[string]any{}
	}
	encoded, err := json.Marshal(facts)
	if err != nil {
		return fmt.Errorf("raise alert %s: %w", kind, err)
	}
	_, err = tx.Exec(ctx, `
		insert into alerts (kind, subject, facts, link) values ($1, $2, $3, $4)
		on conflict (kind, subject) where resolved_time is null do nothing`, kind, subject, encoded, link)
	if err != nil {
		return fmt.Errorf("raise alert %s: %w", kind, err)
	}
	return nil
}

// Resolve closes the open incident of that kind and subject, if there is one. A
// later Raise opens a new one. The end is delivered too, as an alert with its
// ResolvedTime; one that was not delivered yet is delivered with it at once.
func Resolve(ctx context.Context, tx Execer, kind, subject string) error {
	_, err := tx.Exec(ctx, `
		update alerts set resolved_time = now(), send_attempts = 0, next_send_time = least(next_send_time, now())
		where kind = $1 and subject = $2 and resolved_time is null`, kind, subject)
	if err != nil {
		return fmt.Errorf("resolve alert %s: %w", kind, err)
	}
	return nil
}

// Link is the address of a page of the console, for an alert; "" where there is no
// console.
func Link(consoleURL, path string) string {
	if consoleURL == "" {
		return ""
	}
	return strings.TrimSuffix(consoleURL, "/") + path
}

// ListOpen returns the open incidents, oldest first, at most limit.
func ListOpen(ctx context.Context, db Querier, limit int) ([]Alert, error) {
	rows, err := db.Query(ctx, `select `+columns+` from alerts where resolved_time is null order by id limit $1`, limit)
	if err != nil {
		return nil, fmt.Errorf("list alerts: %w", err)
	}
	alerts, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Alert])
	if err != nil {
		return nil, fmt.Errorf("list alerts: %w", err)
	}
	return alerts, nil
}
