package server

import (
	"context"
	"fmt"
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

// builder says how a service is made. load declares all of its settings on the loader and returns what makes the service
// from them, which is called once they are known to be right.
type builder struct {
	name    string
	port    int // of its default address
	migrate func(ctx context.Context, pool *pgxpool.Pool) error
	load    func(l *config.Loader) func(d deps) (service, error)
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
		name: "checkout", port: checkoutPort, migrate: checkoutsvc.Migrate,
		load: func(l *config.Loader) func(deps) (service, error) {
			c := checkoutsvc.LoadConfig(l)
			passURL := peer(l, "pass", "http://127.0.0.1:8290")
			ledgerURL := peer(l, "ledger", "http://127.0.0.1:8291")
			return func(d deps) (service, error) {
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
		},
	}
}

func passBuilder() builder {
	return builder{
		name: "pass", port: passPort, migrate: passsvc.Migrate,
		load: func(l *config.Loader) func(deps) (service, error) {
			c := passsvc.LoadConfig(l)
			checkoutURL := peer(l, "checkout", "http://127.0.0.1:8289")
			return func(d deps) (service, error) {
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
		},
	}
}

func ledgerBuilder() builder {
	return builder{
		name: "ledger", port: ledgerPort, migrate: ledgersvc.Migrate,
		load: func(l *config.Loader) func(deps) (service, error) {
			c := ledgersvc.LoadConfig(l)
			checkoutURL := peer(l, "checkout", "http://127.0.0.1:8289")
			return func(d deps) (service, error) {
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
		},
	}
}

func webhookBuilder() builder {
	return builder{
		name: "webhook", port: webhookPort, migrate: webhooksvc.Migrate,
		load: func(l *config.Loader) func(deps) (service, error) {
			c := webhooksvc.LoadConfig(l)
			checkoutURL := peer(l, "checkout", "http://127.0.0.1:8289")
			ledgerURL := peer(l, "ledger", "http://127.0.0.1:8291")
			return func(d deps) (service, error) {
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
		},
	}
}
