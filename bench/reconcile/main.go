// Command reconcile measures how long it takes to compare the books of a day: what orders, the ledger, ledgersvc's copy and
// Stripe say of the same sales.
//
//	go run ./bench/reconcile [-orders 100000] [-mistakes 100] [-rounds 1]
//
// The sales are written straight into the databases and into sandbox Stripe's journal, a sale and a fee each. Every service
// is a process of its own, so that the memory reported is that of ledgersvc alone. After the clean rounds some postings are
// removed, and a last round finds them.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/devenv/cluster"
	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/internal/chassis/clock"
)

func main() { os.Exit(program()) }

func program() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "reconcile:", err)
		return 1
	}
	return 0
}

func run(ctx context.Context, args []string, out, errOut io.Writer) error {
	flags := flag.NewFlagSet("reconcile", flag.ContinueOnError)
	orders := flags.Int("orders", 100_000, "orders of the day")
	mistakes := flags.Int("mistakes", 100, "postings that are removed before the last round")
	rounds := flags.Int("rounds", 1, "rounds over clean books")
	if err := flags.Parse(args); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "dayof-bench-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "dayof")
	if output, err := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/dayof").CombinedOutput(); err != nil {
		return fmt.Errorf("build dayof (run this in the repository): %w: %s", err, output)
	}
	clk := clock.System{}
	s := seed{orders: *orders, day: clk.Now().Truncate(24*time.Hour).AddDate(0, 0, -10)}
	data := filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		return err
	}
	if err := s.writeStripe(filepath.Join(data, "stripe.journal")); err != nil {
		return err
	}
	m, err := cluster.Start(ctx, cluster.Config{
		Program: binary, DataDir: data, Settings: map[string]string{"DAYOF_LEDGER_RECONCILE_INTERVAL": "0s"},
		Logger: slog.New(slog.NewTextHandler(errOut, &slog.HandlerOptions{Level: slog.LevelError})),
	})
	if err != nil {
		return fmt.Errorf("start the cluster: %w", err)
	}
	defer func() { _ = m.Stop(context.WithoutCancel(ctx)) }()
	from := clk.Now()
	if err := s.write(ctx, m.File); err != nil {
		return err
	}
	fmt.Fprintf(out, "%d cores, load %s; %d orders written in %s\n", runtime.NumCPU(), load(), *orders, clk.Now().Sub(from).Round(time.Second))
	b := bench{client: client.NewClient(m.File), clock: clk, seed: s, table: tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)}
	fmt.Fprintln(b.table, "round\tlines\tledger\tStripe\tdifferences\ttime\torders/s\tledgersvc CPU\tRSS before\tRSS peak\tload\t")
	for i := range *rounds {
		if err := b.round(ctx, fmt.Sprintf("clean %d", i+1), 0); err != nil {
			return err
		}
	}
	if *mistakes > 0 {
		if err := s.removePostings(ctx, m.File, *mistakes); err != nil {
			return err
		}
		if err := b.round(ctx, "mistakes", *mistakes); err != nil {
			return err
		}
	}
	return b.table.Flush()
}

type bench struct {
	client *client.Client
	clock  clock.Clock
	seed   seed
	table  *tabwriter.Writer
}

// round compares the day once and prints what it took.
func (b *bench) round(ctx context.Context, name string, want int) error {
	before, err := readLedgersvc()
	if err != nil {
		return err
	}
	began := b.clock.Now()
	run, open, err := b.client.Reconcile(ctx, b.seed.day, b.seed.day.AddDate(0, 0, 1))
	if err != nil {
		return err
	}
	took := b.clock.Now().Sub(began)
	after, err := readLedgersvc()
	if err != nil {
		return err
	}
	fmt.Fprintf(b.table, "%s\t%d\t%d\t%d\t%d\t%s\t%.0f\t%s\t%d MB\t%d MB\t%s\t\n", name, run.GetOrderLineCount(), run.GetLedgerTransactionCount(),
		run.GetStripeTransactionCount(), len(open), took.Round(10*time.Millisecond), float64(b.seed.orders)/took.Seconds(),
		(after.cpu - before.cpu).Round(10*time.Millisecond), before.rss>>20, after.peak>>20, load())
	if len(open) != want || run.GetState() != ledgerv1.RunState_RUN_STATE_DONE {
		_ = b.table.Flush()
		first := ""
		if len(open) > 0 {
			first = open[0].String()
		}
		return fmt.Errorf("%d differences are open, want %d: %s", len(open), want, first)
	}
	return nil
}

// load is the load of the machine over the last minute.
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	first, _, _ := strings.Cut(string(text), " ")
	return first
}
