package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/devenv/cluster"
	"github.com/dayof/dayof/devenv/cost"
	"github.com/dayof/dayof/internal/chassis/clock"
)

// system is what is measured.
type system struct {
	replicas int
	variants int    // that are sold
	program  string // of processes of their own
	length   time.Duration
	settings map[string]string // of each Postgres
	costs    bool
	errOut   io.Writer
}

// serverSettings are settings of one Postgres on top of those of `up`, and storage parameters of tables.
type serverSettings struct {
	text     string
	settings map[string]string
	tables   []storageParameter
}

type storageParameter struct{ database, table, name, value string }

// parseServerSettings reads name=value,...; a name such as checkout.orders.fillfactor is a parameter of a table.
func parseServerSettings(text string) (serverSettings, error) {
	s := serverSettings{text: text, settings: map[string]string{}}
	for part := range strings.SplitSeq(text, ",") {
		name, value, ok := strings.Cut(part, "=")
		if !ok {
			return s, fmt.Errorf("%q is not name=value", part)
		}
		if words := strings.Split(name, "."); len(words) == 3 {
			s.tables = append(s.tables, storageParameter{words[0], words[1], words[2], value})
		} else {
			s.settings[name] = value
		}
	}
	return s, nil
}

// start starts a system, opens its shop, and sells for a moment. The caller stops it.
func (s system) start(ctx context.Context, server serverSettings) (*bench, error) {
	b := &bench{clock: clock.System{}, length: s.length}
	settings := maps.Clone(s.settings)
	maps.Copy(settings, server.settings)
	var err error
	b.cluster, err = cluster.Start(ctx, cluster.Config{
		Replicas: s.replicas, Program: s.program, PostgresSettings: settings,
		Logger: slog.New(slog.NewTextHandler(s.errOut, &slog.HandlerOptions{Level: slog.LevelError})),
	})
	if err != nil {
		return nil, fmt.Errorf("start the cluster: %w", err)
	}
	if err := b.open(ctx, server.tables, s.variants, s.costs); err != nil {
		return nil, errors.Join(err, b.stop(context.WithoutCancel(ctx)))
	}
	return b, nil
}

func (b *bench) open(ctx context.Context, parameters []storageParameter, variants int, costs bool) (err error) {
	b.client = client.NewClient(b.cluster.File)
	for _, p := range parameters {
		err := b.withDatabase(ctx, p.database, func(conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, "alter table "+pgx.Identifier{p.table}.Sanitize()+" set ("+p.name+" = "+p.value+")")
			return err
		})
		if err != nil {
			return fmt.Errorf("set %s of %s: %w", p.name, p.table, err)
		}
	}
	if costs {
		if b.meter, err = cost.NewMeter(ctx, b.cluster); err != nil {
			return err
		}
	}
	if err := b.sell(ctx, variants); err != nil {
		return err
	}
	_, err = b.measure(ctx, 8) // warms caches, connections and prepared statements
	return err
}

func (b *bench) stop(ctx context.Context) (err error) {
	if b.meter != nil {
		err = b.meter.Close(ctx)
	}
	return errors.Join(err, b.cluster.Stop(ctx))
}

// withDatabase connects to the database of a service, or of the sandbox ledger.
func (b *bench) withDatabase(ctx context.Context, name string, do func(conn *pgx.Conn) error) (err error) {
	u, err := url.Parse(b.cluster.File.DatabaseURLs["checkout"])
	if err != nil {
		return err
	}
	u.Path = strings.TrimSuffix(u.Path, "_checkout") + "_" + name
	conn, err := pgx.Connect(ctx, u.String())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	return do(conn)
}

// compare measures systems whose Postgres differ: in each round all of them, every other round in the opposite order. What is
// printed of each beside the first is the median of the rounds' ratios.
func (s system) compare(ctx context.Context, servers []serverSettings, rounds, callers int, out io.Writer) error {
	servers = append([]serverSettings{{text: "as it is"}}, servers...)
	var benches []*bench
	for _, server := range servers {
		b, err := s.start(ctx, server)
		if err != nil {
			return fmt.Errorf("%s: %w", server.text, err)
		}
		defer func() { _ = b.stop(context.WithoutCancel(ctx)) }()
		benches = append(benches, b)
	}
	order := make([]int, len(benches))
	for i := range order {
		order[i] = i
	}
	results := make([][]result, len(benches))
	for range rounds {
		for _, i := range order {
			r, err := benches[i].measure(ctx, callers)
			if err != nil {
				return fmt.Errorf("%s: %w", servers[i].text, err)
			}
			results[i] = append(results[i], r)
		}
		slices.Reverse(order)
	}
	printMachine(out)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "Postgres, %d callers, %d rounds\tsales/s\tof the first\tCPU ms/sale\tof the first\tof it Postgres\tof the first\tWAL kB/sale\tof the first\t\n", callers, rounds)
	for i, server := range servers {
		fmt.Fprint(w, server.text)
		for _, figure := range []func(result) float64{
			func(r result) float64 { return r.rate },
			func(r result) float64 { return 1000 * (r.busy + r.postgres) / r.rate },
			func(r result) float64 { return 1000 * r.postgres / r.rate },
			func(r result) float64 { return r.wal },
		} {
			fmt.Fprintf(w, "\t%.1f\t%.3f", median(results[i], figure), medianRatio(results[i], results[0], figure))
		}
		fmt.Fprintln(w, "\t")
	}
	return w.Flush()
}

// medianRatio is the median of the ratios of rounds.
func medianRatio(of, to []result, figure func(result) float64) float64 {
	var all []float64
	for i := range of {
		all = append(all, figure(of[i])/figure(to[i]))
	}
	slices.Sort(all)
	return all[len(all)/2]
}
