// Command holds measures how many holds a second one variant takes that everybody wants, and beside it, on the same Postgres in the same
// run, other ways to keep stock.
//
//	go run ./bench/holds [-callers 64] [-seconds 3] [-rounds 5]
//	go run ./bench/holds -rush 20000 -seats 10000 [-callers 64]
//	go run ./bench/holds -rush 20000 -seats 10000 -seated [-tickets 2] [-callers 64]
//
// A whole system runs, with fsync. First the stock alone, one statement and one commit each: a single row with UPDATE ... WHERE left >= n,
// the shards that the product has, and a row per seat with SKIP LOCKED. Then a hold and its stock in one transaction, of one row and of
// shards. Last StartCheckout itself, intent at the sandbox included, of a variant with one shard and of one with all. Rounds are
// interleaved and medians are printed.
//
// With -rush so many buyers want one seat each of one variant: it counts who got one, and checks that no seat is sold twice or lost.
// With -seated the seats stand on a seat map, and each buyer wants some beside each other: half of them choose, at random, and the others take
// the best available.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/devenv/cluster"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/problem"
)

func main() { os.Exit(program()) }

func program() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "holds:", err)
		return 1
	}
	return 0
}

func run(ctx context.Context, args []string, out, errOut io.Writer) (err error) {
	flags := flag.NewFlagSet("holds", flag.ContinueOnError)
	callers := flags.Int("callers", 64, "concurrent buyers")
	seconds := flags.Int("seconds", 3, "length of one measurement")
	rounds := flags.Int("rounds", 5, "interleaved rounds, of which the median counts")
	rush := flags.Int("rush", 0, "instead: so many buyers want a seat of one variant")
	seats := flags.Int64("seats", 10000, "seats that the variant has in a rush")
	seated := flags.Bool("seated", false, "in a rush: by a seat map")
	tickets := flags.Int("tickets", 2, "seats that each buyer wants of a seat map")
	if err := flags.Parse(args); err != nil {
		return err
	}
	c, err := cluster.Start(ctx, cluster.Config{Logger: slog.New(slog.NewTextHandler(errOut, &slog.HandlerOptions{Level: slog.LevelError}))})
	if err != nil {
		return fmt.Errorf("start the cluster: %w", err)
	}
	defer func() { err = errors.Join(err, c.Stop(context.WithoutCancel(ctx))) }()
	config, err := pgxpool.ParseConfig(c.File.DatabaseURLs["checkout"])
	if err != nil {
		return err
	}
	config.MaxConns = int32(*callers)
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return err
	}
	defer pool.Close()
	b := &bench{client: client.NewClient(c.File), pool: pool, callers: *callers, length: time.Duration(*seconds) * time.Second}
	if *rush > 0 && *seated {
		return b.seatedRush(ctx, *rush, *seats, *tickets, out)
	}
	if *rush > 0 {
		return b.rush(ctx, *rush, *seats, out)
	}
	ways, err := b.ways(ctx)
	if err != nil {
		return err
	}
	results := make([][]result, len(ways))
	for round := range *rounds {
		for i, w := range ways {
			r, err := b.measure(ctx, w)
			if err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
			results[i] = append(results[i], r)
		}
		fmt.Fprintf(errOut, "round %d of %d\n", round+1, *rounds)
	}
	return b.print(out, ways, results)
}

type bench struct {
	client  *client.Client
	pool    *pgxpool.Pool
	clock   clock.System
	callers int
	length  time.Duration
}

// result is one measurement: holds a second, and how long each took.
type result struct {
	rate float64
	took []time.Duration
}

// measure has all callers take stock in one way, each as soon as it has its answer.
func (b *bench) measure(ctx context.Context, w way) (result, error) {
	took := make([][]time.Duration, b.callers)
	errs := make([]error, b.callers)
	began := b.clock.Now()
	var wg sync.WaitGroup
	for i := range b.callers {
		wg.Go(func() {
			for b.clock.Now().Sub(began) < b.length && errs[i] == nil {
				start := b.clock.Now()
				errs[i] = w.take(ctx)
				took[i] = append(took[i], b.clock.Now().Sub(start))
			}
		})
	}
	wg.Wait()
	all := slices.Concat(took...)
	return result{rate: float64(len(all)) / b.clock.Now().Sub(began).Seconds(), took: all}, errors.Join(errs...)
}

func (b *bench) print(out io.Writer, ways []way, results [][]result) error {
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d cores, load of the machine %s; %d callers, %d rounds\n", runtime.NumCPU(), strings.TrimSpace(string(load)), b.callers, len(results[0]))
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "way\tper second\tof the single row\tp50\tp99\t")
	for i, way := range ways {
		fmt.Fprintf(w, "%s\t%.0f\t%.2f\t%s\t%s\t\n", way.name, median(results[i], func(r result, _ int) float64 { return r.rate }),
			median(results[i], func(r result, round int) float64 { return r.rate / results[0][round].rate }), quantile(results[i], 0.5), quantile(results[i], 0.99))
	}
	return w.Flush()
}

func median(results []result, of func(r result, round int) float64) float64 {
	var all []float64
	for i, r := range results {
		all = append(all, of(r, i))
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// quantile is the median over rounds of a quantile within each.
func quantile(results []result, q float64) time.Duration {
	return time.Duration(median(results, func(r result, _ int) float64 {
		d := slices.Sorted(slices.Values(r.took))
		return float64(d[min(int(float64(len(d))*q), len(d)-1)])
	})).Round(100 * time.Microsecond)
}

// variant puts a variant of a new event on sale.
func (b *bench) variant(ctx context.Context, capacity int64) (*checkoutv1.Variant, error) {
	event, err := b.client.Seed(ctx, b.clock.Now())
	if err != nil {
		return nil, err
	}
	return b.client.CreateVariant(ctx, client.NewKey(), event.GetId(), "Standing", "Hot", capacity,
		&checkoutv1.VariantVersion{Price: &moneyv1.Money{Currency: "EUR", MinorUnits: 4900}})
}

// rush has many buyers want a seat of one variant at once.
func (b *bench) rush(ctx context.Context, buyers int, seats int64, out io.Writer) error {
	variant, err := b.variant(ctx, seats)
	if err != nil {
		return err
	}
	var next, held, refused atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, b.callers)
	began := b.clock.Now()
	for i := range b.callers {
		wg.Go(func() {
			for next.Add(1) <= int64(buyers) && errs[i] == nil {
				_, err := b.client.Start(ctx, variant, 1)
				switch {
				case err == nil:
					held.Add(1)
				case problem.Reason(err) == "SOLD_OUT":
					refused.Add(1)
				default:
					errs[i] = err
				}
			}
		})
	}
	wg.Wait()
	took := b.clock.Now().Sub(began)
	if err := errors.Join(errs...); err != nil {
		return err
	}
	var taken, kept int64
	err = b.pool.QueryRow(ctx, `select (select sum(taken)::bigint from stock where variant_id = $1),
		(select sum(quantity)::bigint from order_lines l join holds h on h.order_id = l.order_id where h.state = 'active' and l.variant_id = $1)`,
		variant.GetId()).Scan(&taken, &kept)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d buyers, %d at once, %d seats: %d hold one, %d were refused; %d are counted as taken, holds keep %d; %.0f answers a second\n",
		buyers, b.callers, seats, held.Load(), refused.Load(), taken, kept, float64(buyers)/took.Seconds())
	if want := min(int64(buyers), seats); held.Load() != want || taken != want || kept != want {
		return fmt.Errorf("%d should hold a seat", want)
	}
	return nil
}
