package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/devenv/postgres"
	"github.com/dayof/dayof/devenv/sandbox"
	"github.com/dayof/dayof/devenv/sandbox/stripe"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/pgdb"
	"github.com/dayof/dayof/internal/server"
	"github.com/dayof/dayof/webhooksvc"
)

// Config says how a cluster runs. The zero value runs one replica of each service on free ports, with all data in a temporary
// directory that Stop removes.
type Config struct {
	DataDir  string // keeps databases, secrets and Stripe's state; "" is a temporary directory
	Template string // what a temporary directory begins as a copy of, see MakeTemplate; "" is none
	PortBase int    // console; +1..+4 the services, +5 Postgres, +6.. the sandbox; 0 takes free ports
	Replicas int    // of each service; 0 means 1. Further ones take free ports
	Logger   *slog.Logger
	Clock    clock.Clock
	// Getenv is the environment: DAYOF_DATABASE_URL, DAYOF_FORMANCE_URL and settings of services. nil means os.Getenv.
	Getenv func(string) string
	// Program is the dayof program: each replica then runs as a process of its own (`dayof serve`). Empty runs all in this
	// process.
	Program string
	// Settings are settings of services that go before the environment and before what the cluster makes up.
	Settings map[string]string
	// PostgresSettings are settings of the embedded server, such as fsync=off for tests.
	PostgresSettings map[string]string
	// Seed repeats the sandbox's ids and faults; 0 takes a random one.
	Seed uint64
}

// stopTimeout bounds the stop of one part.
const stopTimeout = time.Minute

// Cluster is a whole system that runs in this process.
type Cluster struct {
	File client.File // addresses and secrets of the first replicas
	// Postgres is the database server of all services, and Sandbox stands in for the outside parties.
	Postgres *postgres.Server
	Sandbox  *sandbox.Sandbox

	config     Config
	dir        string
	temporary  bool
	secrets    secrets
	listeners  map[string][]net.Listener
	replicas   map[string][]*replica // by service
	processes  map[string][]*process // instead of replicas, where Program is set
	ledgerPool *pgxpool.Pool
	console    *http.Server
	failed     chan error // of a part that ended by itself
	stopOnce   sync.Once
	stopErr    error
}

// Start runs everything and returns when all services are healthy. ctx bounds the start only; the caller ends the cluster by
// Stop.
func Start(ctx context.Context, c Config) (*Cluster, error) {
	m := newCluster(c)
	if err := m.start(ctx); err != nil {
		return nil, errors.Join(err, m.Stop(ctx))
	}
	return m, nil
}

func newCluster(c Config) *Cluster {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Clock == nil {
		c.Clock = clock.System{}
	}
	if c.Getenv == nil {
		c.Getenv = os.Getenv
	}
	if c.Getenv("DAYOF_DATABASE_URL") != "" {
		c.Template = "" // another server has other databases
	}
	c.Replicas = max(c.Replicas, 1)
	return &Cluster{
		config: c, listeners: map[string][]net.Listener{}, replicas: map[string][]*replica{}, processes: map[string][]*process{},
		failed: make(chan error, 2*len(server.Services())*c.Replicas),
	}
}

// start is the list of what runs, in the order in which each part needs the ones before it.
func (m *Cluster) start(ctx context.Context) error {
	if err := m.openDirectory(); err != nil {
		return err
	}
	if err := m.listen(ctx); err != nil {
		return err
	}
	if err := m.startPostgres(ctx); err != nil {
		return err
	}
	if err := m.startSandbox(ctx); err != nil {
		return err
	}
	m.describe()
	m.startConsole()
	if m.config.Program != "" {
		return m.startProcesses(ctx)
	}
	m.startServices(ctx)
	return m.awaitHealth(ctx)
}

