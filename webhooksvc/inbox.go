package webhooksvc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/dayof/dayof/internal/chassis/crash"
	"github.com/dayof/dayof/internal/chassis/jobs"
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

// inbox stores deliveries, together with the job of each, before they are answered.
//
// A delivery costs one flush of one statement, commit included. Deliveries that arrive at the same time share the
// statement and the commit: with 200 of them in flight the disk is asked for a few commits, not for 200.
type inbox struct {
	pool *pgxpool.Pool

	mu      sync.Mutex
	pending []*waiting
	writers int
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

func newInbox(pool *pgxpool.Pool) *inbox { return &inbox{pool: pool} }

// store returns when the delivery is durable. After an error the outcome is unknown, or the delivery is not stored;
// a repeat is safe.
func (b *inbox) store(ctx context.Context, d delivery) (stored, error) {
	w := &waiting{delivery: d, done: make(chan storeResult, 1)}
	b.mu.Lock()
	if len(b.pending) >= inboxPendingMax {
		b.mu.Unlock()
		return stored{}, errInboxFull
	}
	b.pending = append(b.pending, w)
	if b.writers < inboxWritersMax {
		b.writers++
		go b.write(context.WithoutCancel(ctx)) // it serves others too, and ends when nobody waits
	}
	b.mu.Unlock()
	select {
	case o := <-w.done:
		return o.stored, o.err
	case <-ctx.Done():
		return stored{}, fmt.Errorf("store delivery: %w", ctx.Err())
	}
}

// write stores groups until nothing waits.
func (b *inbox) write(ctx context.Context) {
	for {
		group := b.next()
		if len(group) == 0 {
			return
		}
		writeGroup(ctx, b.pool, group)
	}
}

// next takes the deliveries of one statement, in order of arrival. None means that the writer ends.
func (b *inbox) next() []*waiting {
	b.mu.Lock()
	defer b.mu.Unlock()
	count, size := 0, 0
	for count < len(b.pending) && count < inboxGroupMax {
		if size += len(b.pending[count].body); count > 0 && size > inboxGroupSizeMax {
			break
		}
		count++
	}
	if count == 0 {
		b.writers--
		b.pending = nil // gives back the memory of a flood
		return nil
	}
	group := b.pending[:count:count]
	b.pending = b.pending[count:]
	return group
}

// writeGroup stores a group and answers each sender. If Postgres refuses the statement, each delivery is tried alone: one
// that cannot be stored must not take others with it, and a deadlock between replicas does not come twice.
func writeGroup(ctx context.Context, pool *pgxpool.Pool, group []*waiting) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	results, err := insertDeliveries(ctx, pool, group)
	if _, refused := errors.AsType[*pgconn.PgError](err); refused && len(group) > 1 {
		for i := range group {
			writeGroup(ctx, pool, group[i:i+1])
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

// insertSQL stores deliveries and inserts a job for each that is new, in one statement: one flush to Postgres, one
// commit. A repeat only counts up; xmax is 0 only in a row that was just inserted. A backfill never counts up: it is
// no delivery.
//
// The job's row is not written by River's client, because that would take its own round trips inside of an open
// transaction; TestInboxJob holds it against the row that River's client writes.
var insertSQL = `
with stored as (
	insert into webhook_events as e (endpoint, event_id, source, type, api_version, livemode, stripe_account, object_id,
		create_time, receive_time, queue_time, delivery_count, body)
	select endpoint, event_id, source, type, api_version, livemode, stripe_account, object_id,
		create_time, receive_time, receive_time, count, body
	from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::boolean[], $7::text[], $8::text[],
		$9::timestamptz[], $10::timestamptz[], $11::bigint[], $12::bytea[])
		as d (endpoint, event_id, source, type, api_version, livemode, stripe_account, object_id,
			create_time, receive_time, count, body)
	on conflict on constraint webhook_event_is_stored_once
	do update set delivery_count = e.delivery_count + excluded.delivery_count
	returning endpoint, event_id, state, xmax = 0 as is_new
), queued as (
	` + jobs.InsertSelect("jsonb_build_object('endpoint', endpoint, 'event_id', event_id)", "$13", "$14", "$15", "from stored where is_new") + `
)
select endpoint, event_id, state, is_new from stored`

// insertDeliveries runs insertSQL. Rows are in order of their keys, so that two replicas that store the same events
// lock them in the same order; an event that is twice in the group is one row, because a statement may not touch a row
// twice.
func insertDeliveries(ctx context.Context, pool *pgxpool.Pool, group []*waiting) (map[key]stored, error) {
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
	rows, err := pool.Query(ctx, insertSQL, insertArgs(distinct, counts)...)
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
	return results, nil
}

// insertArgs turns rows into columns.
func insertArgs(group []*waiting, counts map[key]int64) []any {
	n := len(group)
	var (
		endpoints, ids, sources, types = make([]string, n), make([]string, n), make([]string, n), make([]string, n)
		versions, accounts, objects    = make([]string, n), make([]string, n), make([]string, n)
		modes                          = make([]bool, n)
		created                        = make([]*time.Time, n)
		received                       = make([]time.Time, n)
		deliveries                     = make([]int64, n)
		bodies                         = make([][]byte, n)
	)
	for i, w := range group {
		endpoints[i], ids[i], sources[i], types[i] = w.endpoint, w.event.id, w.source, w.event.typ
		versions[i], accounts[i], objects[i] = w.event.apiVersion, w.event.account, w.event.objectID
		modes[i], received[i], deliveries[i], bodies[i] = w.event.livemode, w.receiveTime, counts[w.key()], w.body
		if !w.event.created.IsZero() {
			created[i] = &w.event.created
		}
	}
	return []any{
		endpoints, ids, sources, types, versions, modes, accounts, objects, created, received, deliveries, bodies,
		eventArgs{}.Kind(), eventPolicy.AttemptsMax(), eventQueue,
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
		if _, err := requeue(ctx, s.Pool, s.Clock.Now(), "state = 'dead' and endpoint = $5 and event_id = $6", d.endpoint, d.event.id); err != nil {
			return stored{}, err
		}
	}
	return result, nil
}
