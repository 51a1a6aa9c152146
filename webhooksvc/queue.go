package webhooksvc

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/dayof/dayof/webhooksvc/webhookdb"
)

const (
	// leaseTime is for how long an event is one process's own. A process that lives renews what it has for longer than leaseRenewal; what
	// one had that died is taken by another one when the lease has ended.
	leaseTime    = 6 * time.Second
	leaseRenewal = 2 * time.Second
	// pollInterval is how often a process looks for events that are due and that nobody told it of: of a process that died, or those
	// that another one delayed or had no room for.
	pollInterval = 2 * time.Second
	// standBackTime is for how long a process claims nothing after an event failed because a service is away: another process, which may
	// reach what this one does not, polls meanwhile and comes first.
	standBackTime = 2 * pollInterval
	// leasesPerWorker is how many events a process has at once, so that its workers need not wait for the next statement.
	leasesPerWorker = 4
	// releaseTimeout bounds giving back what a process that stops has not done.
	releaseTimeout = 5 * time.Second
)

// lease names an event that this process has, in one run.
type lease struct {
	key
	replay int32
}

func leaseOf(row webhookdb.WebhookEvent) lease {
	return lease{key: key{row.Endpoint, row.EventID}, replay: row.ReplayCount}
}

// held is what this process knows of an event that it has.
type held struct {
	old     bool // it was there at the last renewal
	settled bool // its next try, or its end, is being written: it is renewed no more
}

// queue gives open events to the workers of this process: what it stored itself at once, from memory, and what else is due by claiming
// it. The rows are the queue; a lease only keeps two processes from doing the same work, which would be harmless.
type queue struct {
	pool    *pgxpool.Pool
	logger  *slog.Logger
	workers int
	work    func(ctx context.Context, row webhookdb.WebhookEvent)

	todo chan webhookdb.WebhookEvent // has room for all leases
	wake chan struct{}               // holds one

	mu       sync.Mutex
	open     bool // between start and stop
	reserved int  // leases that are being written
	leases   map[lease]*held
	behind   bool        // more may be due than there was room for
	away     bool        // a service was away at the last try
	rest     *time.Timer // runs while others shall claim, because of that; nil: it does not

	stopPolling, interrupt context.CancelFunc
	pollers, busy          sync.WaitGroup
}

func newQueue(pool *pgxpool.Pool, logger *slog.Logger, workers int, work func(context.Context, webhookdb.WebhookEvent)) *queue {
	return &queue{
		pool: pool, logger: logger, workers: workers, work: work,
		todo: make(chan webhookdb.WebhookEvent, workers*leasesPerWorker), wake: make(chan struct{}, 1), leases: map[lease]*held{},
	}
}

// start begins to work, until stop.
func (q *queue) start(ctx context.Context) {
	ctx = context.WithoutCancel(ctx)
	polling, stopPolling := context.WithCancel(ctx)
	working, interrupt := context.WithCancel(ctx)
	q.stopPolling, q.interrupt = stopPolling, interrupt
	q.mu.Lock()
	q.open = true
	q.mu.Unlock()
	q.pollers.Go(func() { q.poll(polling) })
	q.pollers.Go(func() { q.renew(polling) })
	for range q.workers {
		q.busy.Go(func() {
			for row := range q.todo {
				if working.Err() == nil {
					q.work(working, row)
				}
				q.release(leaseOf(row))
			}
		})
	}
}

// stop takes nothing more, waits for the tries that are under way, interrupts them when ctx ends, and gives back what was not done.
func (q *queue) stop(ctx context.Context) error {
	q.mu.Lock()
	if !q.open {
		q.mu.Unlock()
		return nil
	}
	q.open = false
	q.mu.Unlock()
	q.stopPolling()
	q.pollers.Wait()
	var left []lease
	for q.isWriting() || len(q.todo) > 0 { // what was promised to a statement under way still comes
		select {
		case row := <-q.todo:
			left = append(left, leaseOf(row))
		case <-time.After(time.Millisecond):
		}
	}
	close(q.todo)
	done := make(chan struct{})
	go func() {
		q.busy.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		q.interrupt()
		left = append(left, q.all()...)
		<-done
	}
	q.interrupt()
	return q.giveBack(ctx, left)
}

// isWriting says whether leases are being written.
func (q *queue) isWriting() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.reserved > 0
}

// all are all leases.
func (q *queue) all() []lease {
	q.mu.Lock()
	defer q.mu.Unlock()
	var all []lease
	for l := range q.leases {
		all = append(all, l)
	}
	return all
}

// reserve promises room for up to n more leases and says for how many. Each promise is kept by take.
func (q *queue) reserve(n int) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	room := min(n, cap(q.todo)-len(q.leases)-q.reserved)
	if !q.open {
		room = 0
	}
	q.behind = q.behind || room < n
	q.reserved += room
	return room
}

