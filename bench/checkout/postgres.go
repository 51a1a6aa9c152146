package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"text/tabwriter"

	"github.com/jackc/pgx/v5"
)

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
	database, err := url.Parse(b.cluster.File.DatabaseURLs["checkout"])
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

func (b *bench) forgetStatements(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, b.cluster.File.DatabaseURLs["checkout"])
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	_, err = conn.Exec(ctx, `create extension if not exists pg_stat_statements; select pg_stat_statements_reset()`)
	return err
}

// printStatements prints where the time of Postgres went since the warm-up, per sale or per another unit.
func (b *bench) printStatements(ctx context.Context, out io.Writer, n int, unit string, units float64) error {
	conn, err := pgx.Connect(ctx, b.cluster.File.DatabaseURLs["checkout"])
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
	fmt.Fprintf(w, "database\tcalls/%[1]s\tms/%[1]s\tstatement\n", unit)
	var database, query string
	var calls int64
	var took float64
	_, err = pgx.ForEachRow(rows, []any{&database, &calls, &took, &query}, func() error {
		_, err := fmt.Fprintf(w, "%s\t%.2f\t%.3f\t%s\n", database, float64(calls)/units, took/units, query)
		return err
	})
	if err != nil {
		return err
	}
	return w.Flush()
}
