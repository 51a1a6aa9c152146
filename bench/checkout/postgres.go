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
	"strings"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5"
)

// usage is what has been used so far.
type usage struct {
	programs time.Duration // CPU of this process and of the services
	postgres time.Duration // CPU of the server; backends that have ended do not count
	commits  int64         // in all databases
	wal      int64         // bytes
}

// clockTicks is the unit of /proc/PID/stat, 100 a second on every Linux that Go runs on.
const clockTicks = 100

func (b *bench) usage(ctx context.Context) (usage, error) {
	var u usage
	conn, err := pgx.Connect(ctx, b.cluster.File.DatabaseURLs["checkout"])
	if err != nil {
		return u, err
	}
	defer func() { _ = conn.Close(ctx) }()
	var backend int
	if err := conn.QueryRow(ctx, `select pg_backend_pid(), (select sum(xact_commit)::bigint from pg_stat_database),
		pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint`).Scan(&backend, &u.commits, &u.wal); err != nil {
		return u, err
	}
	processes, err := readProcesses()
	if err != nil {
		return u, err
	}
	server := processes[backend].parent
	for pid, p := range processes {
		switch {
		case pid == server || p.parent == server && server > 1:
			u.postgres += p.cpu
		case processes.descends(pid, os.Getpid()):
			u.programs += p.cpu
		}
	}
	return u, nil
}

// processes are those of this machine, by id.
type processes map[int]process

type process struct {
	parent int
	cpu    time.Duration
}

// readProcesses reads /proc; processes that end meanwhile are left out.
func readProcesses() (processes, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	all := processes{}
	for _, path := range stats {
		text, err := os.ReadFile(filepath.Clean(path))
		if err != nil {
			continue
		}
		name := strings.LastIndexByte(string(text), ')') // which may hold anything
		fields := strings.Fields(string(text[name+1:]))
		var numbers [4]int // id, parent, ticks in user mode, ticks in the kernel
		for i, field := range []string{filepath.Base(filepath.Dir(path)), fields[1], fields[11], fields[12]} {
			if numbers[i], err = strconv.Atoi(field); err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
		}
		all[numbers[0]] = process{parent: numbers[1], cpu: time.Duration(numbers[2]+numbers[3]) * time.Second / clockTicks}
	}
	return all, nil
}

// descends says whether a process is another one or was started by it, directly or not.
func (all processes) descends(pid, from int) bool {
	for pid > 1 {
		if pid == from {
			return true
		}
		pid = all[pid].parent
	}
	return false
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

// printStatements prints where the time of Postgres went since the warm-up, per sale.
func (b *bench) printStatements(ctx context.Context, out io.Writer, n int) error {
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
