// Command checkout measures sales through a whole system on this machine: Postgres with fsync on, the sandbox at 0 ms and
// the four services, all beside each other on the same cores.
//
//	go run ./bench/checkout [-callers 1,8,64] [-seconds 5] [-rounds 3] [-replicas 1] [-cpuprofile FILE]
//
// A sale is StartCheckout, the payment at the sandbox, and CompleteCheckout beside Stripe's signed webhooks. Rounds of all
// numbers of callers are interleaved with pgbench (single-row commits on the same Postgres), and medians are printed, since
// a shared machine makes every single figure doubtful.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/dev"
	"github.com/dayof/dayof/internal/mesh"
)

func main() { os.Exit(program()) }

func program() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "checkout:", err)
		return 1
	}
	return 0
}

// variantCount spreads the buyers, as an event with several seat classes does: all who buy of one variant queue for its
// stock row.
const variantCount = 8

func run(ctx context.Context, args []string, out, errOut io.Writer) error {
	flags := flag.NewFlagSet("checkout", flag.ContinueOnError)
	callers := flags.String("callers", "1,8,64", "numbers of concurrent buyers")
	seconds := flags.Int("seconds", 5, "length of one measurement")
	rounds := flags.Int("rounds", 3, "interleaved rounds, of which the median counts")
	replicas := flags.Int("replicas", 1, "replicas of each service, in this process")
	statements := flags.Int("statements", 0, "also print the so many statements that cost Postgres most (needs pg_stat_statements)")
	profile := flags.String("cpuprofile", "", "file for a CPU profile of the measurements")
	if err := flags.Parse(args); err != nil {
		return err
	}
	b := &bench{clock: clock.System{}, length: time.Duration(*seconds) * time.Second}
	settings := map[string]string{}
	if *statements > 0 {
		settings["shared_preload_libraries"] = "pg_stat_statements"
	}
	var err error
	if b.mesh, err = mesh.Start(ctx, mesh.Config{Replicas: *replicas, PostgresSettings: settings, Logger: slog.New(slog.NewTextHandler(errOut, &slog.HandlerOptions{Level: slog.LevelError}))}); err != nil {
		return fmt.Errorf("start the mesh: %w", err)
	}
	defer func() { _ = b.mesh.Stop(context.WithoutCancel(ctx)) }()
	b.client = dev.NewClient(b.mesh.File)
	if err := b.sell(ctx); err != nil {
		return err
	}
	if _, err := b.measure(ctx, 8); err != nil { // warms caches, connections and prepared statements
		return err
	}
	if *profile != "" {
		f, err := os.Create(filepath.Clean(*profile))
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	if *statements > 0 {
		if err := b.forgetStatements(ctx); err != nil {
			return err
		}
	}
	results := map[int][]result{}
	var commits []float64
	var counts []int
	for text := range strings.SplitSeq(*callers, ",") {
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("-callers: %w", err)
		}
		counts = append(counts, n)
	}
	for range *rounds {
		for _, n := range counts {
			r, err := b.measure(ctx, n)
			if err != nil {
				return err
			}
			results[n] = append(results[n], r)
			b.sales += r.sales
		}
		if tps, err := b.pgbench(ctx); err == nil {
			commits = append(commits, tps)
		} else {
			fmt.Fprintln(errOut, "pgbench not measured:", err)
		}
	}
	if err := b.print(out, counts, results, commits); err != nil {
		return err
	}
	if *statements > 0 {
		return b.printStatements(ctx, out, *statements)
	}
	return nil
}

type bench struct {
	mesh     *mesh.Mesh
	client   *dev.Client
	clock    clock.Clock
	length   time.Duration
	variants []*checkoutv1.Variant
	sales    int // since the warm-up
}

// result is one measurement.
type result struct {
	sales     int
	rate      float64 // sales per second
	start     []time.Duration
	complete  []time.Duration
	scannable []time.Duration // from the payment at Stripe to valid tickets
	busy      float64         // cores that this process used
	postgres  float64         // cores that Postgres used
	commits   float64         // per sale, in all databases, sandbox and background included
	wal       float64         // kilobytes per sale, likewise
}

func (b *bench) sell(ctx context.Context) error {
	event, err := b.client.Seed(ctx, b.clock.Now())
	if err != nil {
		return err
	}
	for i := range variantCount {
		v, err := b.client.CreateVariant(ctx, "bench", event.GetId(), fmt.Sprintf("Block %d", i), "Seat", 1_000_000, &checkoutv1.VariantVersion{
			Price: &moneyv1.Money{Currency: "EUR", MinorUnits: 4900}, ApplicationFeeMinorUnits: 250, TaxMinorUnits: 320, TaxCountry: "DE", TaxKind: "vat",
		})
		if err != nil {
			return fmt.Errorf("create variant: %w", err)
		}
		b.variants = append(b.variants, v)
	}
	return nil
}

