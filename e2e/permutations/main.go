// Command permutations replays each scenario of a payment in every order, doubled, and all at once, over several replicas of a
// whole dayof, and wants each to end the same. Of scenarios with more orders than -count it takes that many, made from the
// seed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/devenv/cluster"
	"github.com/dayof/dayof/devenv/idle"
	"github.com/dayof/dayof/devenv/invariant"
	"github.com/dayof/dayof/devenv/pgtest"
	"github.com/dayof/dayof/devenv/scenario"
	"github.com/dayof/dayof/internal/chassis/clock"
)

// errFailed ends the command when a run of a scenario did not end as it must.
var errFailed = errors.New("not every scenario ended as it must")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "permutations:", err)
		os.Exit(1)
	}
}

// plan says which scenarios are replayed, and in how many orders.
type plan struct {
	events, only                     string
	count, parallel, batch, replicas int
	seed                             uint64
	clock                            clock.Clock
	out                              io.Writer
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("permutations", flag.ContinueOnError)
	p := plan{clock: clock.System{}, out: out}
	flags.StringVar(&p.events, "events", "devenv/scenario/testdata", "`DIR` of scenarios files (*.json) and their folders of events")
	flags.StringVar(&p.only, "only", "", "`KEYS` of the scenarios to replay, separated by commas; default: all")
	flags.IntVar(&p.count, "count", 500, "how many `orders` of a scenario that has more")
	flags.Uint64Var(&p.seed, "seed", rand.Uint64(), "`SEED` of the orders")
	flags.IntVar(&p.parallel, "parallel", 8, "how many `runs` are served at the same time")
	flags.IntVar(&p.batch, "batch", 250, "`runs` that are replayed in step")
	flags.IntVar(&p.replicas, "replicas", 2, "`replicas` of each service")
	if err := flags.Parse(args); err != nil {
		return err
	}
	return p.run(ctx)
}

// load reads all scenarios, those of the command line only.
func (p plan) load() ([]scenario.Scenario, error) {
	files, err := filepath.Glob(filepath.Join(p.events, "*.json"))
	if err != nil {
		return nil, err
	}
	var all []scenario.Scenario
	for _, file := range files {
		some, err := scenario.Load(file)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	if p.only != "" {
		keys := strings.Split(p.only, ",")
		all = slices.DeleteFunc(all, func(s scenario.Scenario) bool { return !slices.Contains(keys, s.Key) })
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no scenarios in %s", p.events)
	}
	return all, nil
}

func (p plan) run(ctx context.Context) (err error) {
	all, err := p.load()
	if err != nil {
		return err
	}
	m, err := cluster.Start(ctx, cluster.Config{
		Replicas: p.replicas, PostgresSettings: pgtest.Settings(), Clock: p.clock,
		// Stripe's side of a scenario was made long before its events come, which reconciliation would report.
		Settings: map[string]string{"DAYOF_CHECKOUT_SWEEP_INTERVAL": "200ms", "DAYOF_LEDGER_RECONCILE_INTERVAL": "0s"},
	})
	if err != nil {
		return fmt.Errorf("start the system: %w", err)
	}
	defer func() { err = errors.Join(err, m.Stop(context.WithoutCancel(ctx))) }()
	var clients []*client.Client
	for n := range p.replicas {
		clients = append(clients, client.NewClient(m.ReplicaFile(n)))
	}
	began := p.clock.Now()
	fmt.Fprintf(p.out, "seed %d\n", p.seed)
	runs, failed, err := p.replay(ctx, clients, all)
	if err != nil {
		return err
	}
	violations, err := p.check(ctx, m.File)
	if err != nil {
		return err
	}
	fmt.Fprintf(p.out, "%d scenarios, %d runs, %d failed, %d violations, seed %d, %v\n",
		len(all), runs, failed, violations, p.seed, p.clock.Now().Sub(began).Round(time.Second))
	if failed > 0 || violations > 0 {
		return errFailed
	}
	return nil
}

// batchTimeout is how long a batch may take: seconds on an idle machine.
const batchTimeout = 10 * time.Minute

// replay plays all scenarios in all their ways, so many runs in step.
func (p plan) replay(ctx context.Context, clients []*client.Client, all []scenario.Scenario) (played, failed int, err error) {
	watch, err := idle.NewWatch(ctx, clients[0])
	if err != nil {
		return 0, 0, err
	}
	defer watch.Close()
	var runs []scenario.Run
	for _, s := range all {
		some := scenario.Runs(s, p.count, p.seed)
		fmt.Fprintf(p.out, "%s: %d runs of %d events\n", s.Key, len(some), len(s.Files))
		runs = append(runs, some...)
	}
	for batch := range slices.Chunk(runs, p.batch) {
		began := p.clock.Now()
		ctx, cancel := context.WithTimeout(ctx, batchTimeout)
		results, err := scenario.ReplayAll(ctx, clients, watch, batch, scenario.Options{Events: p.events, Clock: p.clock}, p.parallel)
		cancel()
		if err != nil {
			return played, failed, err
		}
		bad := 0
		for i, r := range results {
			if !r.Passed {
				bad++
				fmt.Fprintf(p.out, "FAILED %s, %s, order %s: %s %+v\n", r.Key, batch[i].Way, r.OrderID, r.Error, r.Differences)
			}
		}
		played, failed = played+len(results), failed+bad
		fmt.Fprintf(p.out, "%d of %d runs, %s to %s: %d failed, %v\n", played, len(runs), batch[0].Scenario.Key, batch[len(batch)-1].Scenario.Key, bad,
			p.clock.Now().Sub(began).Round(100*time.Millisecond))
	}
	return played, failed, nil
}

// check checks all invariants once more, over all that was replayed.
func (p plan) check(ctx context.Context, file client.File) (violations int, err error) {
	results, err := invariant.Run(ctx, file)
	if err != nil {
		return 0, err
	}
	for _, r := range results {
		for _, v := range r.Violations {
			violations++
			fmt.Fprintf(p.out, "VIOLATION %s: %s\n", r.Name, v)
		}
	}
	return violations, nil
}
