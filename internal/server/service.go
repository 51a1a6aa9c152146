// Package server runs one service from its settings to its listeners: it reads and checks the settings, opens and migrates
// the database, builds the service, serves it and drains it. It is all that the production program imports.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"time"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/config"
	"github.com/dayof/dayof/internal/chassis/crash"
	"github.com/dayof/dayof/internal/chassis/pgdb"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// Options are what a service needs beside its settings. Getenv, Logger and Clock are required.
type Options struct {
	Getenv   func(string) string
	Environ  []string     // as os.Environ; unknown DAYOF_ settings in it stop the start
	Listener net.Listener // nil: listen where the settings say
	Logger   *slog.Logger
	Clock    clock.Clock
}

// common are the settings that every service has.
type common struct {
	listen         string
	databaseURL    string
	databaseConns  int
	operatorTokens []config.Secret
	corsOrigins    []string
	certificate    string
	key            string
	alertURL       string
	drainTimeout   time.Duration
	maxInFlight    int
	crashPoint     string
}

// member is a service once it is built, as Serve runs it.
type member struct {
	policy   rpc.Policy
	handlers func(options ...connect.HandlerOption) []rpc.Service
	routes   map[string]http.Handler
	start    func(ctx context.Context) error
	stop     func(ctx context.Context) error
}

// environment is what a service is built from.
type environment struct {
	loader   *config.Loader
	common   common
	pool     *pgxpool.Pool // nil while only the settings are wanted
	clock    clock.Clock
	logger   *slog.Logger
	registry *prometheus.Registry
}

// recipe says how a service is made. settings declares all of its settings on the loader; build makes it from them and is
// called once they are known to be right.
type recipe struct {
	name    string
	port    int // of its default address
	migrate func(ctx context.Context, pool *pgxpool.Pool) error
	load    func(l *config.Loader) func(e environment) (member, error)
}

// Services are the short names of the services, in the order in which settings and ports list them.
var Services = []string{"checkout", "pass", "ledger", "webhook"}

func recipes() []recipe {
	return []recipe{checkoutRecipe(), passRecipe(), ledgerRecipe(), webhookRecipe()}
}

func recipeOf(name string) (recipe, error) {
	for _, r := range recipes() {
		if r.name == name {
			return r, nil
		}
	}
	return recipe{}, fmt.Errorf("no such service: %s; one of %v", name, Services)
}

// loadCommon declares the settings that every service has. Secrets and the database have no default.
func loadCommon(l *config.Loader, r recipe) common {
	prefix := SettingPrefix(r.name)
	return common{
		listen:      l.String(prefix+"LISTEN", fmt.Sprintf("127.0.0.1:%d", r.port), "host:port to listen on"),
		databaseURL: l.Secret(prefix+"DATABASE_URL", "URL of the service's own Postgres database. Required").Reveal(),
		databaseConns: l.Int("DAYOF_DATABASE_CONNECTIONS", 16,
			"connections to the database, per replica; background jobs and calls share them"),
		operatorTokens: l.SecretList("DAYOF_OPERATOR_TOKEN",
			"bearer tokens of staff and of our own services, comma separated; the first is sent, all are accepted. Required"),
		corsOrigins: splitList(l.String("DAYOF_CORS_ORIGINS", "",
			"browser origins that may call the services, comma separated, such as https://shop.example; empty allows none")),
		certificate: l.String("DAYOF_TLS_CERT_FILE", "", "PEM file of the server's certificate chain; empty serves without TLS"),
		key:         l.String("DAYOF_TLS_KEY_FILE", "", "PEM file of the certificate's key"),
		alertURL:    l.URL("DAYOF_ALERT_URL", "", "where alerts are posted to as JSON; empty keeps them as rows"),
		drainTimeout: l.Duration("DAYOF_DRAIN_TIMEOUT", 10*time.Second,
			"how long calls in flight may take to finish after SIGTERM"),
		crashPoint: l.String("DAYOF_DEBUG_CRASH_POINT", "",
			"for tests only: die as by kill -9 at this point, POINT or POINT:N for the N-th time, or stop there with stop@ before it; refused by production builds"),
		maxInFlight: l.Int("DAYOF_MAX_IN_FLIGHT", 1024, "calls served at once before others are refused with resource_exhausted"),
	}
}