func (m *Cluster) openDirectory() (err error) {
	m.dir = m.config.DataDir
	if m.dir == "" {
		m.temporary = true
		m.dir, err = m.makeTemporary()
	} else if m.dir, err = filepath.Abs(m.dir); err == nil {
		err = os.MkdirAll(m.dir, 0o700)
	}
	if err != nil {
		return fmt.Errorf("open data directory: %w", err)
	}
	if m.secrets, err = loadSecrets(m.dir, m.config.Clock.Now()); err != nil {
		return err
	}
	if err := os.WriteFile(m.path(rootFile), []byte(m.secrets.PassRoot), 0o600); err != nil {
		return fmt.Errorf("write the root of the signing chain: %w", err)
	}
	return nil
}

// address is where a replica of a service, or the console, listens.
func (m *Cluster) address(name string, n int) string {
	return "http://" + m.listeners[name][n].Addr().String()
}

func (m *Cluster) path(name string) string { return filepath.Join(m.dir, name) }

func (m *Cluster) port(offset int) int {
	if m.config.PortBase == 0 {
		return 0
	}
	return m.config.PortBase + offset
}

// listen opens the services' ports before anything else starts, so that a port that is taken is reported at once.
func (m *Cluster) listen(ctx context.Context) error {
	open := func(name string, port int) error {
		l, err := m.listenOn(ctx, port)
		if err != nil {
			return fmt.Errorf("listen for %s: %w; choose other ports with -port-base", name, err)
		}
		m.listeners[name] = append(m.listeners[name], l)
		return nil
	}
	if err := open("console", m.port(0)); err != nil {
		return err
	}
	for i, service := range server.Services() {
		for n := range m.config.Replicas {
			port := 0
			if n == 0 {
				port = m.port(1 + i)
			}
			if err := open(service, port); err != nil {
				return err
			}
		}
	}
	return nil
}

// listenOn opens a port; 0 is a free one. That of a process is closed until the process has started, so it is none of those that systems
// give to connections (from 32768 on at Linux).
func (m *Cluster) listenOn(ctx context.Context, port int) (net.Listener, error) {
	listen := func(port int) (net.Listener, error) {
		return new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	}
	if port != 0 || m.config.Program == "" {
		return listen(port)
	}
	for {
		l, err := listen(10_000 + rand.N(20_000))
		if !errors.Is(err, syscall.EADDRINUSE) {
			return l, err
		}
	}
}

func (m *Cluster) startPostgres(ctx context.Context) (err error) {
	dataDir := ""
	if !m.temporary {
		dataDir = m.path("postgres")
	}
	m.Postgres, err = postgres.Start(ctx, postgres.Options{
		DataDir: dataDir, Template: m.postgresTemplate(), Port: m.port(5), Logger: m.config.Logger, Settings: m.config.PostgresSettings, Getenv: m.config.Getenv,
	})
	if err != nil {
		return err
	}
	if m.config.Template != "" { // it has them
		return nil
	}
	for _, name := range append([]string{"sandbox_ledger"}, server.Services()...) {
		if err := m.Postgres.CreateDatabase(ctx, m.database(name)); err != nil {
			return err
		}
	}
	return nil
}

// database is the name of a service's database: one of its own for each data directory, because several may share a server.
func (m *Cluster) database(service string) string { return m.secrets.DatabasePrefix + "_" + service }

