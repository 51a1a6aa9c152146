package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/devenv/cluster"
	"github.com/dayof/dayof/devenv/idle"
	"github.com/dayof/dayof/devenv/invariant"
	"github.com/dayof/dayof/devenv/pgtest"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/pgdb"
)

// plan is how many sequences are played, and how.
type plan struct {
	count, seed, parallel, batch, system, replicas int
	verbose                                        bool
	clock                                          clock.Clock
	of                                             func(number int) sequence
	out                                            io.Writer
}

// restTimeout is how long a batch may take to come to rest: seconds on an idle machine.
const restTimeout = 3 * time.Minute

// run plays all sequences. It goes on after one that failed, and reports all of them in the end.
func (p plan) run(ctx context.Context) error {
	began := p.clock.Now()
	var sum tally
	fmt.Fprintf(p.out, "%d sequences from seed %d\n", p.count, p.seed)
	for done := 0; done < p.count && ctx.Err() == nil; done += p.system {
		if err := p.playSystem(ctx, done, min(p.system, p.count-done), &sum); err != nil {
			return err
		}
	}
	fmt.Fprintf(p.out, "%d sequences, seed %d, %v: %s\n", sum.played, p.seed, p.clock.Now().Sub(began).Round(time.Second), sum)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case sum.violations > 0:
		return errViolated
	}
	return nil
}

// playSystem starts a system, plays sequences on it, batch by batch, and stops it.
func (p plan) playSystem(ctx context.Context, from, count int, sum *tally) (err error) {
	m, err := cluster.Start(ctx, cluster.Config{
		Replicas: p.replicas, PostgresSettings: pgtest.Settings(), Clock: p.clock,
		Settings: map[string]string{"DAYOF_CHECKOUT_SWEEP_INTERVAL": "200ms"},
	})
	if err != nil {
		return fmt.Errorf("start the system: %w", err)
	}
	defer func() { err = errors.Join(err, m.Stop(context.WithoutCancel(ctx))) }()
	return p.playOn(ctx, m, from, count, sum)
}

// settledIn is the currency that a system keeps its balance in that converts all money.
const settledIn = "USD"

// playOn plays sequences on a running system. Of four systems one reports fees late, as asynchronous capture does, one
// reports refunds by their sums only, as accounts do that are older than refund.created, and one keeps all its money in one currency:
// what leaves it leaves at another rate than what came. One takes a fee of debits that fail.
func (p plan) playOn(ctx context.Context, m *cluster.Cluster, from, count int, sum *tally) error {
	system := client.NewClient(m.File)
	kind := (p.seed + from) / max(p.system, 1) % 4
	settings := map[string]any{
		"shuffle_ms": 150, "duplicate_rate": 0.3, "available_delay_seconds": 0, "amount_max_minor_units": 2 * exact,
		"async_fees": kind == 3, "legacy_refund_events": kind == 1,
	}
	settled := ""
	switch kind {
	case 0:
		settings["failed_payment_fee_minor_units"] = 350
	case 2:
		settled = settledIn
		settings["settlement_currency"] = strings.ToLower(settled)
		settings["settlement_rate_ppm"], settings["settlement_return_rate_ppm"] = 1_103_007, 1_069_993
	}
	if _, err := system.Stripe.Control(ctx, http.MethodPatch, "/_sandbox/settings", settings); err != nil {
		return err
	}
	goods, err := newCatalog(ctx, system, p.clock)
	if err != nil {
		return err
	}
	pool, err := pgdb.Open(ctx, m.File.DatabaseURLs["checkout"], pgdb.Options{MaxConns: 2, ApplicationName: "sequences"})
	if err != nil {
		return err
	}
	defer pool.Close()
	watch, err := idle.NewWatch(ctx, system)
	if err != nil {
		return err
	}
	defer watch.Close()
	on := &player{client: system, faults: m.Sandbox.Faults, checkout: pool, catalog: goods, settled: settled}
	for done := 0; done < count && ctx.Err() == nil; done += p.batch {
		if err := p.playBatch(ctx, on, watch, from+done, min(p.batch, count-done), sum); err != nil {
			return err
		}
	}
	return nil
}

// playBatch plays sequences side by side, waits until nothing is left to do, and checks everything.
func (p plan) playBatch(ctx context.Context, on *player, watch *idle.Watch, from, count int, sum *tally) error {
	began := p.clock.Now()
	batch := make([]*played, count)
	errs := make([]error, count)
	each(p.parallel, count, func(i int) {
		batch[i], errs[i] = on.play(ctx, p.of(p.seed+from+i))
	})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	rest, cancel := context.WithTimeout(ctx, restTimeout)
	defer cancel()
	restErr := watch.Await(rest, idle.Scope{})
	before := sum.violations
	for i, o := range batch {
		sum.count(o)
		if p.verbose {
			fmt.Fprintf(p.out, "%s -> %s\n", o.sequence, o.cart.OrderID)
		}
		if errs[i] != nil {
			p.report(sum, o, "could not be played: "+errs[i].Error())
		}
	}
	if restErr != nil {
		p.report(sum, nil, "does not come to rest: "+restErr.Error())
	}
	t, err := readTruth(ctx, on.client)
	if err != nil {
		return err
	}
	found := make([][]string, count)
	each(p.parallel, count, func(i int) {
		if errs[i] == nil {
			found[i] = t.checkOrder(ctx, on.client, batch[i])
		}
	})
	for i, violations := range found {
		for _, v := range violations {
			p.report(sum, batch[i], v)
		}
	}
	for _, v := range t.checkBooks() {
		p.report(sum, nil, v)
	}
	results, err := invariant.Run(ctx, on.client.File)
	if err != nil {
		return err
	}
	for _, r := range results {
		for _, v := range r.Violations {
			p.report(sum, nil, r.Name+": "+v)
		}
	}
	fmt.Fprintf(p.out, "sequences %d to %d: %d violations, %v\n", p.seed+from, p.seed+from+count-1, sum.violations-before,
		p.clock.Now().Sub(began).Round(100*time.Millisecond))
	return nil
}

// report prints a violation, with the sequence if it is one's.
func (p plan) report(sum *tally, o *played, violation string) {
	sum.violations++
	if o == nil {
		fmt.Fprintf(p.out, "VIOLATION %s\n", violation)
		return
	}
	fmt.Fprintf(p.out, "VIOLATION order %s: %s\n  sequence %s\n  refused: %q\n", o.cart.OrderID, violation, o.sequence, o.log)
}

// each runs f for 0 to count-1, so many at a time, and waits for all.
func each(parallel, count int, f func(i int)) {
	next := make(chan int)
	done := make(chan struct{})
	for range parallel {
		go func() {
			for i := range next {
				f(i)
			}
			done <- struct{}{}
		}()
	}
	for i := range count {
		next <- i
	}
	close(next)
	for range parallel {
		<-done
	}
}

// tally counts what the sequences came to.
type tally struct {
	played, steps, refused, violations int
}

func (t *tally) count(o *played) {
	t.played++
	t.steps += len(o.steps)
	t.refused += o.refused
}

func (t tally) String() string {
	return fmt.Sprintf("%d steps, %d of them refused, %d violations", t.steps, t.refused, t.violations)
}