// measure lets n buyers buy one ticket after the other for the length of a measurement.
func (b *bench) measure(ctx context.Context, n int) (result, error) {
	var r result
	var mu sync.Mutex
	var failure error
	var next atomic.Int64
	before, err := b.postgres(ctx)
	if err != nil {
		return r, err
	}
	from, used := b.clock.Now(), cpuTime()
	until := from.Add(b.length)
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			for b.clock.Now().Before(until) && ctx.Err() == nil {
				start, complete, scannable, err := b.sale(ctx, b.variants[int(next.Add(1))%variantCount])
				mu.Lock()
				if err != nil {
					failure = errors.Join(failure, err)
					mu.Unlock()
					return
				}
				r.sales++
				r.start, r.complete, r.scannable = append(r.start, start), append(r.complete, complete), append(r.scannable, scannable)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	took := b.clock.Now().Sub(from)
	r.rate = float64(r.sales) / took.Seconds()
	r.busy = (cpuTime() - used).Seconds() / took.Seconds()
	after, err := b.postgres(ctx)
	if err != nil {
		return r, errors.Join(failure, err)
	}
	r.postgres = (after.cpu - before.cpu).Seconds() / took.Seconds()
	r.commits = float64(after.commits-before.commits) / float64(r.sales)
	r.wal = float64(after.wal-before.wal) / 1000 / float64(r.sales)
	return r, failure
}

// server is what Postgres has done so far.
type server struct {
	cpu     time.Duration
	commits int64
	wal     int64
}

// clockTicks is the unit of /proc/PID/stat, 100 a second on every Linux that Go runs on.
const clockTicks = 100

// postgres reads the counters of the server; backends that have ended do not count.
func (b *bench) postgres(ctx context.Context) (server, error) {
	var s server
	conn, err := pgx.Connect(ctx, b.mesh.File.DatabaseURLs["checkout"])
	if err != nil {
		return s, err
	}
	defer func() { _ = conn.Close(ctx) }()
	var backend int
	if err := conn.QueryRow(ctx, `select pg_backend_pid(), (select sum(xact_commit)::bigint from pg_stat_database),
		pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint`).Scan(&backend, &s.commits, &s.wal); err != nil {
		return s, err
	}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return s, err
	}
	type process struct{ parent, ticks int }
	processes := map[int]process{}
	for _, path := range stats {
		text, err := os.ReadFile(filepath.Clean(path))
		if err != nil {
			continue // it has ended
		}
		name := strings.LastIndexByte(string(text), ')')
		fields := strings.Fields(string(text[name+1:]))
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		parent, _ := strconv.Atoi(fields[1])
		user, _ := strconv.Atoi(fields[11])
		system, _ := strconv.Atoi(fields[12])
		processes[pid] = process{parent: parent, ticks: user + system}
	}
	for _, p := range processes {
		if p.parent == processes[backend].parent && p.parent > 1 {
			s.cpu += time.Duration(p.ticks) * time.Second / clockTicks
		}
	}
	return s, nil
}

// sale is one sale; it ends when the ticket is valid.
func (b *bench) sale(ctx context.Context, variant *checkoutv1.Variant) (start, complete, scannable time.Duration, err error) {
	t0 := b.clock.Now()
	cart, err := b.client.Start(ctx, variant, 1)
	if err != nil {
		return 0, 0, 0, err
	}
	start = b.clock.Now().Sub(t0)
	t1 := b.clock.Now()
	if err := b.client.Stripe.Confirm(ctx, cart.IntentID, cart.ClientSecret, dev.CardThatPays); err != nil {
		return 0, 0, 0, err
	}
	t2 := b.clock.Now()
	o, err := b.client.Complete(ctx, cart)
	if err != nil {
		return 0, 0, 0, err
	}
	if o.GetFulfilmentState() != checkoutv1.FulfilmentState_FULFILMENT_STATE_COMPLETED {
		return 0, 0, 0, fmt.Errorf("order %s is %v", o.GetId(), o.GetFulfilmentState())
	}
	return start, b.clock.Now().Sub(t2), b.clock.Now().Sub(t1), nil
}

