package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"text/tabwriter"
	"time"
)

func (b *bench) print(out io.Writer, counts []int, results map[int][]result, commits []float64) error {
	printMachine(out)
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

// printMachine says what the figures below it were measured on.
func printMachine(out io.Writer) {
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		load = []byte("unknown")
	}
	fmt.Fprintf(out, "%d cores, load of the machine %s\n", runtime.NumCPU(), bytes.TrimSpace(load))
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
