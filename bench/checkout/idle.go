package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
	"time"
)

// idleSettle is how long a system is left alone before it counts as idle: what sales leave behind has ended by then.
const idleSettle = 10 * time.Second

// measureIdle prints what the system does each second while nobody asks anything of it: transactions that Postgres ended, those
// that only read included, by database, and shares of a core.
func (b *bench) measureIdle(ctx context.Context, length time.Duration, out io.Writer) error {
	if err := b.wait(ctx, idleSettle); err != nil {
		return err
	}
	first, err := b.meter.Beats(ctx)
	if err != nil {
		return err
	}
	before, err := b.usage(ctx)
	if err != nil {
		return err
	}
	from := b.clock.Now()
	if err := b.wait(ctx, length); err != nil {
		return err
	}
	last, err := b.meter.Beats(ctx)
	if err != nil {
		return err
	}
	after, err := b.usage(ctx)
	if err != nil {
		return err
	}
	took := b.clock.Now().Sub(from).Seconds()
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "idle\ttransactions/s\t")
	for _, name := range slices.Sorted(maps.Keys(last.Transactions)) {
		fmt.Fprintf(w, "%s\t%.2f\t\n", name, float64(last.Transactions[name]-first.Transactions[name])/took)
	}
	fmt.Fprintf(w, "the product\t%.2f\t\n", float64(last.Sum()-first.Sum())/took)
	if err := w.Flush(); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "idle, of one core: programs %.2f %%, sandbox included; Postgres %.2f %%\n",
		100*(after.programs-before.programs).Seconds()/took, 100*(after.postgres-before.postgres).Seconds()/took)
	return err
}

func (b *bench) wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