func (m *Cluster) startSandbox(ctx context.Context) (err error) {
	webhooks := m.address("webhook", 0) + "/webhooks/stripe"
	journal := ""
	if !m.temporary {
		journal = m.path("stripe.journal")
	}
	given := m.config.Getenv("DAYOF_FORMANCE_URL")
	if given == "" {
		m.ledgerPool, err = pgdb.Open(ctx, m.Postgres.URL(m.database("sandbox_ledger")), pgdb.Options{ApplicationName: "sandbox ledger"})
		if err != nil {
			return err
		}
	}
	m.Sandbox, err = sandbox.Start(ctx, sandbox.Config{
		Clock: m.config.Clock, Logger: m.config.Logger.With(slog.String("service", "sandbox")), Seed: m.config.Seed,
		Ports: sandbox.PortsFrom(m.port(6)), LedgerPool: m.ledgerPool, LedgerURL: given, StripeJournal: journal,
		StripeEndpoints: []stripe.Endpoint{
			{URL: webhooks, Secret: m.secrets.StripeWebhookSecret, EnabledEvents: webhooksvc.EndpointTypes()},
			{URL: webhooks + "/connect", Secret: m.secrets.StripeConnectSecret, Connect: true, EnabledEvents: webhooksvc.EndpointTypes()},
		},
		PassIssuers: m.secrets.passIssuers(),
	})
	if err != nil {
		return err
	}
	if err := os.WriteFile(m.path(apnsFile), m.Sandbox.APNsRoots, 0o600); err != nil {
		return fmt.Errorf("write the root of the push service: %w", err)
	}
	return nil
}

// Failed receives the error of a part that ended by itself.
func (m *Cluster) Failed() <-chan error { return m.failed }

// Stop drains the services, callers before those they call, then ends the sandbox and the database. All that is temporary
// is removed. It may be called on a cluster that has only begun to start. Idempotent: a second call returns what the first one did.
func (m *Cluster) Stop(ctx context.Context) error {
	m.stopOnce.Do(func() { m.stopErr = m.stop(context.WithoutCancel(ctx)) })
	return m.stopErr
}

func (m *Cluster) stop(ctx context.Context) error {
	var errs []error
	for _, service := range []string{"webhook", "checkout", "pass", "ledger"} {
		for _, p := range m.processes[service] {
			errs = append(errs, p.terminate())
		}
		for _, r := range m.replicas[service] {
			r.stop()
		}
		for _, r := range m.replicas[service] {
			errs = append(errs, r.wait())
		}
	}
	if m.console != nil {
		errs = append(errs, m.console.Close())
	}
	if m.Sandbox != nil {
		errs = append(errs, m.Sandbox.Stop(ctx))
	}
	if m.ledgerPool != nil {
		m.ledgerPool.Close()
	}
	if m.Postgres != nil {
		errs = append(errs, m.stopPostgres(ctx))
	}
	for _, listeners := range m.listeners {
		for _, l := range listeners {
			_ = l.Close() // where nobody served
		}
	}
	if m.temporary && m.dir != "" {
		errs = append(errs, os.RemoveAll(m.dir))
	}
	return errors.Join(errs...)
}

// stopPostgres stops the server, and on one that is not ours drops what was only temporary.
func (m *Cluster) stopPostgres(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	var errs []error
	if m.temporary && m.config.Getenv("DAYOF_DATABASE_URL") != "" {
		for _, name := range append([]string{"sandbox_ledger"}, server.Services()...) {
			errs = append(errs, m.dropDatabase(ctx, m.database(name)))
		}
	}
	return errors.Join(append(errs, m.Postgres.Stop(ctx))...)
}

// ReplicaFile is dev.json with the addresses of the n-th replicas, from 0.
func (m *Cluster) ReplicaFile(n int) client.File {
	f := m.File
	f.CheckoutURL, f.PassURL = m.address("checkout", n), m.address("pass", n)
	f.LedgerURL, f.WebhookURL = m.address("ledger", n), m.address("webhook", n)
	return f
}

// MetricsURLs are the Prometheus pages of all replicas.
func (m *Cluster) MetricsURLs() []string {
	var urls []string
	for _, service := range server.Services() {
		for n := range m.config.Replicas {
			urls = append(urls, m.address(service, n)+"/metrics")
		}
	}
	return urls
}

// DatabaseURL is the address of a service's database, or of "sandbox_ledger".
func (m *Cluster) DatabaseURL(service string) string { return m.Postgres.URL(m.database(service)) }

// Clock is the clock that all parts go by.
func (m *Cluster) Clock() clock.Clock { return m.config.Clock }
