package server

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/dayof/dayof/checkoutsvc"
	"github.com/dayof/dayof/gen/dayof/checkout/v1/checkoutv1connect"
	"github.com/dayof/dayof/gen/dayof/ledger/v1/ledgerv1connect"
	"github.com/dayof/dayof/gen/dayof/pass/v1/passv1connect"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/config"
	"github.com/dayof/dayof/internal/chassis/diagnosis"
	"github.com/dayof/dayof/internal/chassis/rpc"
	"github.com/dayof/dayof/ledgersvc"
	"github.com/dayof/dayof/passsvc"
	"github.com/dayof/dayof/webhooksvc"
)

// Ports of the services' default addresses, beside the console's.
const (
	consolePort  = 8288
	checkoutPort = consolePort + 1
	passPort     = consolePort + 2
	ledgerPort   = consolePort + 3
	webhookPort  = consolePort + 4
)

// deps is what a service is built from.
type deps struct {
	common   common
	pool     *pgxpool.Pool
	clock    clock.Clock
	logger   *slog.Logger
	registry *prometheus.Registry
}

// builder says how a service is made.
type builder struct {
	name       string
	port       int // of its default address
	migrations func() fs.FS
	migrate    func(ctx context.Context, pool *pgxpool.Pool) error
	// load declares all settings of the service on the loader and returns what is made of them.
	load func(l *config.Loader) loaded
}

// loaded is a service whose settings are read.
type loaded struct {
	// build makes the service, once its settings are known to be right.
	build func(d deps) (service, error)
	// diagnose asks the parties beyond our services whether they would serve with these settings. It changes nothing.
	diagnose func(ctx context.Context, clk clock.Clock) diagnosis.Findings
	// peers are the base URLs of the services that it calls, by their names.
	peers map[string]string
}

// builders are those of all services, in the order in which settings and ports list them.
func builders() []builder {
	return []builder{checkoutBuilder(), passBuilder(), ledgerBuilder(), webhookBuilder()}
}

// drainOrder lists the services so that each stands before those that it calls and cannot do without.
func drainOrder() []string { return []string{"webhook", "checkout", "pass", "ledger"} }

// Services are the short names of the services, in the order in which settings and ports list them.
func Services() []string {
	var names []string
	for _, b := range builders() {
		names = append(names, b.name)
	}
	return names
}

func builderOf(name string) (builder, error) {
	for _, b := range builders() {
		if b.name == name {
			return b, nil
		}
	}
	return builder{}, fmt.Errorf("no such service: %s; one of %v", name, Services())
}

// peer is the setting that says where another service is.
func peer(l *config.Loader, name, def string) string {
	return l.URL(SettingPrefix(name)+"URL", def, "base URL of "+name+"svc")
}

// peerTimeout bounds a call that has no deadline of its own; a fulfilment attempt has one.
const peerTimeout = 6 * time.Second

// settlementTimeout bounds a call for one page of settlement lines.
const settlementTimeout = 30 * time.Second

// dialPeer returns a client for another service, which knows us by our name and token.
func dialPeer[C any](d deps, self, baseURL string, timeout time.Duration, newClient func(connect.HTTPClient, string, ...connect.ClientOption) C) C {
	client, options := rpc.Dial(rpc.DialConfig{
		BaseURL: baseURL, Name: self, Token: d.common.operatorToken(), Timeout: timeout, Logger: d.logger,
	})
	return newClient(client, baseURL, options...)
}

func checkoutBuilder() builder {
	return builder{
		name: "checkout", port: checkoutPort, migrations: checkoutsvc.Migrations, migrate: checkoutsvc.Migrate,
		load: func(l *config.Loader) loaded {
			c := checkoutsvc.LoadConfig(l)
			passURL := peer(l, "pass", "http://127.0.0.1:8290")
			ledgerURL := peer(l, "ledger", "http://127.0.0.1:8291")
			build := func(d deps) (service, error) {
				s, err := checkoutsvc.New(checkoutsvc.Deps{
					Config: c,
					Pool:   d.pool,
					Passes: dialPeer(d, "checkoutsvc", passURL, peerTimeout, passv1connect.NewPassServiceClient),
					Ledger: dialPeer(d, "checkoutsvc", ledgerURL, peerTimeout, ledgerv1connect.NewLedgerServiceClient),
					Clock:  d.clock, Logger: d.logger, Registry: d.registry, SendAlert: alertSender(d.common.alertURL),
				})
				if err != nil {
					return service{}, err
				}
				return service{
					policy: checkoutsvc.Policy(), identify: s.Identify, handlers: s.Handlers, start: s.Start, stop: s.Stop, away: s.Away,
				}, nil
			}
			return loaded{
				build:    build,
				diagnose: func(ctx context.Context, _ clock.Clock) diagnosis.Findings { return checkoutsvc.Diagnose(ctx, c) },
				peers:    map[string]string{"pass": passURL, "ledger": ledgerURL},
			}
		},
	}
}

