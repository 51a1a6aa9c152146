// Command webhooks measures how fast webhooksvc acknowledges Stripe's webhooks when everything behind it is frozen, beside an
// Express handler (npm stripe, pg) on the same Postgres in the same run.
//
//	go run ./bench/webhooks [-connections 200] [-rate 500] [-seconds 5] [-rounds 5] [-seeded 20000]
//
// webhooksvc runs as a process of its own, as `dayof serve webhook`; checkoutsvc, passsvc and ledgersvc run and are stopped by
// SIGSTOP, so that every job of webhooksvc hangs until its time is up. Postgres has fsync and synchronous_commit on. Both
// servers get the same load: distinct, validly signed events of 2 to 30 kB. Rounds are interleaved, the server that is not
// measured is stopped too, and medians over the rounds are printed, since a shared machine makes every single figure doubtful.
//
// Two loads: a closed loop, where each connection posts as soon as it has its answer, which gives requests per second (its
// latency is only queueing: connections divided by rate), and a fixed rate below what both can do, which gives latency.
//
// Servers, Postgres and the load share the same cores; the columns of core time say who used them. The last line compares that
// of server and Postgres alone: it says what the ratio comes to where the load has cores of its own, and it hardly depends on
// what else the machine does. Cores are what limits webhooksvc here, not the disk: groups share their commits. Express runs
// its JavaScript on one core, so with more than two the ratio grows.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/dayof/dayof/devenv/cluster"
	"github.com/dayof/dayof/internal/chassis/clock"
)

func main() { os.Exit(program()) }

func program() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "webhooks:", err)
		return 1
	}
	return 0
}

// poolSize is how many connections to Postgres each server has.
const poolSize = 16

// frozen are the services that webhooksvc calls, or that those call.
var frozen = []string{"checkout", "pass", "ledger"}

// The servers, as the table names them and in the order of each round.
const (
	ours   = "webhooksvc"
	theirs = "express"
)

type bench struct {
	cluster *cluster.Cluster
	express *express
	pool    *pgxpool.Pool // of webhooksvc's database, where Express has its table
	loads   map[string]*load

	acknowledged map[string]int // by server, in all rounds
	results      map[string][]result
}

// result is one round of one server.
type result struct {
	measured
	used usage
}

func run(ctx context.Context, args []string, out, errOut io.Writer) (err error) {
	flags := flag.NewFlagSet("webhooks", flag.ContinueOnError)
	connections := flags.Int("connections", 200, "connections that post at once")
	rate := flags.Int("rate", 500, "requests per second of the fixed rate")
	seconds := flags.Int("seconds", 5, "length of one measurement")
	rounds := flags.Int("rounds", 5, "interleaved rounds, of which the median counts")
	seeded := flags.Int("seeded", 20_000, "events that are in both tables before")
	program := flags.String("program", "", "dayof program to measure; empty builds it")
	if err := flags.Parse(args); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "dayof-bench-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if *program == "" {
		*program = filepath.Join(dir, "dayof")
		build := exec.CommandContext(ctx, "go", "build", "-o", *program, "./cmd/dayof")
		build.Stdout, build.Stderr = errOut, errOut
		if err := build.Run(); err != nil {
			return fmt.Errorf("build dayof: %w", err)
		}
	}
	b := &bench{acknowledged: map[string]int{}, results: map[string][]result{}, loads: map[string]*load{}}
	defer func() { err = errors.Join(err, b.stop(context.WithoutCancel(ctx))) }()
	if err := b.start(ctx, dir, *program, *connections, *seeded, errOut); err != nil {
		return err
	}
	length := time.Duration(*seconds) * time.Second
	for round := range *rounds {
		fmt.Fprintf(errOut, "round %d of %d, load of the machine %s\n", round+1, *rounds, loadAverage())
		for _, rate := range []int{0, *rate} {
			for _, server := range []string{ours, theirs} {
				if err := b.measure(ctx, server, length, rate); err != nil {
					return fmt.Errorf("%s: %w", server, err)
				}
			}
		}
	}
	if err := b.verify(ctx, *seeded); err != nil {
		return err
	}
	return b.print(ctx, out, *connections, *rate)
}