// pgbench measures single-row commits of 64 clients on the same Postgres.
func (b *bench) pgbench(ctx context.Context) (float64, error) {
	program, err := exec.LookPath("pgbench")
	if err != nil {
		found, globErr := filepath.Glob("/usr/lib/postgresql/*/bin/pgbench")
		if globErr != nil || len(found) == 0 {
			return 0, err
		}
		program = found[0]
	}
	database, err := url.Parse(b.mesh.File.DatabaseURLs["checkout"])
	if err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp("", "dayof-bench-*")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	script := filepath.Join(dir, "commit.sql")
	if err := os.WriteFile(script, []byte("insert into bench_commits (at) values (now());\n"), 0o600); err != nil {
		return 0, err
	}
	create := exec.CommandContext(ctx, filepath.Join(filepath.Dir(program), "psql"), database.String(), "-qc", "create table if not exists bench_commits (at timestamptz)")
	if output, err := create.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("%w: %s", err, output)
	}
	cmd := exec.CommandContext(ctx, program, "-n", "-f", script, "-c", "64", "-j", "2", "-M", "prepared", "-T", strconv.Itoa(int(b.length.Seconds())), database.String())
	output, err := cmd.CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("%w: %s", err, output)
	}
	match := regexp.MustCompile(`tps = ([0-9.]+)`).FindSubmatch(output)
	if match == nil {
		return 0, fmt.Errorf("pgbench printed no tps: %s", output)
	}
	return strconv.ParseFloat(string(match[1]), 64)
}

func (b *bench) print(out io.Writer, counts []int, results map[int][]result, commits []float64) error {
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		load = []byte("unknown")
	}
	fmt.Fprintf(out, "%d cores, load of the machine %s", runtime.NumCPU(), load)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "callers\tsales/s\tstart p50\tp99\tcomplete p50\tp99\tpaid to scannable p95\tcores used\tby Postgres\tCPU ms/sale\tcommits/sale\tWAL kB/sale\t")
	for _, n := range counts {
		r := results[n]
		fmt.Fprintf(w, "%d\t%.0f\t%s\t%s\t%s\t%s\t%s\t%.2f\t%.2f\t%.1f\t%.1f\t%.1f\t\n", n, median(r, func(r result) float64 { return r.rate }),
			quantile(r, 0.5, func(r result) []time.Duration { return r.start }), quantile(r, 0.99, func(r result) []time.Duration { return r.start }),
			quantile(r, 0.5, func(r result) []time.Duration { return r.complete }), quantile(r, 0.99, func(r result) []time.Duration { return r.complete }),
			quantile(r, 0.95, func(r result) []time.Duration { return r.scannable }), median(r, func(r result) float64 { return r.busy }),
			median(r, func(r result) float64 { return r.postgres }), median(r, func(r result) float64 { return 1000 * (r.busy + r.postgres) / r.rate }),
			median(r, func(r result) float64 { return r.commits }),
			median(r, func(r result) float64 { return r.wal }))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if len(commits) > 0 {
		slices.Sort(commits)
		c := commits[len(commits)/2]
		best := results[counts[len(counts)-1]]
		fmt.Fprintf(out, "pgbench, 64 clients: %.0f single-row commits/s; a sale at %d callers per commit: %.3f\n", c, counts[len(counts)-1],
			median(best, func(r result) float64 { return r.rate })/c)
	}
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

// quantile is the median over rounds of a quantile within each.
func quantile(results []result, q float64, of func(result) []time.Duration) time.Duration {
	var all []time.Duration
	for _, r := range results {
		d := slices.Sorted(slices.Values(of(r)))
		all = append(all, d[min(int(float64(len(d))*q), len(d)-1)])
	}
	slices.Sort(all)
	return all[len(all)/2].Round(100 * time.Microsecond)
}

// cpuTime is what this process has used of the cores.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func (b *bench) forgetStatements(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, b.mesh.File.DatabaseURLs["checkout"])
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	_, err = conn.Exec(ctx, `create extension if not exists pg_stat_statements; select pg_stat_statements_reset()`)
	return err
}

// printStatements prints where the time of Postgres went since the warm-up, per sale.
func (b *bench) printStatements(ctx context.Context, out io.Writer, n int) error {
	conn, err := pgx.Connect(ctx, b.mesh.File.DatabaseURLs["checkout"])
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	rows, err := conn.Query(ctx, `
		select d.datname, s.calls, s.total_exec_time, left(regexp_replace(s.query, '\s+', ' ', 'g'), 110)
		from pg_stat_statements s join pg_database d on d.oid = s.dbid
		order by s.total_exec_time desc limit $1`, n)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "database\tcalls/sale\tms/sale\tstatement")
	var database, query string
	var calls int64
	var took float64
	_, err = pgx.ForEachRow(rows, []any{&database, &calls, &took, &query}, func() error {
		_, err := fmt.Fprintf(w, "%s\t%.2f\t%.3f\t%s\n", database, float64(calls)/float64(b.sales), took/float64(b.sales), query)
		return err
	})
	if err != nil {
		return err
	}
	return w.Flush()
}
