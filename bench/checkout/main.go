// Command checkout measures sales through a whole system on this machine: Postgres with fsync on, the sandbox at 0 ms and
// the four services, all beside each other on the same cores.
//
//	go run ./bench/checkout [-callers 1,8,64] [-seconds 5] [-rounds 3] [-replicas 1] [-processes] [-rate 20] [-variants 8] [-idle 60] [-costs] [-statements 30] [-cpuprofile FILE]
//	go run ./bench/checkout -orders 10000,100000,1000000 [-callers 1,8,64] [-replicas 1]
//	go run ./bench/checkout -postgres commit_delay=200,commit_siblings=5 [-postgres checkout.orders.fillfactor=85] [-callers 64] [-rounds 9]
//
// A sale is StartCheckout, the payment at the sandbox, and CompleteCheckout beside Stripe's signed webhooks. Rounds of all
// numbers of callers are interleaved with pgbench (single-row commits on the same Postgres), and medians are printed, since
// a shared machine makes every single figure doubtful. With -costs it also prints what a sale costs each party, as counts that
// are the same on any machine, and their CPU (with -processes that of each service by itself).
//
// With -orders it shows how the cost grows: so many orders are in the tables of all services before sales are measured. With
// -postgres it compares settings: a whole system beside each, which are measured in turn.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/devenv/cluster"
	"github.com/dayof/dayof/devenv/cost"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
	"github.com/dayof/dayof/internal/chassis/clock"
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

// variantsDefault spreads the buyers, as an event with several seat classes does.
const variantsDefault = 8

func run(ctx context.Context, args []string, out, errOut io.Writer) error {
	flags := flag.NewFlagSet("checkout", flag.ContinueOnError)
	callers := flags.String("callers", "1,8,64", "numbers of concurrent buyers")
	seconds := flags.Int("seconds", 5, "length of one measurement")
	rounds := flags.Int("rounds", 3, "interleaved rounds, of which the median counts")
	replicas := flags.Int("replicas", 1, "replicas of each service")
	processes := flags.Bool("processes", false, "run each replica as a process of its own")
	rate := flags.Int("rate", 0, "instead of callers: so many sales begin per second, however long they take")
	variants := flags.Int("variants", variantsDefault, "variants that are sold; 1 is one that everybody wants")
	costs := flags.Bool("costs", false, "also print what a sale costs each party (needs pg_stat_statements and pg_walinspect)")
	statements := flags.Int("statements", 0, "also print the so many statements that cost Postgres most (needs pg_stat_statements)")
	idle := flags.Int("idle", 0, "instead of sales: so many seconds in which nobody asks anything, after a few sales")
	profile := flags.String("cpuprofile", "", "file for a CPU profile of the measurements")
	var servers []serverSettings
	flags.Func("postgres", "settings of one more Postgres, name=value,..., that is measured in turn with the first; may be repeated", func(text string) error {
		s, err := parseServerSettings(text)
		servers = append(servers, s)
		return err
	})
	sizes := flags.String("orders", "", "numbers of orders that are in the tables already, one measured after the other, the smallest first")
	if err := flags.Parse(args); err != nil {
		return err
	}
	counts, err := numbers(*callers)
	if err != nil {
		return fmt.Errorf("-callers: %w", err)
	}
	if *rate > 0 {
		counts = []int{*rate}
	}
	s := system{replicas: *replicas, variants: *variants, length: time.Duration(*seconds) * time.Second, settings: map[string]string{}, costs: *costs || *idle > 0, errOut: errOut}
	if *statements > 0 || *costs || *idle > 0 {
		s.settings = cost.Settings()
	}
	if *processes {
		dir, err := os.MkdirTemp("", "dayof-bench-*")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		if s.program, err = buildProgram(ctx, dir); err != nil {
			return err
		}
	}
	if len(servers) > 0 {
		return s.compare(ctx, servers, *rounds, counts[len(counts)-1], out)
	}
	b, err := s.start(ctx, serverSettings{})
	if err != nil {
		return err
	}
	defer func() { _ = b.stop(context.WithoutCancel(ctx)) }()
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
	if *idle > 0 {
		if err := b.measureIdle(ctx, time.Duration(*idle)*time.Second, out); err != nil || *statements == 0 {
			return err
		}
		return b.printStatements(ctx, out, *statements, "second", float64(*idle)+idleSettle.Seconds())
	}
	if *sizes != "" {
		return b.measureSizes(ctx, *sizes, *rounds, counts, out)
	}
	results, commits, err := b.measureRounds(ctx, *rounds, counts, *rate > 0, errOut)
	if err != nil {
		return err
	}
	if err := b.print(out, counts, results, commits); err != nil {
		return err
	}
	if *costs {
		latest := results[counts[len(counts)-1]]
		if err := printCosts(out, latest[len(latest)-1], counts[len(counts)-1]); err != nil {
			return err
		}
	}
	if *statements > 0 {
		return b.printStatements(ctx, out, *statements, "sale", float64(b.sales))
	}
	return nil
}

// buildProgram builds dayof into a directory.
func buildProgram(ctx context.Context, dir string) (string, error) {
	program := filepath.Join(dir, "dayof")
	if output, err := exec.CommandContext(ctx, "go", "build", "-o", program, "github.com/dayof/dayof/cmd/dayof").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build dayof: %w\n%s", err, output)
	}
	return program, nil
}

