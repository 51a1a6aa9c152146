// Package server runs one service from its settings to its listeners: it reads and checks the settings, opens and migrates
// the database, builds the service, serves it and drains it. It is all that the production program imports.
package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"slices"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/config"
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

// service is a service once it is built, as Serve runs it.
type service struct {
	policy   rpc.Policy
	identify rpc.Identify // nil: it gives out no tokens
	handlers func(options ...connect.HandlerOption) []rpc.Service
	routes   map[string]http.Handler
	start    func(ctx context.Context) error
	stop     func(ctx context.Context) error
	// away names the outside parties that do not answer now.
	away func() []string
}

// launch is a service whose settings are read and right: all that is left is to run it.
type launch struct {
	builder builder
	common  common
	build   func(deps) (service, error)
	options Options
}

// prepare reads the settings of a service and refuses those that are missing, wrong or unknown, all at once.
func prepare(name string, o Options) (launch, error) {
	b, err := builderOf(name)
	if err != nil {
		return launch{}, err
	}
	loader := config.New(o.Getenv)
	l := launch{builder: b, common: loadCommon(loader, b), build: b.load(loader).build, options: o}
	loader.Strict(withoutOthers(o.Environ, loader.Settings()))
	return l, errors.Join(loader.Err(), l.common.check())
}

// Serve runs one service from its settings until ctx ends, then drains it: health says NOT_SERVING, calls in flight
// finish, jobs stop, the database is closed. It migrates its database first, which any number of replicas may do at once.
func Serve(ctx context.Context, name string, o Options) error {
	l, err := prepare(name, o)
	if err != nil {
		return err
	}
	return l.run(ctx)
}

func (l launch) run(ctx context.Context) (err error) {
	name, c, o := l.builder.name, l.common, l.options
	logger := o.Logger.With(slog.String("service", name+"svc"))
	pool, err := pgdb.Open(ctx, c.databaseURL, pgdb.Options{MaxConns: int32(c.databaseConns), ApplicationName: name + "svc"})
	if err != nil {
		return err
	}
	defer pool.Close()
	if err := l.builder.migrate(ctx, pool); err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	tokens := newTokenWatch(name, pool, registry, logger)
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	s, err := l.build(deps{common: c, pool: pool, clock: o.Clock, logger: logger, registry: registry})
	if err != nil {
		return err
	}
	tlsConfig, err := c.tlsConfig()
	if err != nil {
		return err
	}
	if err := s.start(ctx); err != nil {
		return err
	}
	defer func() {
		stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.drainTimeout)
		defer cancel()
		err = errors.Join(err, s.stop(stopCtx))
	}()
	watchCtx, stopWatch := context.WithCancel(context.WithoutCancel(ctx))
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		tokens.watch(watchCtx)
	}()
	defer func() {
		stopWatch()
		<-watched
	}()
	return rpc.Serve(ctx, rpc.Config{
		Addr: c.listen, Listener: o.Listener, TLSConfig: tlsConfig, Routes: s.routes, CORSOrigins: c.corsOrigins,
		Services: withHealth(s.handlers(rpc.NewHandlerOptions(rpc.HandlerConfig{
			Logger: logger, Clock: o.Clock, Policy: s.policy, OperatorTokens: c.operatorTokens, Identify: s.identify, Registry: registry,
			OnWrongToken: tokens.count,
		})...), pool),
		Away:   s.away,
		Logger: logger, Clock: o.Clock, Registry: registry, DrainTimeout: c.drainTimeout, MaxInFlight: c.maxInFlight,
		TrustedProxies: c.trustedProxies,
	})
}

// withHealth lets the services that do not say otherwise depend on their database.
func withHealth(services []rpc.Service, pool *pgxpool.Pool) []rpc.Service {
	out := slices.Clone(services)
	for i := range out {
		if out[i].Health == nil {
			out[i].Health = func(ctx context.Context) error { return pgdb.CheckWritable(ctx, pool) }
		}
	}
	return out
}