// start runs both servers, on one Postgres, with as many events in the table of each.
func (b *bench) start(ctx context.Context, dir, program string, connections, seeded int, errOut io.Writer) (err error) {
	b.cluster, err = cluster.Start(ctx, cluster.Config{
		Program: program, Logger: slog.New(slog.NewTextHandler(errOut, &slog.HandlerOptions{Level: slog.LevelError})),
		Settings: map[string]string{"DAYOF_DATABASE_CONNECTIONS": strconv.Itoa(poolSize)},
	})
	if err != nil {
		return fmt.Errorf("start the cluster: %w", err)
	}
	for _, service := range frozen {
		if err := b.cluster.Freeze(service, 0); err != nil {
			return err
		}
	}
	database := b.cluster.File.DatabaseURLs["webhook"]
	if b.pool, err = pgxpool.New(ctx, database); err != nil {
		return err
	}
	next := new(atomic.Uint64)
	host := map[string]string{ours: strings.TrimPrefix(b.cluster.File.WebhookURL, "http://")}
	if err := b.seed(ctx, seeded); err != nil {
		return err
	}
	if b.express, err = startExpress(ctx, dir, database, b.cluster.File.StripeWebhookSecret, poolSize, errOut); err != nil {
		return err
	}
	host[theirs] = b.express.address
	for server, address := range host {
		events, err := newEvents("/webhooks/stripe", address, b.cluster.File.StripeWebhookSecret, clock.System{}.Now, next)
		if err != nil {
			return err
		}
		b.loads[server] = &load{events: events, connections: connections, clock: clock.System{}}
	}
	return errors.Join(b.express.freeze(), b.cluster.Freeze("webhook", 0))
}

// seed fills both tables with the same bodies. Those of webhooksvc are done with: they have no jobs.
func (b *bench) seed(ctx context.Context, count int) error {
	body, err := eventOfSize(bodySizes[len(bodySizes)/2])
	if err != nil {
		return err
	}
	for _, statement := range []string{
		"CREATE TABLE express_events (id text PRIMARY KEY, body bytea NOT NULL, receive_time timestamptz NOT NULL DEFAULT now())",
		fmt.Sprintf("INSERT INTO express_events (id, body) SELECT 'evt_seeded' || md5(n::text), $1 FROM generate_series(1, %d) AS n", count),
		fmt.Sprintf(`INSERT INTO webhook_events (endpoint, event_id, source, type, api_version, livemode, stripe_account, object_id,
				create_time, receive_time, delivery_count, state, end_time, queue_time, body)
			SELECT 'account', 'evt_seeded' || md5(n::text), 'delivery', 'payment_intent.succeeded', '2023-10-16', false, '', 'pi_' || md5(n::text),
				now(), now(), 1, 'applied', now(), now(), $1 FROM generate_series(1, %d) AS n`, count),
		"VACUUM ANALYZE express_events", "VACUUM ANALYZE webhook_events", "CHECKPOINT",
	} {
		var args []any
		if strings.Contains(statement, "$1") {
			args = append(args, body)
		}
		if _, err := b.pool.Exec(ctx, statement, args...); err != nil {
			return fmt.Errorf("seed: %w", err)
		}
	}
	return nil
}

// measure thaws a server, loads it for a while and freezes it again.
func (b *bench) measure(ctx context.Context, server string, length time.Duration, rate int) error {
	thaw, freeze := b.express.thaw, b.express.freeze
	if server == ours {
		thaw = func() error { return b.cluster.Thaw("webhook", 0) }
		freeze = func() error { return b.cluster.Freeze("webhook", 0) }
	}
	if err := thaw(); err != nil {
		return err
	}
	before := cores()
	m, answered, err := b.loads[server].run(ctx, length/5, length, rate)
	used := cores().since(before)
	if err := errors.Join(err, freeze()); err != nil {
		return err
	}
	b.acknowledged[server] += answered
	// The cores were used for the requests of the warm-up too.
	for name := range used {
		used[name] = used[name] * time.Duration(m.requests) / time.Duration(max(answered, 1))
	}
	b.results[key(server, rate)] = append(b.results[key(server, rate)], result{m, used})
	return nil
}

func key(server string, rate int) string { return server + "/" + strconv.Itoa(rate) }

