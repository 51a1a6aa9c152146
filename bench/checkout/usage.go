package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/devenv/cost"
	"github.com/dayof/dayof/internal/server"
)

// usage is what has been used so far.
type usage struct {
	programs time.Duration            // CPU of this process and of the services
	postgres time.Duration            // CPU of the server; backends that have ended do not count
	parties  map[string]time.Duration // the same CPU by party
	commits  int64                    // in all databases
	wal      int64                    // bytes
}

// Parties beside the services and their databases.
const (
	selfParty     = "sandbox and load" // this process; without -processes the services too
	postgresParty = "Postgres itself"  // what serves no connection
)

// clockTicks is the unit of /proc/PID/stat, 100 a second on every Linux that Go runs on.
const clockTicks = 100

func (b *bench) usage(ctx context.Context) (usage, error) {
	u := usage{parties: map[string]time.Duration{}}
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
	databases, err := readBackends(ctx, conn)
	if err != nil {
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
			u.parties[databases.party(pid)] += p.cpu
		case processes.descends(pid, os.Getpid()):
			u.programs += p.cpu
			u.parties[partyOf(pid)] += p.cpu
		}
	}
	return u, nil
}

// backends are the databases of Postgres' processes, by id.
type backends map[int]string

func readBackends(ctx context.Context, conn *pgx.Conn) (backends, error) {
	rows, err := conn.Query(ctx, `select pid, datname from pg_stat_activity where datname is not null`)
	if err != nil {
		return nil, err
	}
	all := backends{}
	var pid int
	var database string
	_, err = pgx.ForEachRow(rows, []any{&pid, &database}, func() error {
		all[pid] = database
		return nil
	})
	return all, err
}

// party is whom a process of Postgres serves.
func (all backends) party(pid int) string {
	for _, name := range append([]string{cost.SandboxLedger}, server.Services()...) { // its name ends in that of a service
		if strings.HasSuffix(all[pid], "_"+name) {
			return "Postgres, " + name
		}
	}
	return postgresParty
}

// partyOf is what a process of ours runs, by its command line.
func partyOf(pid int) string {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
	arguments := strings.Split(string(text), "\x00")
	if err == nil && len(arguments) > 2 && arguments[1] == "serve" {
		return arguments[2]
	}
	return selfParty
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
