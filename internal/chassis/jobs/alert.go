package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// alertLease is how long a replica may take to deliver one alert before
	// another one may try.
	alertLease = 30 * time.Second
	// alertBatch is how many alerts one round delivers.
	alertBatch = 20
	// alertBackoffMax bounds the delay after failed deliveries.
	alertBackoffMax = 5 * time.Minute
)

// Alert is an incident that somebody must know of.
type Alert struct {
	ID           int64
	Kind         string         // what kind of incident: "ledger_blocked"
	Subject      string         // whose: an order id
	Facts        map[string]any // what one needs to know first
	Link         string         // where to look; may be empty
	OpenedTime   time.Time
	SentTime     *time.Time // nil until it was delivered
	ResolvedTime *time.Time // nil while it is open
}

// Execer is a transaction, a connection or a pool.
type Execer interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// RaiseAlert opens an incident in the caller's transaction, so that it exists
// if and only if the fact does. While one of the same kind and subject is open,
// nothing happens: each incident is told once. The alert is delivered by a sweep
// after the commit (Config.SendAlert).
func RaiseAlert(ctx context.Context, tx Execer, kind, subject string, facts map[string]any, link string) error {
	if facts == nil {
		facts = map[string]any{}
	}
	encoded, err := json.Marshal(facts)
	if err != nil {
		return fmt.Errorf("raise alert %s: %w", kind, err)
	}
	_, err = tx.Exec(ctx, `
		INSERT INTO alerts (kind, subject, facts, link) VALUES ($1, $2, $3, $4)
		ON CONFLICT (kind, subject) WHERE resolved_time IS NULL DO NOTHING`, kind, subject, encoded, link)
	if err != nil {
		return fmt.Errorf("raise alert %s: %w", kind, err)
	}
	return nil
}

// ResolveAlert closes the open incident of that kind and subject, if there is
// one. A later RaiseAlert opens a new one. An alert that was not delivered yet
// is delivered all the same, with its ResolvedTime.
func ResolveAlert(ctx context.Context, tx Execer, kind, subject string) error {
	_, err := tx.Exec(ctx, `
		UPDATE alerts SET resolved_time = now() WHERE kind = $1 AND subject = $2 AND resolved_time IS NULL`, kind, subject)
	if err != nil {
		return fmt.Errorf("resolve alert %s: %w", kind, err)
	}
	return nil
}

const alertColumns = `id, kind, subject, facts, link, opened_time, sent_time, resolved_time`

// OpenAlerts lists the open incidents, oldest first, at most limit.
func (r *Registry) OpenAlerts(ctx context.Context, limit int) ([]Alert, error) {
	rows, err := r.pool.Query(ctx, `
		SELECT `+alertColumns+` FROM alerts WHERE resolved_time IS NULL ORDER BY id LIMIT $1`, limit)
	if err != nil {
		return nil, fmt.Errorf("list alerts: %w", err)
	}
	alerts, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Alert])
	if err != nil {
		return nil, fmt.Errorf("list alerts: %w", err)
	}
	return alerts, nil
}

// sendAlerts delivers what is due. A row is leased, not locked, during the
// delivery: no transaction is open across a call. A crash between delivery and
// its note makes another replica deliver it again.
func (r *Registry) sendAlerts(ctx context.Context) error {
	rows, err := r.pool.Query(ctx, `
		UPDATE alerts SET send_attempts = send_attempts + 1,
			next_send_time = now() + $1::interval + least($2::interval, interval '1 second' * 2 ^ least(send_attempts, 20))
		WHERE id IN (
			SELECT id FROM alerts WHERE sent_time IS NULL AND next_send_time <= now()
			ORDER BY next_send_time LIMIT $3 FOR UPDATE SKIP LOCKED)
		RETURNING `+alertColumns, alertLease, alertBackoffMax, alertBatch)
	if err != nil {
		return fmt.Errorf("claim alerts: %w", err)
	}
	alerts, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Alert])
	if err != nil {
		return fmt.Errorf("claim alerts: %w", err)
	}
	deadline, cancel := context.WithTimeout(ctx, alertLease)
	defer cancel()
	var errs []error
	for _, alert := range alerts {
		errs = append(errs, r.sendAlert(deadline, alert))
	}
	return errors.Join(errs...)
}

func (r *Registry) sendAlert(ctx context.Context, alert Alert) error {
	if err := r.config.SendAlert(ctx, alert); err != nil {
		// The lease is over for this one; its backoff stays.
		_, releaseErr := r.pool.Exec(ctx, `UPDATE alerts SET next_send_time = next_send_time - $2::interval WHERE id = $1`, alert.ID, alertLease)
		return errors.Join(fmt.Errorf("send alert %d: %w", alert.ID, err), releaseErr)
	}
	_, err := r.pool.Exec(ctx, `UPDATE alerts SET sent_time = now() WHERE id = $1`, alert.ID)
	if err != nil {
		return fmt.Errorf("note that alert %d was sent: %w", alert.ID, err)
	}
	return nil
}