// take gives rows to the workers, for a promise of room for so many.
func (q *queue) take(room int, rows []webhookdb.WebhookEvent) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.reserved -= room
	for _, row := range rows {
		if _, twice := q.leases[leaseOf(row)]; twice {
			continue // a lease that ended while its work went on
		}
		q.leases[leaseOf(row)] = &held{}
		q.todo <- row
	}
	q.catchUp()
}

// settle says that the outcome of a try is about to be written.
func (q *queue) settle(l lease) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if h := q.leases[l]; h != nil {
		h.settled = true
	}
}

// release ends a lease.
func (q *queue) release(l lease) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.leases, l)
	q.catchUp()
}

// catchUp looks for more where more may be due and there is room for a good part of it.
func (q *queue) catchUp() {
	if q.behind && len(q.leases)+q.reserved <= cap(q.todo)/2 {
		q.nudge()
	}
}

// nudge lets the process look for what is due, now.
func (q *queue) nudge() {
	select {
	case q.wake <- struct{}{}:
	default: // it will
	}
}

// nudgeIn is nudge after a while.
func (q *queue) nudgeIn(d time.Duration) { time.AfterFunc(d, q.nudge) }

// poll looks for what is due, again and again.
func (q *queue) poll(ctx context.Context) {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		if err := q.claim(ctx); err != nil && ctx.Err() == nil {
			q.logger.LogAttrs(ctx, slog.LevelWarn, "webhook events cannot be read", slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-q.wake:
		}
	}
}

// standBack lets others claim what is due, for a while: a service is away.
func (q *queue) standBack() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.away = true
	if q.rest == nil {
		q.rest = time.AfterFunc(standBackTime, q.claimAgain)
	}
}

// claimAgain ends the time of others.
func (q *queue) claimAgain() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.rest = nil
	q.nudge()
}

// goOn ends what standBack began: a try came to an end.
func (q *queue) goOn() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.away {
		q.away = false
		q.nudge()
	}
}

// claimMax is how many events to claim at once: half of all room is for what is stored meanwhile. While a service is away it is none, and
// then one, to find out.
func (q *queue) claimMax() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case !q.away:
		return cap(q.todo) / 2
	case q.rest != nil:
		return 0
	}
	return 1
}

// claim takes what is due, as far as there is room.
func (q *queue) claim(ctx context.Context) error {
	q.setBehind(false)
	room := q.reserve(q.claimMax())
	if room == 0 {
		return nil // release looks again
	}
	due, err := new(webhookdb.Queries).ClaimWebhookEvents(ctx, q.pool, leaseTime.Seconds(), int32(room))
	if len(due) == room {
		q.setBehind(true)
	}
	q.take(room, due)
	return err
}

// setBehind says whether more may be due than there was room for.
func (q *queue) setBehind(behind bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.behind = behind
}

// renew keeps the leases of what takes long.
func (q *queue) renew(ctx context.Context) {
	tick := time.NewTicker(leaseRenewal)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := q.setNextTry(ctx, q.longHeld(), leaseTime); err != nil && ctx.Err() == nil {
			q.logger.LogAttrs(ctx, slog.LevelWarn, "leases of webhook events cannot be renewed", slog.Any("error", err))
		}
	}
}

// longHeld are the leases that were there a while ago already.
func (q *queue) longHeld() []lease {
	q.mu.Lock()
	defer q.mu.Unlock()
	var long []lease
	for l, h := range q.leases {
		if h.old && !h.settled {
			long = append(long, l)
		}
		h.old = true
	}
	return long
}

// giveBack lets other processes have what this one did not do.
func (q *queue) giveBack(ctx context.Context, left []lease) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer cancel()
	if err := q.setNextTry(ctx, left, 0); err != nil {
		return fmt.Errorf("give back webhook events: %w", err)
	}
	return nil
}

// setNextTry moves the next try of open events to some time from now.
func (q *queue) setNextTry(ctx context.Context, leases []lease, in time.Duration) error {
	if len(leases) == 0 {
		return nil
	}
	var endpoints, ids []string
	var replays []int32
	for _, l := range leases {
		endpoints, ids, replays = append(endpoints, l.endpoint), append(ids, l.eventID), append(replays, l.replay)
	}
	_, err := q.pool.Exec(ctx, `
		update webhook_events as e set next_try_time = now() + $4::interval
		from unnest($1::text[], $2::text[], $3::integer[]) as l (endpoint, event_id, replay_count)
		where e.endpoint = l.endpoint and e.event_id = l.event_id and e.replay_count = l.replay_count and e.state in ('received', 'deferred')`,
		endpoints, ids, replays, in)
	return err
}
