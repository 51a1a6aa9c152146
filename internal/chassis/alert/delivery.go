package alert

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// lease is how long a replica may take to deliver one alert before another
	// one may try.
	lease = 30 * time.Second
	// deliveryBatch is how many alerts one round delivers, all at once.
	deliveryBatch = 20
	// backoffMax bounds the delay after failed deliveries.
	backoffMax = 5 * time.Minute
)

// due are the alerts that Deliver delivers.
const due = `from alerts
			where (sent_time is null or resolved_time is not null and end_sent_time is null) and next_send_time <= now()`

// QueueDue queues the question whether Deliver has something to do.
func QueueDue(b *pgx.Batch, then func(due bool)) {
	b.Queue(`select exists (select ` + due + `)`).QueryRow(func(row pgx.Row) error {
		var exists bool
		if err := row.Scan(&exists); err != nil {
			return fmt.Errorf("look for alerts: %w", err)
		}
		then(exists)
		return nil
	})
}

// Sender delivers an alert to people: its beginning, and its end, which has a
// ResolvedTime. It is called at least once for each, at any replica, and again
// after an error. An incident that ended before it was delivered is delivered
// once, with its end.
type Sender func(ctx context.Context, alert Alert) error

// Deliver sends what is due, one batch, all of it at once: an alert that the
// receiver takes long for, or never takes, stops no other. A row is leased, not locked, during the
// delivery: no transaction is open across a call. A crash between a delivery and
// its record makes another replica deliver it again.
func Deliver(ctx context.Context, pool *pgxpool.Pool, send Sender) error {
	rows, err := pool.Query(ctx, `
		update alerts set send_attempts = send_attempts + 1,
			next_send_time = now() + $1::interval + least($2::interval, interval '1 second' * 2 ^ least(send_attempts, 20))
		where id in (
			select id `+due+`
			order by next_send_time limit $3 for update skip locked)
		returning `+columns, lease, backoffMax, deliveryBatch)
	if err != nil {
		return fmt.Errorf("claim alerts: %w", err)
	}
	alerts, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Alert])
	if err != nil {
		return fmt.Errorf("claim alerts: %w", err)
	}
	deadline, cancel := context.WithTimeout(ctx, lease)
	defer cancel()
	errs := make([]error, len(alerts))
	var deliveries sync.WaitGroup
	for i, a := range alerts {
		deliveries.Go(func() { errs[i] = deliver(deadline, pool, send, a) })
	}
	deliveries.Wait()
	return errors.Join(errs...)
}

func deliver(ctx context.Context, pool *pgxpool.Pool, send Sender, a Alert) error {
	if err := send(ctx, a); err != nil {
		// The lease is over for this one; its backoff stays.
		_, releaseErr := pool.Exec(ctx, `update alerts set next_send_time = next_send_time - $2::interval where id = $1`, a.ID, lease)
		return errors.Join(fmt.Errorf("send alert %d: %w", a.ID, err), releaseErr)
	}
	// An end that came during the delivery is delivered next.
	_, err := pool.Exec(ctx, `
		update alerts set sent_time = coalesce(sent_time, now()), send_attempts = 0,
			end_sent_time = case when $2 then now() else end_sent_time end, next_send_time = now()
		where id = $1`, a.ID, a.ResolvedTime != nil)
	if err != nil {
		return fmt.Errorf("record that alert %d was sent: %w", a.ID, err)
	}
	return nil
}
