package webhooksvc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/dayof/dayof/internal/chassis/crash"
	"github.com/dayof/dayof/internal/chassis/gather"
	"github.com/dayof/dayof/webhooksvc/webhookdb"
)

// The states of an event, see the package comment.
const (
	stateReceived = "received"
	stateDeferred = "deferred"
	stateApplied  = "applied"
	stateIgnored  = "ignored"
	stateRejected = "rejected"
	stateDead     = "dead"
)

// Where an event came from.
const (
	sourceDelivery = "delivery"
	sourceBackfill = "backfill"
)

const (
	// inboxWritersMax is how many statements store deliveries at once. While they wait for the disk, what arrives
	// gathers for the next one, so few writers mean large groups and few commits.
	inboxWritersMax = 2
	// inboxGroupMax and inboxGroupSizeMax bound one statement, in deliveries and bytes of bodies.
	inboxGroupMax     = 128
	inboxGroupSizeMax = 4 << 20
	// inboxPendingMax bounds what waits for a database that hangs: 512 MiB if all bodies were of the largest size.
	inboxPendingMax = 1024
)

var errInboxFull = errors.New("too many deliveries wait for the database")

// delivery is an event on its way into the inbox.
type delivery struct {
	endpoint    string
	source      string
	event       event
	body        []byte
	receiveTime time.Time
}

// stored is what became of a delivery.
type stored struct {
	isNew bool
	state string // of the row; it says something only about a row that was there before
}

// inbox stores deliveries before they are answered, and hands what is new to the workers of this process.
//
// A delivery costs one flush of one statement, commit included. Deliveries that arrive at the same time share the
// statement and the commit: with 200 of them in flight the disk is asked for a few commits, not for 200.
type inbox struct {
	gather.Gathering[*waiting]
	pool  *pgxpool.Pool
	queue *queue
}

// waiting is a delivery whose sender waits for the outcome.
type waiting struct {
	delivery
	done chan storeResult // holds one
}

type storeResult struct {
	stored stored
	err    error
}

func newInbox(pool *pgxpool.Pool, q *queue) *inbox {
	b := &inbox{pool: pool, queue: q}
	b.Gathering = gather.Gathering[*waiting]{
		Write: b.writeGroup, Size: func(w *waiting) int { return len(w.body) },
		WritersMax: inboxWritersMax, CountMax: inboxGroupMax, SizeMax: inboxGroupSizeMax, PendingMax: inboxPendingMax,
	}
	return b
}

// store returns when the delivery is durable. After an error the outcome is unknown, or the delivery is not stored;
// a repeat is safe.
func (b *inbox) store(ctx context.Context, d delivery) (stored, error) {
	w := &waiting{delivery: d, done: make(chan storeResult, 1)}
	if !b.Add(ctx, w) {
		return stored{}, errInboxFull
	}
	select {
	case o := <-w.done:
		return o.stored, o.err
	case <-ctx.Done():
		return stored{}, fmt.Errorf("store delivery: %w", ctx.Err())
	}
}

// writeGroup stores a group and answers each sender. If Postgres refuses the statement, each delivery is tried alone: one
// that cannot be stored must not take others with it, and a deadlock between replicas does not come twice.
func (b *inbox) writeGroup(ctx context.Context, group []*waiting) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	results, err := b.insert(ctx, group)
	if _, refused := errors.AsType[*pgconn.PgError](err); refused && len(group) > 1 {
		for i := range group {
			b.writeGroup(ctx, group[i:i+1])
		}
		return
	}
	for _, w := range group {
		w.done <- storeResult{stored: results[w.key()], err: err}
	}
}

// key is what makes an event one event.
type key struct{ endpoint, eventID string }

func (d delivery) key() key { return key{d.endpoint, d.event.id} }

// insertSQL stores deliveries in one statement: one flush to Postgres, one commit. Those that this process has room for are
// its own for the time of a lease. A repeat only counts up; xmax is 0 only in a row that was just inserted. A backfill never counts up:
// it is no delivery.
const insertSQL = `
insert into webhook_events as e (endpoint, event_id, source, type, api_version, livemode, stripe_account, object_id,
	create_time, receive_time, queue_time, delivery_count, body, next_try_time)
select endpoint, event_id, source, type, api_version, livemode, stripe_account, object_id,
	create_time, receive_time, receive_time, count, body, case when leased then now() + $14::interval else now() end
from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::boolean[], $7::text[], $8::text[],
	$9::timestamptz[], $10::timestamptz[], $11::bigint[], $12::bytea[], $13::boolean[])
	as d (endpoint, event_id, source, type, api_version, livemode, stripe_account, object_id,
		create_time, receive_time, count, body, leased)
on conflict on constraint webhook_event_is_stored_once
do update set delivery_count = e.delivery_count + excluded.delivery_count
returning endpoint, event_id, state, xmax = 0 as is_new`

