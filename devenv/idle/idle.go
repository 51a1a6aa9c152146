// Package idle reports when a running dayof has nothing left to do, as a whole or about some orders and webhook events.
//
// It reads the services' databases, and asks the sandbox which webhooks are on their way. A job belongs to an order when
// one of its arguments is the id of the order or of something of it: a ticket, a refund, a payment intent. So a job of
// another order holds nobody up. A job or event that is due more than a minute from now belongs to a later day.
//
// A fee that Stripe has not reported yet holds nothing up either: the job that asks for it sleeps, and charge.updated brings
// the fee in the end. Scope.Fees waits for it all the same. So does a refund that Stripe does not make before a dispute is closed.
package idle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/jobs"
	"github.com/dayof/dayof/internal/chassis/pgdb"
	"github.com/dayof/dayof/internal/server"
)

const (
	// poll is how long a watch rests between two reads, or restFactor times as long as the read took, up to pollMax: many watches
	// on a busy machine would do nothing but read.
	poll       = 20 * time.Millisecond
	restFactor = 3
	pollMax    = time.Second
	// soon is how far ahead work counts as still to do.
	soon = time.Minute
	// feeSoon is how far ahead a job counts that asks Stripe for a fee. It sleeps for longer when Stripe has none yet.
	feeSoon = 2 * time.Second

	feeKind = "record_fee"

	// waitsForDispute is a condition on refunds: Stripe makes them when a dispute is closed, which nobody knows when to expect.
	waitsForDispute = `state = 'requested' and failure_code = 'charge_disputed'`
)

// Scope is what is waited for. The zero Scope is the whole system.
type Scope struct {
	Orders []string // ids of orders
	Events []string // ids of webhook events
	// Deferred is how many of the events may stay deferred for good, because they wait for what does not come.
	Deferred int
	// Fees waits until Stripe's fee of every captured payment of the orders is booked as well.
	Fees bool
}

// whole reports whether nothing is left out.
func (s Scope) whole() bool { return s.Orders == nil && s.Events == nil }

// Watch observes one system. It is safe for concurrent use.
type Watch struct {
	client *client.Client
	pools  map[string]*pgxpool.Pool
}

// NewWatch opens a watch. Close ends it.
func NewWatch(ctx context.Context, system *client.Client) (*Watch, error) {
	w := &Watch{client: system, pools: map[string]*pgxpool.Pool{}}
	for _, service := range server.Services() {
		pool, err := pgdb.Open(ctx, system.File.DatabaseURLs[service], pgdb.Options{MaxConns: 2, ApplicationName: "dayof idle"})
		if err != nil {
			w.Close()
			return nil, fmt.Errorf("watch %s: %w", service, err)
		}
		w.pools[service] = pool
	}
	return w, nil
}

// Close closes the connections.
func (w *Watch) Close() {
	for _, pool := range w.pools {
		pool.Close()
	}
}

// Await waits until nothing is left to do about the scope. An error says what is left when ctx ends.
func (w *Watch) Await(ctx context.Context, s Scope) error {
	return until(ctx, func(ctx context.Context) (string, error) { return w.Left(ctx, s) })
}

// AwaitTried waits until every stored event was tried at least once: those that wait for something stay deferred.
func (w *Watch) AwaitTried(ctx context.Context) error {
	return until(ctx, func(ctx context.Context) (string, error) {
		return w.query(ctx, "webhook", `
			select 'events', count(*) from webhook_events where state = 'received' and failure_count = 0 having count(*) > 0`)
	})
}

func until(ctx context.Context, read func(context.Context) (string, error)) error {
	last := ""
	for {
		began := clock.System{}.Now()
		left, err := read(ctx)
		took := clock.System{}.Now().Sub(began)
		if err == nil {
			if left == "" {
				return nil
			}
			last = left
		}
		select {
		case <-ctx.Done():
			if last != "" {
				return fmt.Errorf("%w: %w", LeftError{last}, context.Cause(ctx))
			}
			return errors.Join(context.Cause(ctx), err)
		case <-time.After(min(max(poll, restFactor*took), pollMax)):
		}
	}
}