// verify compares what was answered with 200 with what is stored.
func (b *bench) verify(ctx context.Context, seeded int) error {
	for server, query := range map[string]string{
		ours:   "SELECT count(*) FROM webhook_events",
		theirs: "SELECT count(*) FROM express_events",
	} {
		var stored int
		if err := b.pool.QueryRow(ctx, query).Scan(&stored); err != nil {
			return err
		}
		if stored != seeded+b.acknowledged[server] {
			return fmt.Errorf("%s acknowledged %d events and stored %d", server, b.acknowledged[server], stored-seeded)
		}
	}
	return nil
}

// stop ends all that runs. webhooksvc is killed: it would wait for those that are frozen.
func (b *bench) stop(ctx context.Context) error {
	var errs []error
	if b.express != nil {
		errs = append(errs, b.express.stop())
	}
	if b.pool != nil {
		b.pool.Close()
	}
	if b.cluster != nil {
		errs = append(errs, b.cluster.Kill("webhook", 0), b.cluster.Stop(ctx))
	}
	return errors.Join(errs...)
}

func (b *bench) print(ctx context.Context, out io.Writer, connections, rate int) error {
	var fsync, commit, version string
	if err := b.pool.QueryRow(ctx, "SELECT current_setting('fsync'), current_setting('synchronous_commit'), current_setting('server_version')").
		Scan(&fsync, &commit, &version); err != nil {
		return err
	}
	fmt.Fprintf(out, "%d cores shared by server, Postgres and load; load of the machine %s\n", runtime.NumCPU(), loadAverage())
	fmt.Fprintf(out, "Postgres %s, fsync %s, synchronous_commit %s; %d connections; frozen: %s\n", version, fsync, commit, connections, strings.Join(frozen, ", "))
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "load\tserver\trequests/s\tp50\tp99\tmax\tcores used\tserver\tPostgres\tload\t")
	for _, r := range []int{0, rate} {
		name := "closed loop"
		if r > 0 {
			name = strconv.Itoa(r) + "/s"
		}
		for _, server := range []string{ours, theirs} {
			rounds := b.results[key(server, r)]
			quantile := func(q float64) string {
				return time.Duration(median(rounds, func(r result) float64 { return float64(r.quantile(q)) })).Round(10 * time.Microsecond).String()
			}
			core := func(program string) string {
				return perRequest(time.Duration(median(rounds, func(r result) float64 { return float64(r.used[program]) / float64(r.requests) * 1000 })), 1000)
			}
			binary := map[string]string{ours: "dayof", theirs: "node"}[server]
			fmt.Fprintf(w, "%s\t%s\t%.0f\t%s\t%s\t%s\t%.2f\t%s\t%s\t%s\t\n", name, server, median(rounds, func(r result) float64 { return r.rate }),
				quantile(0.5), quantile(0.99), quantile(1),
				median(rounds, func(r result) float64 {
					var sum time.Duration
					for _, used := range r.used {
						sum += used
					}
					return sum.Seconds() * r.rate / float64(r.requests)
				}), core(binary), core("postgres"), core("load"))
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	var ratios []string
	for i, r := range b.results[key(ours, 0)] {
		ratios = append(ratios, fmt.Sprintf("%.2f", r.rate/b.results[key(theirs, 0)][i].rate))
	}
	fmt.Fprintf(out, "requests/s of webhooksvc to those of Express: %.2f (by round: %s)\n",
		median(b.results[key(ours, 0)], func(r result) float64 { return r.rate })/median(b.results[key(theirs, 0)], func(r result) float64 { return r.rate }),
		strings.Join(ratios, ", "))
	cost := func(server, program string) float64 {
		return median(b.results[key(server, 0)], func(r result) float64 { return float64(r.used[program]+r.used["postgres"]) / float64(r.requests) })
	}
	fmt.Fprintf(out, "core time of server and Postgres for a request, Express to webhooksvc: %.2f\n", cost(theirs, "node")/cost(ours, "dayof"))
	return nil
}

func median(results []result, of func(result) float64) float64 {
	var all []float64
	for _, r := range results {
		all = append(all, of(r))
	}
	slices.Sort(all)
	return all[len(all)/2]
}
