package scenario

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/internal/chassis/pgdb"
	"github.com/dayof/dayof/internal/server"
)

// Watch looks at a whole system until nothing is left to do, which many orders at once share. It reads the services'
// databases.
type Watch struct {
	client *client.Client
	pools  map[string]*pgxpool.Pool
	looks  map[string][]string // statements by service
}

// NewWatch opens a watch. Close ends it.
func NewWatch(ctx context.Context, system *client.Client) (*Watch, error) {
	w := &Watch{client: system, pools: map[string]*pgxpool.Pool{}, looks: map[string][]string{}}
	for _, service := range server.Services() {
		pool, err := pgdb.Open(ctx, system.File.DatabaseURLs[service], pgdb.Options{MaxConns: 2, ApplicationName: "dayof watch"})
		if err != nil {
			w.Close()
			return nil, fmt.Errorf("watch %s: %w", service, err)
		}
		w.pools[service] = pool
		var jobs bool // not every service has background jobs
		if err := pool.QueryRow(ctx, "select to_regclass('river_job') is not null").Scan(&jobs); err != nil {
			w.Close()
			return nil, fmt.Errorf("watch %s: %w", service, err)
		}
		if jobs {
			w.looks[service] = append(w.looks[service], watchedJobs)
		}
		w.looks[service] = append(w.looks[service], watched[service]...)
	}
	return w, nil
}

// Close closes the connections.
func (w *Watch) Close() {
	for _, pool := range w.pools {
		pool.Close()
	}
}

// watched are the statements that name what is left to do besides jobs, by service; each row is a kind of work and how
// much of it.
var watched = map[string][]string{
	"checkout": {`
		select 'orders ' || fulfilment, count(*) from orders where fulfilment in ('in_progress', 'ledger_blocked') group by fulfilment
		union all select 'refunds requested', count(*) from refunds where state = 'requested' having count(*) > 0`},
	"pass": {`select 'pass batches', count(*) from pass_batches where state = 'running' having count(*) > 0`},
	"webhook": {`
		select concat_ws(' ', 'events', type, state, error), count(*) from webhook_events
		where state in ('received', 'deferred') group by type, state, error`},
}

// watchedJobs names what is left to do by jobs.
//
// Jobs count when they are due within a minute. A job that asks Stripe for a fee which does not exist yet counts only
// when it is about to run: charge.updated brings the fee, and the job finds it posted.
const watchedJobs = `
	select 'jobs ' || kind, count(*) from river_job
	where state in ('available', 'running', 'retryable', 'scheduled') and not starts_with(kind, 'periodic/')
		and scheduled_at <= now() + case when kind = 'record_fee' then interval '2 seconds' else interval '1 minute' end
	group by kind`

// Rest waits until nothing is left to do. An error says what is left when ctx ends.
func (w *Watch) Rest(ctx context.Context) error { return w.until(ctx, w.left) }

// Taken waits until every stored event was tried at least once: those that wait for something stay deferred.
func (w *Watch) Taken(ctx context.Context) error {
	return w.until(ctx, func(ctx context.Context) (string, error) {
		return w.query(ctx, "webhook", `
			select 'events', count(*) from webhook_events where state = 'received' and failure_count = 0 having count(*) > 0`)
	})
}

func (w *Watch) until(ctx context.Context, look func(context.Context) (string, error)) error {
	for {
		left, err := look(ctx)
		if err == nil && left == "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("left to do: %s: %w", left, context.Cause(ctx)), err)
		case <-time.After(restPoll):
		}
	}
}

// restPoll is how often a watch looks.
const restPoll = 20 * time.Millisecond

// left says what is left, causes before effects: what is done meanwhile shows up where it leads.
func (w *Watch) left(ctx context.Context) (string, error) {
	idle, err := w.client.Stripe.Idle(ctx)
	if err != nil {
		return "", err
	}
	if !idle {
		return "stripe's webhooks", nil
	}
	for _, service := range []string{"webhook", "checkout", "pass", "ledger", "webhook"} {
		var all []string
		for _, sql := range w.looks[service] {
			left, err := w.query(ctx, service, sql)
			if err != nil {
				return left, err
			}
			if left != "" {
				all = append(all, left)
			}
		}
		if len(all) > 0 {
			return strings.Join(all, ", "), nil
		}
	}
	return "", nil
}

func (w *Watch) query(ctx context.Context, service, sql string) (string, error) {
	rows, err := w.pools[service].Query(ctx, sql)
	if err != nil {
		return "", fmt.Errorf("watch %s: %w", service, err)
	}
	var found []string
	var what string
	var count int64
	if _, err := pgx.ForEachRow(rows, []any{&what, &count}, func() error {
		found = append(found, fmt.Sprintf("%d %s", count, what))
		return nil
	}); err != nil {
		return "", fmt.Errorf("watch %s: %w", service, err)
	}
	return strings.Join(found, ", "), nil
}