// LeftError says what was still to do when the time was up.
type LeftError struct{ Left string }

func (e LeftError) Error() string { return "left to do: " + e.Left }

// Left says what is left to do about the scope, "" when nothing is. It reads everything twice before it says so: the effects
// of work that ended between the reads of two services are found by the second pass.
func (w *Watch) Left(ctx context.Context, s Scope) (string, error) {
	for range 2 {
		left, err := w.leftNow(ctx, s)
		if err != nil || left != "" {
			return left, err
		}
	}
	return "", nil
}

// leftNow reads every service once, causes before effects.
func (w *Watch) leftNow(ctx context.Context, s Scope) (string, error) {
	var o owned
	if !s.whole() {
		var err error
		if o, err = w.owned(ctx, s); err != nil {
			return "", err
		}
	}
	var all []string
	if s.whole() || len(o.intents) > 0 {
		done, err := w.client.Stripe.Idle(ctx, o.intents...)
		if err != nil {
			return "", err
		}
		if !done {
			all = append(all, "stripe has webhooks to send")
		}
	}
	for _, service := range []string{"webhook", "checkout", "pass", "ledger"} {
		left, err := w.jobsLeft(ctx, service, s, o)
		if err != nil {
			return "", err
		}
		if left != "" {
			all = append(all, left)
		}
		for _, l := range workLeft(service, s, o) {
			left, err := w.query(ctx, service, l.sql, l.args...)
			if err != nil {
				return "", err
			}
			if left != "" {
				all = append(all, left)
			}
		}
	}
	if s.Fees {
		left, err := w.feesLeft(ctx, s)
		if err != nil {
			return "", err
		}
		if left != "" {
			all = append(all, left)
		}
	}
	return strings.Join(all, ", "), nil
}

// owned are the ids by which work names what is in a scope.
type owned struct {
	ids     []string // of the orders, all that is theirs, and the webhook events
	intents []string // Stripe's ids of the orders' payment intents
}

// owned collects the ids of a scope.
func (w *Watch) owned(ctx context.Context, s Scope) (owned, error) {
	o := owned{ids: slices.Concat(s.Orders, s.Events)}
	if len(s.Orders) == 0 {
		return o, nil
	}
	rows, err := w.pools["checkout"].Query(ctx, `
		select id, false from tickets where order_id = any($1)
		union all select unnest(array[id, stripe_refund_id]), false from refunds where order_id = any($1)
		union all select id, false from disputes where order_id = any($1)
		union all select unnest(array[id, charge_id]), false from fraud_warnings where order_id = any($1)
		union all select id, false from reviews where order_id = any($1)
		union all select id, false from payment_intents where order_id = any($1)
		union all select stripe_id, true from payment_intents where order_id = any($1)`, s.Orders)
	if err != nil {
		return o, fmt.Errorf("watch checkout: %w", err)
	}
	var id *string
	var intent bool
	_, err = pgx.ForEachRow(rows, []any{&id, &intent}, func() error {
		switch {
		case id == nil || *id == "": // not known yet
		case intent:
			o.ids, o.intents = append(o.ids, *id), append(o.intents, *id)
		default:
			o.ids = append(o.ids, *id)
		}
		return nil
	})
	if err != nil {
		return o, fmt.Errorf("watch checkout: %w", err)
	}
	return o, nil
}

// statement is a query whose rows are what is left to do: a kind of work and how much of it.
type statement struct {
	sql  string
	args []any
}

// jobsLeft counts background jobs.
func (w *Watch) jobsLeft(ctx context.Context, service string, s Scope, o owned) (string, error) {
	due, err := jobs.Unfinished(ctx, w.pools[service], soon)
	if err != nil {
		return "", fmt.Errorf("watch %s: %w", service, err)
	}
	waiting, err := w.refundsOfDisputes(ctx, service)
	if err != nil {
		return "", err
	}
	counts := map[string]int{}
	for _, j := range due {
		if j.Kind == feeKind && j.DueIn > feeSoon || !s.whole() && !names(j.Args, o.ids) || names(j.Args, waiting) {
			continue
		}
		counts[j.Kind]++
	}
	var found []string
	for _, kind := range slices.Sorted(maps.Keys(counts)) {
		found = append(found, fmt.Sprintf("%d jobs %s", counts[kind], kind))
	}
	return strings.Join(found, ", "), nil
}

