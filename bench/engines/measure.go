package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5"
)

// result is one measurement.
type result struct {
	attempts int
	rate     float64 // attempts per second, until the last follow-up job has run
	took     []time.Duration
	drained  time.Duration // from the last attempt to the end of the last follow-up job
	written                // by everybody on this Postgres
}

// written is what Postgres wrote.
type written struct {
	commits int64 // that have a transaction id, so that wrote something
	wal     int64 // bytes
}

func readWritten(ctx context.Context, conn *pgx.Conn) (w written, err error) {
	err = conn.QueryRow(ctx, "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint, pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint").
		Scan(&w.commits, &w.wal)
	return w, err
}

func (w written) since(before written) written {
	return written{commits: w.commits - before.commits, wal: w.wal - before.wal}
}

// ticketsPerOrder is what a buyer buys.
const ticketsPerOrder = 2

// measure lets n callers make one attempt after the other, then counts what came of it.
func (b *bench) measure(ctx context.Context, name string, e engine, s *shop, n int, length time.Duration) (r result, err error) {
	if err := s.clear(ctx); err != nil {
		return r, err
	}
	before, err := readWritten(ctx, b.admin)
	if err != nil {
		return r, err
	}
	from := b.clock.Now()
	r.took, err = load(n, func() bool { return ctx.Err() == nil && b.clock.Now().Before(from.Add(length)) }, func(i int) (time.Duration, error) {
		p := purchase{Key: strings.ToLower(rand.Text()), Variant: fmt.Sprintf("variant_%d", i%variantCount), Quantity: ticketsPerOrder, Email: "ada@example.test"}
		begin := b.clock.Now()
		err := e.attempt(ctx, p)
		return b.clock.Now().Sub(begin), err
	})
	if err != nil {
		return r, err
	}
	ended := b.clock.Now()
	r.attempts = len(r.took)
	if b.jobs {
		if err := s.followUp.drain(ctx, 2*r.attempts); err != nil {
			return r, err
		}
	}
	r.drained = b.clock.Now().Sub(ended)
	r.rate = float64(r.attempts) / b.clock.Now().Sub(from).Seconds()
	after, err := readWritten(ctx, b.admin)
	r.written = after.since(before)
	return r, errors.Join(err, s.verify(ctx, r.attempts, ticketsPerOrder))
}

// load lets n callers work while they may; the number that work gets is that of the call. The first failure ends its caller and is returned.
func load(n int, goOn func() bool, work func(i int) (time.Duration, error)) (took []time.Duration, err error) {
	var mu sync.Mutex
	var callers sync.WaitGroup
	for caller := range n {
		callers.Go(func() {
			var mine []time.Duration
			var failure error
			for i := caller; goOn() && failure == nil; i += n {
				var d time.Duration
				if d, failure = work(i); failure == nil {
					mine = append(mine, d)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			took, err = append(took, mine...), errors.Join(err, failure)
		})
	}
	callers.Wait()
	return took, err
}

func (b *bench) print(ctx context.Context, out io.Writer) error {
	var fsync, commit, version string
	if err := b.admin.QueryRow(ctx, "SELECT current_setting('fsync'), current_setting('synchronous_commit'), current_setting('server_version')").
		Scan(&fsync, &commit, &version); err != nil {
		return err
	}
	fmt.Fprintf(out, "%d cores shared by engine, Postgres and load; load of the machine %s\n", runtime.NumCPU(), loadAverage())
	fmt.Fprintf(out, "Postgres %s, fsync %s, synchronous_commit %s; pools of %d; %d rounds of %v; follow-up jobs: %t\n",
		version, fsync, commit, poolSize, b.rounds, b.length, b.jobs)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "callers\tengine\tattempts/s\tto ours\tby round\tp50\tp99\tcommits/attempt\tWAL kB/attempt\tjobs drained after\t")
	for _, n := range b.callers {
		for _, name := range b.engines {
			rounds := b.results[key(name, n)]
			ratio, byRound := "-", []string{}
			if first := b.results[key(engineOurs, n)]; len(first) > 0 {
				ratio = fmt.Sprintf("%.2f", median(rounds, result.perSecond)/median(first, result.perSecond))
				for i, r := range rounds {
					byRound = append(byRound, fmt.Sprintf("%.2f", r.rate/first[i].rate))
				}
			}
			fmt.Fprintf(w, "%d\t%s\t%.0f\t%s\t%s\t%s\t%s\t%.1f\t%.1f\t%s\t\n", n, name, median(rounds, result.perSecond), ratio, strings.Join(byRound, " "),
				quantile(rounds, 0.5, func(r result) []time.Duration { return r.took }), quantile(rounds, 0.99, func(r result) []time.Duration { return r.took }),
				median(rounds, func(r result) float64 { return float64(r.commits) / float64(r.attempts) }),
				median(rounds, func(r result) float64 { return float64(r.wal) / 1000 / float64(r.attempts) }),
				time.Duration(median(rounds, func(r result) float64 { return float64(r.drained) })).Round(time.Millisecond))
		}
	}
	return w.Flush()
}

func (r result) perSecond() float64 { return r.rate }

// median is over the rounds.
func median[R any](rounds []R, of func(R) float64) float64 {
	var all []float64
	for _, r := range rounds {
		all = append(all, of(r))
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// quantile is the median over the rounds of each round's quantile.
func quantile[R any](rounds []R, q float64, of func(R) []time.Duration) string {
	middle := median(rounds, func(r R) float64 {
		all := slices.Sorted(slices.Values(of(r)))
		if len(all) == 0 {
			return 0
		}
		return float64(all[min(int(q*float64(len(all))), len(all)-1)])
	})
	return time.Duration(middle).Round(10 * time.Microsecond).String()
}

// loadAverage is the machine's, as the kernel reports it.
func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(text))[:3], " ")
}
