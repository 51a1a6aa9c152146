// Package pgtest gives each test a fresh Postgres database.
//
// The first test of a test binary starts a private server (package postgres),
// so that `go test ./...` needs no set-up. A template database is migrated once
// and cloned per test, so tests are parallel, independent, and may use several
// connections. DAYOF_TEST_DATABASE_URL names a running server to use instead;
// its role must be allowed to create databases.
//
// Each package that uses it says
//
//	func TestMain(m *testing.M) { pgtest.Main(m) }
package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/dayof/dayof/devenv/postgres"
	"github.com/dayof/dayof/internal/chassis/pgdb"
)

const (
	// patience bounds migrating, cloning and dropping, each: on a machine with more to do than it can, a process
	// may get no time for minutes.
	patience = 5 * time.Minute
	// fetchPatience bounds starting the server, on a machine without PostgreSQL
	// with the download.
	fetchPatience = 12 * time.Minute
)

// binary is the one server of this test binary. It is the package's only state:
// tests cannot hand it to each other in another way.
var binary shared

type shared struct {
	mu        sync.Mutex
	running   bool // between the begin and the end of Main
	base      string
	server    *postgres.Server // nil when DAYOF_TEST_DATABASE_URL is used
	templates map[string]*template
	prefix    string // keeps our databases apart from others' on a shared server
}

type template struct {
	once sync.Once
	name string
	err  error
}

// Main runs a package's tests and stops the server afterwards. It does not
// return.
func Main(m *testing.M) {
	binary.begin()
	code := m.Run()
	if err := binary.end(); err != nil {
		fmt.Fprintln(os.Stderr, "pgtest:", err)
		code = 1
	}
	os.Exit(code)
}

// New returns a pool on a fresh database that migrate has brought up. migrate
// runs once per test binary and function, on the template: a closure that does
// different things at different times needs NewNamed. A nil migrate leaves the
// database empty. Pool and database go away with the test.
func New(tb testing.TB, migrate func(ctx context.Context, pool *pgxpool.Pool) error) *pgxpool.Pool {
	tb.Helper()
	name := "empty"
	if migrate != nil {
		name = runtime.FuncForPC(reflect.ValueOf(migrate).Pointer()).Name()
	}
	pool, _ := NewNamed(tb, name, migrate)
	return pool
}

// NewNamed is New with a name for what migrate does, unique in the test binary.
// It also returns the database's address, for a second pool or a subprocess.
func NewNamed(tb testing.TB, name string, migrate func(ctx context.Context, pool *pgxpool.Pool) error) (*pgxpool.Pool, string) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), patience)
	defer cancel()
	source, err := binary.template(ctx, name, migrate)
	if err != nil {
		tb.Fatalf("pgtest: %v", err)
	}
	database := binary.newName("test")
	if err := binary.clone(ctx, database, source); err != nil {
		tb.Fatalf("pgtest: %v", err)
	}
	tb.Cleanup(func() { drop(tb, database) })
	address := binary.url(database)
	pool, err := pgdb.Open(ctx, address, pgdb.Options{ApplicationName: tb.Name()})
	if err != nil {
		tb.Fatalf("pgtest: %v", err)
	}
	tb.Cleanup(func() { closePool(tb, pool) })
	return pool, address
}

// Server returns the private server, for tests that crash and restart it or
// that need databases of their own. It fails the test under
// DAYOF_TEST_DATABASE_URL, because that server is not ours to crash. Tests that
// crash it must not run in parallel with others: prefer postgres.Start.
func Server(tb testing.TB) *postgres.Server {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), patience)
	defer cancel()
	if err := binary.start(ctx); err != nil {
		tb.Fatalf("pgtest: %v", err)
	}
	if binary.server == nil {
		tb.Fatal("pgtest: this test needs a server of its own: unset DAYOF_TEST_DATABASE_URL")
	}
	return binary.server
}

// Settings make a server small and quick, for data that nobody will miss.
func Settings() map[string]string {
	return map[string]string{
		"fsync":                           "off",
		"synchronous_commit":              "off",
		"full_page_writes":                "off",
		"shared_buffers":                  "32MB",
		"wal_level":                       "minimal",
		"max_wal_senders":                 "0",
		"autovacuum":                      "off",
		"max_worker_processes":            "0",
		"max_parallel_workers":            "0",
		"max_connections":                 "300",
		"bgwriter_lru_maxpages":           "0",
		"checkpoint_timeout":              "1h",
		"logging_collector":               "off",
		"max_logical_replication_workers": "0",
	}
}

func (b *shared) begin() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.running = true
	b.templates = make(map[string]*template)
	b.prefix = "dayof_" + strings.ToLower(rand.Text()[:10]) + "_"
}

