// Command engines measures what a checkout attempt costs by who remembers how far it got: the order's row (ours), DBOS, River, Temporal, or
// a plain Node service with one transaction per step.
//
//	go run . [-callers 1,8,64] [-seconds 5] [-rounds 3] [-engines ours,dbos,river,temporal,node] [-jobs]
//	go run . -sale [-callers 1,8,64] [-seconds 5] [-rounds 3]
//
// An attempt has five steps: the order with its hold and stock; the payment intent at Stripe; the payment; the sale at the ledger; the
// tickets and the completed order. Stripe and the ledger answer at once, over HTTP. All engines run the same statements on the same
// tables with pools of the same size, on one Postgres with fsync on, and each is in the leanest shape that survives a crash after any
// step; its file says what that shape is. With -jobs the last commit also enqueues two follow-up jobs, mail and fee, and a
// measurement ends when they have run (node has none).
//
// Each round starts every engine by itself, warms it up, measures all numbers of callers and stops it, so that no engine's background
// work disturbs another. The order turns from round to round. Medians over the rounds are printed, since a shared machine makes every
// single figure doubtful. After each measurement orders, payments, tickets, stock and both parties' effects are counted: a
// difference ends the program.
//
// With -sale it measures whole sales instead: the product beside what a plain Node service does, see sale.go.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/devenv/postgres"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/pgdb"
)

func main() { os.Exit(program()) }

func program() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "engines:", err)
		return 1
	}
	return 0
}

// poolSize is how many connections to Postgres each engine has.
const poolSize = 32

// The engines, as flags and tables name them.
const (
	engineOurs     = "ours"
	engineDBOS     = "dbos"
	engineRiver    = "river"
	engineTemporal = "temporal"
	engineNode     = "node"
)

// engine makes attempts.
type engine interface {
	// attempt returns when the order is completed.
	attempt(ctx context.Context, p purchase) error
	stop(ctx context.Context) error
}

// settings are the flags.
type settings struct {
	callers []int
	length  time.Duration
	rounds  int
	engines []string
	jobs    bool
}

func run(ctx context.Context, args []string, out, errOut io.Writer) (err error) {
	flags := flag.NewFlagSet("engines", flag.ContinueOnError)
	callers := flags.String("callers", "1,8,64", "numbers of concurrent callers")
	seconds := flags.Int("seconds", 5, "length of one measurement")
	rounds := flags.Int("rounds", 3, "interleaved rounds, of which the median counts")
	engines := flags.String("engines", "ours,dbos,river,temporal,node", "engines to measure")
	jobs := flags.Bool("jobs", false, "enqueue two follow-up jobs with the last commit, and wait for them")
	sale := flags.Bool("sale", false, "measure whole sales: the product beside a plain Node service")
	if err := flags.Parse(args); err != nil {
		return err
	}
	s := settings{length: time.Duration(*seconds) * time.Second, rounds: *rounds, engines: strings.Split(*engines, ","), jobs: *jobs}
	for text := range strings.SplitSeq(*callers, ",") {
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("-callers: %w", err)
		}
		s.callers = append(s.callers, n)
	}
	if *sale {
		return runSales(ctx, s, out, errOut)
	}
	if s.jobs {
		s.engines = slices.DeleteFunc(s.engines, func(name string) bool { return name == engineNode })
	}
	return runEngines(ctx, s, out, errOut)
}

// bench runs engines on one Postgres.
type bench struct {
	settings

	postgres *postgres.Server
	admin    *pgx.Conn
	parties  *parties
	clock    clock.Clock
	nodeDir  string
	errOut   io.Writer
	results  map[string][]result
}

func runEngines(ctx context.Context, s settings, out, errOut io.Writer) (err error) {
	b := &bench{settings: s, clock: clock.System{}, errOut: errOut, results: map[string][]result{}}
	if b.postgres, err = postgres.Start(ctx, postgres.Options{}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.postgres.Stop(context.WithoutCancel(ctx))) }()
	if b.admin, err = pgx.Connect(ctx, b.postgres.URL("")); err != nil {
		return err
	}
	defer func() { _ = b.admin.Close(context.WithoutCancel(ctx)) }()
	if b.parties, err = startParties(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.parties.stop()) }()
	if slices.Contains(s.engines, engineNode) {
		if b.nodeDir, err = os.MkdirTemp("", "dayof-bench-*"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(b.nodeDir)) }()
		if err := installNode(ctx, b.nodeDir, errOut); err != nil {
			return err
		}
	}
	for round := range s.rounds {
		for i := range s.engines {
			name := s.engines[(i+round)%len(s.engines)]
			if err := b.measureEngine(ctx, name, round); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return b.print(ctx, out)
}

// measureEngine runs one engine for a round.
func (b *bench) measureEngine(ctx context.Context, name string, round int) (err error) {
	fmt.Fprintf(b.errOut, "round %d of %d, %s, load of the machine %s\n", round+1, b.rounds, name, loadAverage())
	database := "engine_" + name
	if err := b.postgres.CreateDatabase(ctx, database); err != nil {
		return err
	}
	pool, err := pgdb.Open(ctx, b.postgres.URL(database), pgdb.Options{MaxConns: poolSize, ApplicationName: name})
	if err != nil {
		return err
	}
	defer pool.Close()
	s := &shop{pool: pool, parties: b.parties, followUp: &tally{}}
	if round == 0 {
		if _, err := pool.Exec(ctx, schema); err != nil {
			return err
		}
	}
	e, err := b.start(ctx, name, round, s)
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}
	defer func() {
		stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		err = errors.Join(err, e.stop(stopCtx))
	}()
	if _, err := b.measure(ctx, name, e, s, 8, b.length/3); err != nil { // warms caches, connections and prepared statements
		return err
	}
	for _, n := range b.callers {
		r, err := b.measure(ctx, name, e, s, n, b.length)
		if err != nil {
			return fmt.Errorf("%d callers: %w", n, err)
		}
		b.results[key(name, n)] = append(b.results[key(name, n)], r)
	}
	return nil
}

func (b *bench) start(ctx context.Context, name string, round int, s *shop) (engine, error) {
	switch name {
	case engineOurs:
		return startOurs(ctx, s, b.jobs)
	case engineDBOS:
		return startDBOS(ctx, s, b.jobs)
	case engineRiver:
		return startRiver(ctx, s, b.jobs)
	case engineTemporal:
		return startTemporal(ctx, b.postgres, strconv.Itoa(round), s, b.jobs)
	case engineNode:
		return startNode(ctx, b.nodeDir, "attempt.js", b.errOut, "DATABASE_URL="+b.postgres.URL("engine_node"), "PARTIES_URL="+b.parties.url)
	}
	return nil, fmt.Errorf("there is no engine %q", name)
}

func key(name string, callers int) string { return name + "/" + strconv.Itoa(callers) }
