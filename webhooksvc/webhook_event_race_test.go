package webhooksvc

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/internal/chassis/problem"
)

// TestReplicas has two processes on one database: each event is applied once, whoever stored it.
func TestReplicas(t *testing.T) {
	t.Parallel()
	w := newHarness(t, nil)
	other, err := New(w.Deps)
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Stop(t.Context()) })
	second := *w
	second.Service = other
	second.url = second.serve(t)
	var posts sync.WaitGroup
	const events = 20
	for i := range events {
		body := intentBody(fmt.Sprintf("evt_%d", i))
		for _, replica := range []*harness{w, &second} {
			posts.Go(func() {
				if answer := replica.deliver(t, accountPath, accountSecret, body); answer.status != 200 {
					t.Errorf("answer %d", answer.status)
				}
			})
		}
	}
	posts.Wait()
	await(t, "all to be applied", func() bool {
		return w.count(t, "SELECT count(*) FROM webhook_events WHERE state = 'applied' AND delivery_count = 2") == events
	})
	if got := len(w.peers.got()); got != events {
		t.Errorf("%d calls for %d events", got, events)
	}
}

// TestFrozenPeers acknowledges although every worker is stuck in a call.
func TestFrozenPeers(t *testing.T) {
	t.Parallel()
	w := newHarness(t, func(c *Config, _ *Deps) { c.Workers = 2 })
	thaw := make(chan struct{})
	w.peers.answerWith(func(peerCall) error {
		<-thaw
		return nil
	})
	const events = 30
	for i := range events {
		w.deliver(t, accountPath, accountSecret, intentBody(fmt.Sprintf("evt_%d", i))).must(t)
	}
	await(t, "both workers to be stuck", func() bool { return len(w.peers.got()) == 2 })
	if received, _, err := w.Open(t.Context()); err != nil || received != events {
		t.Errorf("%d events are open, %v", received, err)
	}
	close(thaw)
	await(t, "all to be applied", func() bool {
		return w.count(t, "SELECT count(*) FROM webhook_events WHERE state = 'applied'") == events
	})
}

// TestStopInterrupts stops a process in the middle of a call; the next one goes on with the same key, and the event
// counts no try for it.
func TestStopInterrupts(t *testing.T) {
	t.Parallel()
	w := newQuietHarness(t, nil)
	if err := w.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	thaw := make(chan struct{})
	t.Cleanup(func() { close(thaw) })
	w.peers.answerWith(func(peerCall) error {
		<-thaw
		return nil
	})
	w.deliver(t, accountPath, accountSecret, intentBody("evt_1")).must(t)
	await(t, "the call", func() bool { return len(w.peers.got()) == 1 })
	hurry, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.Stop(hurry); err != nil {
		t.Logf("stop: %v", err)
	}
	if got := w.row(t, "evt_1"); got.State != stateReceived || got.Attempts != 0 {
		t.Errorf("row after the stop: %+v", got)
	}
	w.peers.answerWith(nil)
	next, err := New(w.Deps)
	if err != nil {
		t.Fatal(err)
	}
	if err := next.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = next.Stop(context.WithoutCancel(t.Context())) })
	w.awaitState(t, "evt_1", stateApplied)
	calls := w.peers.got()
	if len(calls) != 2 || calls[0].key != calls[1].key {
		t.Errorf("calls %v", calls)
	}
}