// Serve runs one service from its settings until ctx ends, then drains it: health says NOT_SERVING, calls in flight
// finish, jobs stop, the database is closed. It migrates its database first, which any number of replicas may do at once.
func Serve(ctx context.Context, name string, o Options) (err error) {
	r, err := recipeOf(name)
	if err != nil {
		return err
	}
	loader := config.New(o.Getenv)
	c := loadCommon(loader, r)
	build := r.load(loader)
	loader.Strict(withoutOthers(o.Environ, loader.Settings()))
	if err := errors.Join(loader.Err(), c.check(r.name), crash.Arm(c.crashPoint)); err != nil {
		return err
	}
	logger := o.Logger.With(slog.String("service", name+"svc"))
	pool, err := pgdb.Open(ctx, c.databaseURL, pgdb.Options{MaxConns: int32(c.databaseConns), ApplicationName: name + "svc"})
	if err != nil {
		return err
	}
	defer pool.Close()
	if err := r.migrate(ctx, pool); err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m, err := build(environment{loader: loader, common: c, pool: pool, clock: o.Clock, logger: logger, registry: registry})
	if err != nil {
		return err
	}
	tlsConfig, err := c.tlsConfig()
	if err != nil {
		return err
	}
	if err := m.start(ctx); err != nil {
		return err
	}
	defer func() {
		stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.drainTimeout)
		defer cancel()
		err = errors.Join(err, m.stop(stopCtx))
	}()
	return rpc.Serve(ctx, rpc.Config{
		Addr: c.listen, Listener: o.Listener, TLSConfig: tlsConfig, Routes: m.routes, CORSOrigins: c.corsOrigins,
		Services: withHealth(m.handlers(rpc.NewHandlerOptions(rpc.HandlerConfig{
			Logger: logger, Clock: o.Clock, Policy: m.policy, OperatorTokens: c.operatorTokens, Registry: registry,
		})...), pool),
		Logger: logger, Clock: o.Clock, Registry: registry, DrainTimeout: c.drainTimeout, MaxInFlight: c.maxInFlight,
	})
}

// Migrate brings a service's database up to date and does nothing else.
func Migrate(ctx context.Context, name string, getenv func(string) string) error {
	r, err := recipeOf(name)
	if err != nil {
		return err
	}
	c := loadCommon(config.New(getenv), r)
	if c.databaseURL == "" {
		return errors.New(SettingPrefix(name) + "DATABASE_URL is required")
	}
	pool, err := pgdb.Open(ctx, c.databaseURL, pgdb.Options{ApplicationName: "dayof migrate"})
	if err != nil {
		return err
	}
	defer pool.Close()
	return r.migrate(ctx, pool)
}

// Settings returns the settings of a service, and whether each is set, in the order of their use.
func Settings(name string, getenv func(string) string) ([]config.Setting, error) {
	r, err := recipeOf(name)
	if err != nil {
		return nil, err
	}
	loader := config.New(getenv)
	loadCommon(loader, r)
	r.load(loader)
	return loader.Settings(), nil
}

// check names the settings without which no service can run.
func (c common) check(name string) error {
	var errs []error
	if c.databaseURL == "" {
		errs = append(errs, errors.New(SettingPrefix(name)+"DATABASE_URL is required: URL of the service's own Postgres database"))
	}
	if len(c.operatorTokens) == 0 {
		errs = append(errs, errors.New("DAYOF_OPERATOR_TOKEN is required: bearer token of staff and of our own services"))
	}
	if (c.certificate == "") != (c.key == "") {
		errs = append(errs, errors.New("DAYOF_TLS_CERT_FILE and DAYOF_TLS_KEY_FILE are set both or not at all"))
	}
	return errors.Join(errs...)
}

func (c common) tlsConfig() (*tls.Config, error) {
	if c.certificate == "" {
		return nil, nil //nolint:nilnil // no TLS
	}
	pair, err := tls.LoadX509KeyPair(c.certificate, c.key)
	if err != nil {
		return nil, fmt.Errorf("read TLS certificate: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
}

// operatorToken is the one that calls to our other services carry.
func (c common) operatorToken() config.Secret { return c.operatorTokens[0] }

// withHealth lets the services that do not say otherwise depend on their database.
func withHealth(services []rpc.Service, pool *pgxpool.Pool) []rpc.Service {
	out := slices.Clone(services)
	for i := range out {
		if out[i].Health == nil {
			out[i].Health = pool.Ping
		}
	}
	return out
}
