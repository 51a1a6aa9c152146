package e2etest

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/devenv/cluster"
	"github.com/dayof/dayof/devenv/idle"
	"github.com/dayof/dayof/devenv/invariant"
	"github.com/dayof/dayof/devenv/pgtest"
	"github.com/dayof/dayof/devenv/sandbox/fault"
)

// OnGivenServer says whether the clusters' databases are on a server that is not theirs.
func OnGivenServer() bool { return getenv("DAYOF_DATABASE_URL") != "" }

// NeedsSandboxLedger leaves out a test that reads or changes the database of the sandbox ledger, where another ledger is given.
func NeedsSandboxLedger(t *testing.T) {
	t.Helper()
	if url := os.Getenv("DAYOF_FORMANCE_URL"); url != "" {
		t.Skipf("needs the database of the sandbox ledger, but the ledger is %s", url)
	}
}

// Config is a cluster of two replicas on a Postgres that need not survive a power cut. With DAYOF_FORMANCE_URL it keeps a ledger of its
// own on that server, behind the sandbox's faults. With DAYOF_E2E_PROGRAM, a dayof binary,
// each replica is a process of its own, and the tests are the same.
func Config() cluster.Config {
	getenv := getenv
	if os.Getenv("DAYOF_FORMANCE_URL") != "" && os.Getenv("DAYOF_FORMANCE_LEDGER") == "" {
		ledger := "e2e-" + strings.ToLower(rand.Text()) // a given server keeps the ledgers of other tests and runs
		environment := getenv
		getenv = func(name string) string {
			if name == "DAYOF_FORMANCE_LEDGER" {
				return ledger
			}
			return environment(name)
		}
	}
	return cluster.Config{Program: os.Getenv("DAYOF_E2E_PROGRAM"), Replicas: 2, PostgresSettings: pgtest.Settings(), Getenv: getenv, Logger: logger()}
}

// connections is how many connections each replica of a service has, as text: few, because a cluster opens all of them when it
// starts, and to open one costs Postgres more than most tests do with it.
const connections = "6"

// getenv runs the tests on DAYOF_TEST_DATABASE_URL, where it is set.
func getenv(name string) string {
	switch name {
	case "DAYOF_DATABASE_URL":
		return os.Getenv("DAYOF_TEST_DATABASE_URL")
	case "DAYOF_DATABASE_CONNECTIONS":
		return cmp.Or(os.Getenv(name), connections)
	}
	return os.Getenv(name)
}

// logger shows errors of the services with -v only.
func logger() *slog.Logger {
	if os.Getenv("DAYOF_LOG_LEVEL") == "" {
		return slog.New(slog.DiscardHandler)
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(os.Getenv("DAYOF_LOG_LEVEL"))); err != nil {
		level = slog.LevelWarn
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
}

// NewCluster starts a cluster of its own for a test that shortens times or makes parties fail.
func NewCluster(t *testing.T, replicas int, settings map[string]string) *cluster.Cluster {
	t.Helper()
	c := Config()
	c.Replicas, c.Settings = replicas, settings
	return StartCluster(t, c)
}

// StartCluster is NewCluster of a given configuration, which begins as Config.
func StartCluster(t *testing.T, c cluster.Config) *cluster.Cluster {
	t.Helper()
	m, err := Begin(t.Context(), c)
	if err != nil {
		t.Fatalf("start the cluster: %v", err)
	}
	t.Cleanup(func() {
		ctx := context.Background()
		if err := errors.Join(RecordStripeCalls(ctx, m), m.Stop(ctx)); err != nil {
			t.Errorf("stop the cluster: %v", err)
		}
	})
	return m
}

// busyFactor is by how much a machine that does other things as well may be slower than one that runs a test alone.
const busyFactor = 5

// Within bounds a test's waiting, that of its cleanup too. The limit is generous on a machine that does nothing else: on a busy
// one the wait may take busyFactor times as long.
func Within(t *testing.T, limit time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), busyFactor*limit)
	t.Cleanup(cancel)
	return ctx
}

// AssertClean checks all invariants of a cluster.
func AssertClean(t *testing.T, m *cluster.Cluster) {
	t.Helper()
	results, err := invariant.Run(Within(t, time.Minute), m.File)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		for _, v := range r.Violations {
			t.Errorf("violation of %s: %s", r.Name, v)
		}
	}
}

// Scale is how often something is tried: as the setting says, or a number that fits into a minute.
func Scale(t *testing.T, setting string, normally int) int {
	t.Helper()
	text := os.Getenv(setting)
	if text == "" {
		return normally
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s=%s is not a number above zero", setting, text)
	}
	return n
}

// AwaitIdle waits until nothing is left to do about the scope.
func AwaitIdle(t *testing.T, system *client.Client, scope idle.Scope) {
	t.Helper()
	ctx := Within(t, 2*time.Minute)
	watch, err := idle.NewWatch(ctx, system)
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Close()
	if err := watch.Await(ctx, scope); err != nil {
		t.Fatal(err)
	}
}

// WaitForHit waits until a call to the ledger hangs.
func WaitForHit(t *testing.T, m *cluster.Cluster) {
	t.Helper()
	ctx := Within(t, 10*time.Second)
	for m.Sandbox.Faults.List()[fault.Ledger].Hits == 0 {
		if ctx.Err() != nil {
			t.Fatal("nobody called the ledger")
		}
		Pause(ctx)
	}
}

// StartKept starts a cluster whose data outlive it.
func StartKept(t *testing.T, c cluster.Config) *cluster.Cluster {
	t.Helper()
	m, err := cluster.Start(t.Context(), c)
	if err != nil {
		t.Fatalf("start the cluster: %v", err)
	}
	return m
}

// Pause lets a moment pass between two reads of a state.
func Pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(20 * time.Millisecond):
	}
}

// OnDemand lets runs begin only when a test asks for them, and shortens the delay of the recheck.
var OnDemand = map[string]string{"DAYOF_LEDGER_RECONCILE_INTERVAL": "0s", "DAYOF_LEDGER_RECONCILE_RECHECK_DELAY": "300ms"}

// Connect opens a connection to a service's database.
func Connect(t *testing.T, m *cluster.Cluster, service string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(Within(t, 30*time.Second), m.File.DatabaseURLs[service])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(Within(t, 30*time.Second)); err != nil {
			t.Error(err)
		}
	})
	return conn
}