// TestReplayDuringTry asks for a replay while the former run is in the middle of its call: the end of that run must not
// be taken for the end of the replay.
func TestReplayDuringTry(t *testing.T) {
	t.Parallel()
	w := newHarness(t, nil)
	thaw := make(chan struct{})
	w.peers.answerWith(func(c peerCall) error {
		if c.key == "webhook/account/evt_1" {
			<-thaw
		}
		return nil
	})
	w.deliver(t, accountPath, accountSecret, intentBody("evt_1")).must(t)
	await(t, "the call of the first run", func() bool { return len(w.peers.got()) == 1 })
	err := pgx.BeginFunc(t.Context(), w.pool, func(tx pgx.Tx) error {
		if n, err := requeue(t.Context(), tx, w.clock.Now(), "event_id = $2", "evt_1"); n != 1 || err != nil {
			return fmt.Errorf("%d events, %w", n, err)
		}
		_, err := tx.Exec(t.Context(), "UPDATE webhook_events SET next_try_time = now() + interval '1 hour'") // held back
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	close(thaw)
	await(t, "the first run to end", func() bool { return len(w.queue.all()) == 0 })
	if got := w.row(t, "evt_1"); got.State != stateReceived {
		t.Errorf("the replay ended with the first run: %+v", got)
	}
	w.hurry(t)
	await(t, "the call of the replay", func() bool {
		calls := w.peers.got()
		return calls[len(calls)-1].key == "webhook/account/evt_1/replay-1"
	})
	w.awaitState(t, "evt_1", stateApplied)
}

// TestLeases has one process that holds an event for long, and one that died with another: the first one's is not tried by anybody
// else, the other one's is.
func TestLeases(t *testing.T) {
	t.Parallel()
	reached := newPeers(t)
	w := newHarness(t, func(_ *Config, d *Deps) { d.Payments = reached.paymentsWithin(tryTimeout) }) // longer than what is held
	other, err := New(w.Deps)
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Stop(context.WithoutCancel(t.Context())) })
	thaw := make(chan struct{})
	reached.answerWith(func(c peerCall) error {
		if c.key == "webhook/account/evt_held" {
			<-thaw
		}
		return nil
	})
	w.deliver(t, accountPath, accountSecret, intentBody("evt_held")).must(t)
	await(t, "the call", func() bool { return len(reached.got()) == 1 })
	w.queue.mu.Lock()
	w.queue.away, w.queue.rest = true, time.NewTimer(patience) // only the other one looks for what is due
	w.queue.mu.Unlock()
	var first time.Time
	nextTry := func(id string) (at time.Time) {
		if err := w.pool.QueryRow(t.Context(), "SELECT next_try_time FROM webhook_events WHERE event_id = $1", id).Scan(&at); err != nil {
			t.Fatal(err)
		}
		return at
	}
	first = nextTry("evt_held")
	w.exec(t, `INSERT INTO webhook_events (endpoint, event_id, source, type, api_version, livemode, stripe_account, object_id, receive_time, queue_time,
		delivery_count, body, next_try_time)
		SELECT endpoint, 'evt_lost', source, type, api_version, livemode, stripe_account, object_id, receive_time, queue_time, 1,
			convert_to(replace(convert_from(body, 'UTF8'), 'evt_held', 'evt_lost'), 'UTF8'), now() + $1::interval FROM webhook_events`, leaseTime)
	await(t, "the lease to be renewed", func() bool { return nextTry("evt_held").After(first) })
	w.awaitState(t, "evt_lost", stateApplied)
	close(thaw)
	w.awaitState(t, "evt_held", stateApplied)
	if calls := reached.got(); len(calls) != 2 {
		t.Errorf("calls %v", calls)
	}
}

// TestAwayForOneProcess has a process whose checkoutsvc is away leave its events to one that reaches its own: it does not keep claiming
// them, to fail once more and make them wait for longer each time.
func TestAwayForOneProcess(t *testing.T) {
	t.Parallel()
	w := newHarness(t, nil)
	reached := newPeers(t)
	d := w.Deps
	d.Payments = reached.payments()
	other, err := New(d)
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Stop(context.WithoutCancel(t.Context())) })
	w.peers.answerWith(func(peerCall) error { return problem.New(connect.CodeUnavailable, "UNAVAILABLE", "away") })
	const events = 40
	for i := range events {
		w.deliver(t, accountPath, accountSecret, intentBody(fmt.Sprintf("evt_%d", i))).must(t)
	}
	await(t, "all events to end", func() bool {
		return w.count(t, "SELECT count(*) FROM webhook_events WHERE state = 'applied'") == events
	})
	if tries := w.count(t, "SELECT sum(attempt_count) FROM webhook_events"); tries > 2*events+events/4 {
		t.Errorf("%d tries of %d events, want two each and a few more", tries, events)
	}
}