// numbers reads numbers that commas separate.
func numbers(text string) ([]int, error) {
	var all []int
	for part := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(part)
		if err != nil {
			return nil, err
		}
		all = append(all, n)
	}
	return all, nil
}

// measureRounds measures with each count in turn and, unless errOut is nil, what Postgres commits by itself after each round.
func (b *bench) measureRounds(ctx context.Context, rounds int, counts []int, rate bool, errOut io.Writer) (map[int][]result, []float64, error) {
	results := map[int][]result{}
	var commits []float64
	measure := b.measure
	if rate {
		measure = b.measureRate
	}
	for range rounds {
		for _, n := range counts {
			r, err := measure(ctx, n)
			if err != nil {
				return nil, nil, err
			}
			results[n] = append(results[n], r)
			b.sales += r.sales
		}
		if errOut == nil {
			continue
		}
		if tps, err := b.pgbench(ctx); err == nil {
			commits = append(commits, tps)
		} else {
			fmt.Fprintln(errOut, "pgbench not measured:", err)
		}
	}
	return results, commits, nil
}

type bench struct {
	cluster  *cluster.Cluster
	client   *client.Client
	meter    *cost.Meter // nil unless costs are wanted
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
	busy      float64         // cores that this process and the services used
	postgres  float64         // cores that Postgres used
	commits   float64         // per sale, in all databases, sandbox and background included
	wal       float64         // kilobytes per sale, likewise
	cost      cost.Cost
	cpu       map[string]time.Duration // by party
}

func (b *bench) sell(ctx context.Context, variants int) error {
	event, err := b.client.Seed(ctx, b.clock.Now())
	if err != nil {
		return err
	}
	for i := range variants {
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
	return b.metered(ctx, func(until time.Time, buy func() error) {
		var wg sync.WaitGroup
		for range n {
			wg.Go(func() {
				for b.clock.Now().Before(until) && ctx.Err() == nil && buy() == nil {
				}
			})
		}
		wg.Wait()
	})
}

// measureRate lets n sales begin each second, evenly, however long they take.
func (b *bench) measureRate(ctx context.Context, n int) (result, error) {
	return b.metered(ctx, func(until time.Time, buy func() error) {
		begin := time.NewTicker(time.Second / time.Duration(n))
		defer begin.Stop()
		var wg sync.WaitGroup
		for b.clock.Now().Before(until) && ctx.Err() == nil {
			wg.Go(func() { _ = buy() })
			<-begin.C
		}
		wg.Wait()
	})
}

// metered counts what sales take and cost.
func (b *bench) metered(ctx context.Context, sell func(until time.Time, buy func() error)) (result, error) {
	var r result
	var mu sync.Mutex
	var failure error
	var next atomic.Int64
	if b.meter != nil {
		if err := b.meter.Reset(ctx); err != nil {
			return r, err
		}
	}
	before, err := b.usage(ctx)
	if err != nil {
		return r, err
	}
	from := b.clock.Now()
	sell(from.Add(b.length), func() error {
		start, complete, scannable, err := b.sale(ctx, b.variants[int(next.Add(1))%len(b.variants)])
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			failure = errors.Join(failure, err)
			return err
		}
		r.sales++
		r.start, r.complete, r.scannable = append(r.start, start), append(r.complete, complete), append(r.scannable, scannable)
		return nil
	})
	took := b.clock.Now().Sub(from)
	after, err := b.usage(ctx)
	if err = errors.Join(failure, err); err != nil {
		return r, err
	}
	r.rate = float64(r.sales) / took.Seconds()
	r.busy = (after.programs - before.programs).Seconds() / took.Seconds()
	r.postgres = (after.postgres - before.postgres).Seconds() / took.Seconds()
	r.commits = float64(after.commits-before.commits) / float64(r.sales)
	r.wal = float64(after.wal-before.wal) / 1000 / float64(r.sales)
	r.cpu = map[string]time.Duration{}
	for party, used := range after.parties {
		r.cpu[party] = used - before.parties[party]
	}
	if b.meter != nil {
		r.cost, err = b.meter.Cost(ctx)
	}
	return r, err
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
	if err := b.client.Stripe.Confirm(ctx, cart.IntentID, cart.ClientSecret, client.CardThatPays); err != nil {
		return 0, 0, 0, err
	}
	t2 := b.clock.Now()
	o, err := b.client.Complete(ctx, cart)
	for err == nil && o.GetFulfilmentState() == checkoutv1.FulfilmentState_FULFILMENT_STATE_IN_PROGRESS {
		o, err = b.client.Complete(ctx, cart) // as a browser does that was told to come back
	}
	if err != nil {
		return 0, 0, 0, err
	}
	if o.GetFulfilmentState() != checkoutv1.FulfilmentState_FULFILMENT_STATE_COMPLETED {
		return 0, 0, 0, fmt.Errorf("order %s is %v", o.GetId(), o.GetFulfilmentState())
	}
	return start, b.clock.Now().Sub(t2), b.clock.Now().Sub(t1), nil
}
