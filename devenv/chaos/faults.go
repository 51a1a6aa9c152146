package chaos

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// injectAll makes all injections of the plan, one after the other.
func (h *harness) injectAll(ctx context.Context) {
	for _, b := range h.plan {
		if ctx.Err() != nil {
			return
		}
		h.say("%s", b)
		if err := h.inject(ctx, b); err != nil && ctx.Err() == nil {
			h.say("%s: %v", b, err)
		}
		h.injected.Add(1)
		rest(ctx, b.pause)
	}
}

// rest waits for a while, or until ctx ends.
func rest(ctx context.Context, length time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(length):
	}
}

// inject breaks one thing, waits, and mends it again.
func (h *harness) inject(ctx context.Context, b injection) error {
	lasting := context.WithoutCancel(ctx) // what was broken is mended, whatever ends meanwhile
	switch b.kind {
	case kill:
		if err := h.cluster.Kill(b.service, b.replica); err != nil {
			return err
		}
		h.noteFailure(b.service)
		h.report.Killed++
		rest(ctx, b.length)
		return h.cluster.Restart(lasting, b.service, b.replica)
	case freeze:
		if err := h.cluster.Freeze(b.service, b.replica); err != nil {
			return err
		}
		h.noteFailure(b.service)
		h.report.Frozen++
		rest(ctx, b.length)
		return h.cluster.Thaw(b.service, b.replica)
	case fail:
		if err := h.cluster.Sandbox.Faults.Set(b.party, b.fault()); err != nil {
			return err
		}
		rest(ctx, b.length)
		h.cluster.Sandbox.Faults.Clear(b.party)
		return nil
	case terminate:
		return h.asOutsider(ctx, terminateBackends)
	case restart:
		return errors.Join(h.cluster.Postgres.Crash(), h.cluster.Postgres.Restart(lasting))
	case exhaust:
		return h.exhaustConnections(ctx, b.length)
	}
	return fmt.Errorf("nobody knows how to %s", b.kind)
}

// noteFailure notes when a replica of checkoutsvc was killed or stopped: its fulfilment attempts may be orphans from then on.
func (h *harness) noteFailure(service string) {
	if service == "checkout" {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.failures = append(h.failures, h.cluster.Clock().Now())
	}
}

// asOutsider runs f on a connection of its own, beside those of the services.
func (h *harness) asOutsider(ctx context.Context, f func(ctx context.Context, conn *pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, h.cluster.Postgres.URL("postgres"))
	if err != nil {
		return err
	}
	return errors.Join(f(ctx, conn), conn.Close(context.WithoutCancel(ctx)))
}

// terminateBackends cuts every connection of every service.
func terminateBackends(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, `select pg_terminate_backend(pid) from pg_stat_activity
		where pid <> pg_backend_pid() and backend_type = 'client backend' and application_name <> 'outsider'`)
	return err
}

const (
	// outsidersMax is above what any server of ours allows.
	outsidersMax = 1000
	// outsidersAtOnce is how many connections are made at a time: one after the other takes minutes on a busy machine.
	outsidersAtOnce = 16
)

// exhaustConnections takes every connection that the server has: first those that are free, then those that the services
// lose to it. It keeps them for a while.
func (h *harness) exhaustConnections(ctx context.Context, length time.Duration) (err error) {
	config, err := pgx.ParseConfig(h.cluster.Postgres.URL("postgres"))
	if err != nil {
		return err
	}
	config.RuntimeParams["application_name"] = "outsider"
	var mu sync.Mutex
	var taken []*pgx.Conn
	defer func() {
		for _, conn := range taken {
			err = errors.Join(err, conn.Close(context.WithoutCancel(ctx)))
		}
		h.say("an outsider had %d connections", len(taken))
	}()
	take := func() bool {
		conn, err := pgx.ConnectConfig(ctx, config)
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			taken = append(taken, conn)
		}
		return err == nil && len(taken) < outsidersMax
	}
	var takers sync.WaitGroup
	for range outsidersAtOnce {
		takers.Go(func() {
			for take() { // until none is left
			}
		})
	}
	takers.Wait()
	if len(taken) == 0 {
		return errors.New("not one connection was free")
	}
	if err := terminateBackends(ctx, taken[0]); err != nil {
		return err
	}
	for end := h.cluster.Clock().Now().Add(length); h.cluster.Clock().Now().Before(end); {
		if !take() {
			rest(ctx, settlePoll/10)
		}
		if ctx.Err() != nil {
			return nil
		}
	}
	return nil
}

// shuffleMS is up to how long Stripe delays each event, so that they arrive in any order.
const shuffleMS = 300

// disorderEvents has Stripe send events in any order, and some twice.
func (h *harness) disorderEvents(ctx context.Context) error {
	_, err := h.clients[0].Stripe.Control(ctx, http.MethodPatch, "/_sandbox/settings", map[string]any{"shuffle_ms": shuffleMS, "duplicate_rate": 0.05})
	if err != nil {
		return fmt.Errorf("disorder Stripe's events: %w", err)
	}
	return nil
}