func passBuilder() builder {
	return builder{
		name: "pass", port: passPort, migrations: passsvc.Migrations, migrate: passsvc.Migrate,
		load: func(l *config.Loader) loaded {
			c := passsvc.LoadConfig(l)
			checkoutURL := peer(l, "checkout", "http://127.0.0.1:8289")
			build := func(d deps) (service, error) {
				s, err := passsvc.New(passsvc.Deps{
					Config:    c,
					Admission: dialPeer(d, "passsvc", checkoutURL, peerTimeout, checkoutv1connect.NewAdmissionServiceClient),
					Pool:      d.pool, Clock: d.clock, Logger: d.logger, Registry: d.registry, SendAlert: alertSender(d.common.alertURL),
				})
				if err != nil {
					return service{}, err
				}
				return service{policy: passsvc.Policy(), handlers: s.Handlers, routes: s.Routes(), start: s.Start, stop: s.Stop, away: s.Away}, nil
			}
			return loaded{
				build:    build,
				diagnose: func(ctx context.Context, clk clock.Clock) diagnosis.Findings { return passsvc.Diagnose(ctx, c, clk) },
				peers:    map[string]string{"checkout": checkoutURL},
			}
		},
	}
}

func ledgerBuilder() builder {
	return builder{
		name: "ledger", port: ledgerPort, migrations: ledgersvc.Migrations, migrate: ledgersvc.Migrate,
		load: func(l *config.Loader) loaded {
			c := ledgersvc.LoadConfig(l)
			checkoutURL := peer(l, "checkout", "http://127.0.0.1:8289")
			build := func(d deps) (service, error) {
				s, err := ledgersvc.New(ledgersvc.Deps{
					Config: c, Pool: d.pool, Clock: d.clock, Logger: d.logger, Registry: d.registry, SendAlert: alertSender(d.common.alertURL),
					Orders: dialPeer(d, "ledgersvc", checkoutURL, settlementTimeout, checkoutv1connect.NewSettlementServiceClient),
				})
				if err != nil {
					return service{}, err
				}
				return service{
					policy: ledgersvc.Policy(), handlers: s.Handlers, routes: s.Routes(), start: s.Start,
					stop: s.Stop, away: s.Away,
				}, nil
			}
			return loaded{
				build:    build,
				diagnose: func(ctx context.Context, _ clock.Clock) diagnosis.Findings { return ledgersvc.Diagnose(ctx, c) },
				peers:    map[string]string{"checkout": checkoutURL},
			}
		},
	}
}

func webhookBuilder() builder {
	return builder{
		name: "webhook", port: webhookPort, migrations: webhooksvc.Migrations, migrate: webhooksvc.Migrate,
		load: func(l *config.Loader) loaded {
			c := webhooksvc.LoadConfig(l)
			checkoutURL := peer(l, "checkout", "http://127.0.0.1:8289")
			ledgerURL := peer(l, "ledger", "http://127.0.0.1:8291")
			build := func(d deps) (service, error) {
				s, err := webhooksvc.New(webhooksvc.Deps{
					Config:   c,
					Pool:     d.pool,
					Payments: dialPeer(d, "webhooksvc", checkoutURL, webhooksvc.CallTimeout, checkoutv1connect.NewPaymentServiceClient),
					Accounts: dialPeer(d, "webhooksvc", checkoutURL, webhooksvc.CallTimeout, checkoutv1connect.NewAccountServiceClient),
					Desk:     dialPeer(d, "webhooksvc", checkoutURL, webhooksvc.CallTimeout, checkoutv1connect.NewOperationsServiceClient),
					Ledger:   dialPeer(d, "webhooksvc", ledgerURL, webhooksvc.CallTimeout, ledgerv1connect.NewLedgerServiceClient),
					Clock:    d.clock, Logger: d.logger, Registry: d.registry, SendAlert: alertSender(d.common.alertURL),
				})
				if err != nil {
					return service{}, err
				}
				return service{policy: webhooksvc.Policy(), handlers: s.Handlers, routes: s.Routes(), start: s.Start, stop: s.Stop, away: s.Away}, nil
			}
			return loaded{
				build:    build,
				diagnose: func(ctx context.Context, _ clock.Clock) diagnosis.Findings { return webhooksvc.Diagnose(ctx, c) },
				peers:    map[string]string{"checkout": checkoutURL, "ledger": ledgerURL},
			}
		},
	}
}