func (b *shared) end() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.running = false
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if b.server != nil {
		return b.server.Stop(ctx)
	}
	var errs []error
	for _, t := range b.templates {
		if t.name != "" {
			errs = append(errs, b.exec(ctx, "DROP DATABASE IF EXISTS "+quote(t.name)+" WITH (FORCE)"))
		}
	}
	return errors.Join(errs...)
}

// start starts the server unless it runs.
func (b *shared) start(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.running {
		return errors.New("the package needs: func TestMain(m *testing.M) { pgtest.Main(m) }")
	}
	if b.base != "" {
		return nil
	}
	if given := os.Getenv("DAYOF_TEST_DATABASE_URL"); given != "" {
		b.base = given
		return nil
	}
	// Fetching the binaries takes longer than anything else here.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchPatience)
	defer cancel()
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	server, err := postgres.Start(ctx, postgres.Options{Settings: Settings(), Getenv: withoutDatabaseURL, Logger: logger})
	if err != nil {
		return fmt.Errorf("start postgres: %w", err)
	}
	b.server, b.base = server, server.URL("postgres")
	return nil
}

// withoutDatabaseURL hides DAYOF_DATABASE_URL: tests never run against the
// database that a program on this machine is configured to use.
func withoutDatabaseURL(name string) string {
	if name == "DAYOF_DATABASE_URL" {
		return ""
	}
	return os.Getenv(name)
}

// template returns the migrated database to clone, made by the first caller.
func (b *shared) template(ctx context.Context, name string, migrate func(ctx context.Context, pool *pgxpool.Pool) error) (string, error) {
	if err := b.start(ctx); err != nil {
		return "", err
	}
	b.mu.Lock()
	t, ok := b.templates[name]
	if !ok {
		t = new(template)
		b.templates[name] = t
	}
	b.mu.Unlock()
	t.once.Do(func() {
		t.name = b.newName("template")
		// The test that happens to be first may end early; the template is for
		// all of them.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		t.err = b.makeTemplate(ctx, t.name, migrate)
	})
	if t.err != nil {
		return "", fmt.Errorf("make template %s: %w", name, t.err)
	}
	return t.name, nil
}

func (b *shared) makeTemplate(ctx context.Context, database string, migrate func(ctx context.Context, pool *pgxpool.Pool) error) error {
	if err := b.exec(ctx, "CREATE DATABASE "+quote(database)+" TEMPLATE template0"); err != nil {
		return err
	}
	if migrate == nil {
		return nil
	}
	pool, err := pgdb.Open(ctx, b.url(database), pgdb.Options{ApplicationName: "pgtest template"})
	if err != nil {
		return err
	}
	defer pool.Close() // a database can be cloned only while nobody is connected
	return migrate(ctx, pool)
}

// clone copies a template. On our own server, which never syncs, copying files
// is a third faster than writing them to the WAL (100 to 150 ms on two busy
// cores); elsewhere its checkpoints would disturb others.
func (b *shared) clone(ctx context.Context, database, source string) error {
	statement := "CREATE DATABASE " + quote(database) + " TEMPLATE " + quote(source)
	if b.server != nil {
		statement += " STRATEGY FILE_COPY"
	}
	return b.exec(ctx, statement)
}

// exec runs one statement on the maintenance database.
func (b *shared) exec(ctx context.Context, statement string) error {
	conn, err := pgx.Connect(ctx, b.base)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.Exec(ctx, statement); err != nil {
		return fmt.Errorf("%s: %w", statement, err)
	}
	return nil
}

func (b *shared) newName(kind string) string {
	return b.prefix + kind + "_" + strings.ToLower(rand.Text()[:12])
}

// url replaces the database in the server's address.
func (b *shared) url(database string) string {
	address, err := url.Parse(b.base)
	if err != nil { // it was connected to before
		panic(fmt.Sprintf("pgtest: the server's address is not a URL: %v", err))
	}
	address.Path = "/" + database
	return address.String()
}

// closePool fails the test when connections are not given back: Close would
// wait for them for ever.
func closePool(tb testing.TB, pool *pgxpool.Pool) {
	tb.Helper()
	closed := make(chan struct{})
	go func() {
		pool.Close()
		close(closed)
	}()
	select {
	case <-closed:
	case <-time.After(patience):
		tb.Errorf("pgtest: %d connections of the pool were not released", pool.Stat().AcquiredConns())
	}
}

// drop removes a test's database, cutting off who is still connected.
func drop(tb testing.TB, database string) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := binary.exec(ctx, "DROP DATABASE IF EXISTS "+quote(database)+" WITH (FORCE)"); err != nil {
		tb.Errorf("pgtest: %v", err)
	}
}

func quote(identifier string) string { return pgx.Identifier{identifier}.Sanitize() }