// refundsOfDisputes are the refunds that wait for the end of a dispute.
func (w *Watch) refundsOfDisputes(ctx context.Context, service string) ([]string, error) {
	if service != "checkout" {
		return nil, nil
	}
	rows, err := w.pools[service].Query(ctx, `select id from refunds where `+waitsForDispute)
	if err != nil {
		return nil, fmt.Errorf("watch %s: %w", service, err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("watch %s: %w", service, err)
	}
	return ids, nil
}

// names reports whether one of a job's arguments is one of the ids.
func names(args json.RawMessage, ids []string) bool {
	var values map[string]any
	if json.Unmarshal(args, &values) != nil {
		return false
	}
	for _, v := range values {
		if text, ok := v.(string); ok && slices.Contains(ids, text) {
			return true
		}
	}
	return false
}

// workLeft counts the work of a service that is no job.
func workLeft(service string, s Scope, o owned) []statement {
	switch service {
	case "webhook":
		const open = `select concat_ws(' ', 'events', type, state, nullif(error, '')), count(*) from webhook_events
			where state in ('received', 'deferred')`
		if s.whole() {
			return []statement{{sql: open + ` group by type, state, error`}}
		}
		// Events that name something of the scope count beside those that were named. Only open ones are read.
		return []statement{{
			sql: `with scope as (
					select type, state, error from webhook_events where state in ('received', 'deferred') and (event_id = any($1)
						or exists (select from unnest($1::text[]) id where position(convert_to('"' || id || '"', 'UTF8') in body) > 0)))
				select concat_ws(' ', 'events', type, state, nullif(error, '')), count(*) from scope
				where state = 'received' or (select count(*) from scope where state = 'deferred') > $2 group by type, state, error`,
			args: []any{o.ids, s.Deferred},
		}}
	case "checkout":
		return []statement{{
			sql: `select 'orders ' || fulfilment, count(*) from orders
					where fulfilment in ('in_progress', 'ledger_blocked') and ($1::text[] is null or id = any($1)) group by fulfilment
				union all select 'refunds requested', count(*) from refunds
					where state = 'requested' and not (` + waitsForDispute + `) and ($1::text[] is null or order_id = any($1))
					having count(*) > 0`,
			args: []any{ordersOf(s)},
		}}
	case "pass":
		return []statement{{
			sql: `select 'pushes', count(*) from pushes
					where state = 'pending' and due_time <= clock_timestamp() + $2::interval
						and ($1::text[] is null or serial in (select serial from passes where order_id = any($1))) having count(*) > 0
				union all select 'pass batches', count(*) from pass_batches
					where state = 'running'
						and ($1::text[] is null or event_id in (select event_id from passes where order_id = any($1))) having count(*) > 0`,
			args: []any{ordersOf(s), soon},
		}}
	}
	return nil
}

// ordersOf are the orders that work is counted of; nil is all of them.
func ordersOf(s Scope) []string {
	if s.whole() {
		return nil
	}
	return append([]string{}, s.Orders...)
}

// feesLeft counts captured payments whose fee is not booked.
func (w *Watch) feesLeft(ctx context.Context, s Scope) (string, error) {
	rows, err := w.pools["checkout"].Query(ctx, `
		select stripe_id from payment_intents where captured_minor_units > 0 and ($1::text[] is null or order_id = any($1))`, ordersOf(s))
	if err != nil {
		return "", fmt.Errorf("watch checkout: %w", err)
	}
	captured, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return "", fmt.Errorf("watch checkout: %w", err)
	}
	return w.query(ctx, "ledger", `
		select 'fees', count(*) from unnest($1::text[]) intent
		where not exists (select from entries where payment_intent_id = intent and starts_with(reference, 'fee:')) having count(*) > 0`, captured)
}

func (w *Watch) query(ctx context.Context, service, sql string, args ...any) (string, error) {
	rows, err := w.pools[service].Query(ctx, sql, args...)
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