// insert runs insertSQL. Rows are in order of their keys, so that two replicas that store the same events
// lock them in the same order; an event that is twice in the group is one row, because a statement may not touch a row
// twice.
func (b *inbox) insert(ctx context.Context, group []*waiting) (map[key]stored, error) {
	counts := make(map[key]int64, len(group))
	distinct := make([]*waiting, 0, len(group))
	for _, w := range group {
		count, known := counts[w.key()]
		if !known {
			distinct = append(distinct, w)
		}
		if w.source == sourceDelivery {
			count++
		}
		counts[w.key()] = count
	}
	slices.SortFunc(distinct, func(a, b *waiting) int {
		return cmp.Or(cmp.Compare(a.endpoint, b.endpoint), cmp.Compare(a.event.id, b.event.id))
	})
	room := b.queue.reserve(len(distinct))
	var leased []webhookdb.WebhookEvent
	defer func() { b.queue.take(room, leased) }()
	rows, err := b.pool.Query(ctx, insertSQL, insertArgs(distinct, counts, room)...)
	if err != nil {
		return nil, fmt.Errorf("insert deliveries: %w", err)
	}
	results := make(map[key]stored, len(distinct))
	var k key
	var result stored
	_, err = pgx.ForEachRow(rows, []any{&k.endpoint, &k.eventID, &result.state, &result.isNew}, func() error {
		results[k] = result
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("insert deliveries: %w", err)
	}
	for _, w := range distinct[:room] {
		if results[w.key()].isNew {
			leased = append(leased, w.row(counts[w.key()]))
		}
	}
	return results, nil
}

// row is what was just stored.
func (d delivery) row(count int64) webhookdb.WebhookEvent {
	row := webhookdb.WebhookEvent{
		Endpoint: d.endpoint, EventID: d.event.id, Source: d.source, Type: d.event.typ, ApiVersion: d.event.apiVersion, Livemode: d.event.livemode,
		StripeAccount: d.event.account, ObjectID: d.event.objectID, ReceiveTime: d.receiveTime, DeliveryCount: count, State: stateReceived,
		QueueTime: d.receiveTime, Body: d.body,
	}
	if !d.event.created.IsZero() {
		row.CreateTime = &d.event.created
	}
	return row
}

// insertArgs turns rows into columns; the first so many are leased.
func insertArgs(group []*waiting, counts map[key]int64, room int) []any {
	n := len(group)
	var (
		endpoints, ids, sources, types = make([]string, n), make([]string, n), make([]string, n), make([]string, n)
		versions, accounts, objects    = make([]string, n), make([]string, n), make([]string, n)
		modes, leased                  = make([]bool, n), make([]bool, n)
		created                        = make([]*time.Time, n)
		received                       = make([]time.Time, n)
		deliveries                     = make([]int64, n)
		bodies                         = make([][]byte, n)
	)
	for i, w := range group {
		endpoints[i], ids[i], sources[i], types[i] = w.endpoint, w.event.id, w.source, w.event.typ
		versions[i], accounts[i], objects[i] = w.event.apiVersion, w.event.account, w.event.objectID
		modes[i], received[i], deliveries[i], bodies[i] = w.event.livemode, w.receiveTime, counts[w.key()], w.body
		leased[i] = i < room
		if !w.event.created.IsZero() {
			created[i] = &w.event.created
		}
	}
	return []any{
		endpoints, ids, sources, types, versions, modes, accounts, objects, created, received, deliveries, bodies, leased, leaseTime,
	}
}

// store puts a delivery into the inbox. An event that is delivered once more after its tries were used up is put back
// to work: Stripe, or somebody at its dashboard, asks for it.
func (s *Service) store(ctx context.Context, d delivery) (stored, error) {
	result, err := s.inbox.store(ctx, d)
	if err != nil {
		return stored{}, err
	}
	crash.At(crash.WebhookStored)
	if !result.isNew && result.state == stateDead && d.source == sourceDelivery {
		if _, err := requeue(ctx, s.Pool, s.Clock.Now(), "state = 'dead' and endpoint = $2 and event_id = $3", d.endpoint, d.event.id); err != nil {
			return stored{}, err
		}
		s.queue.nudge()
	}
	return result, nil
}
