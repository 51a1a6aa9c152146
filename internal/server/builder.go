package server

import (
	"time"

	"connectrpc.com/connect"

	"github.com/dayof/dayof/checkoutsvc"
	"github.com/dayof/dayof/gen/dayof/checkout/v1/checkoutv1connect"
	"github.com/dayof/dayof/gen/dayof/ledger/v1/ledgerv1connect"
	"github.com/dayof/dayof/gen/dayof/pass/v1/passv1connect"
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

// peer is the setting that says where another service is.
func peer(l *config.Loader, name, def string) string {
	return l.URL(SettingPrefix(name)+"URL", def, "base URL of "+name+"svc")
}

// peerTimeout bounds a call of checkoutsvc that has no deadline of its own; a walk has one.
const peerTimeout = 6 * time.Second

// settlementTimeout bounds a page of what orders know of money.
const settlementTimeout = 30 * time.Second

// dialPeer returns a client for another service, which knows us by our name and token.
func dialPeer[C any](e environment, self, baseURL string, timeout time.Duration, newClient func(connect.HTTPClient, string, ...connect.ClientOption) C) C {
	client, options := rpc.Dial(rpc.DialConfig{
		BaseURL: baseURL, Name: self, Token: e.common.operatorToken(), Timeout: timeout, Logger: e.logger,
	})
	return newClient(client, baseURL, options...)
}

func checkoutRecipe() recipe {
	return recipe{
		name: "checkout", port: checkoutPort, migrate: checkoutsvc.Migrate,
		load: func(l *config.Loader) func(environment) (member, error) {
			c := checkoutsvc.LoadConfig(l)
			passURL := peer(l, "pass", "http://127.0.0.1:8290")
			ledgerURL := peer(l, "ledger", "http://127.0.0.1:8291")
			return func(e environment) (member, error) {
				s, err := checkoutsvc.New(c, checkoutsvc.Deps{
					Pool:   e.pool,
					Passes: dialPeer(e, "checkoutsvc", passURL, peerTimeout, passv1connect.NewPassServiceClient),
					Ledger: dialPeer(e, "checkoutsvc", ledgerURL, peerTimeout, ledgerv1connect.NewLedgerServiceClient),
					Clock:  e.clock, Logger: e.logger, SendAlert: alertSender(e.common.alertURL),
				})
				if err != nil {
					return member{}, err
				}
				return member{policy: checkoutsvc.Policy(), handlers: s.Handlers, start: s.Start, stop: s.Stop}, nil
			}
		},
	}
}

func passRecipe() recipe {
	return recipe{
		name: "pass", port: passPort, migrate: passsvc.Migrate,
		load: func(l *config.Loader) func(environment) (member, error) {
			c := passsvc.LoadConfig(l)
			return func(e environment) (member, error) {
				s, err := passsvc.New(c, passsvc.Deps{
					Pool: e.pool, Clock: e.clock, Logger: e.logger, Registry: e.registry, SendAlert: alertSender(e.common.alertURL),
				})
				if err != nil {
					return member{}, err
				}
				return member{policy: passsvc.Policy(), handlers: s.Handlers, routes: s.Routes(), start: s.Start, stop: s.Stop}, nil
			}
		},
	}
}

func ledgerRecipe() recipe {
	return recipe{
		name: "ledger", port: ledgerPort, migrate: ledgersvc.Migrate,
		load: func(l *config.Loader) func(environment) (member, error) {
			c := ledgersvc.LoadConfig(l)
			checkoutURL := peer(l, "checkout", "http://127.0.0.1:8289")
			return func(e environment) (member, error) {
				s, err := ledgersvc.New(ledgersvc.Deps{
					Config: c, Pool: e.pool, Clock: e.clock, Logger: e.logger, Registry: e.registry, SendAlert: alertSender(e.common.alertURL),
					Orders: dialPeer(e, "ledgersvc", checkoutURL, settlementTimeout, checkoutv1connect.NewSettlementServiceClient),
				})
				if err != nil {
					return member{}, err
				}
				return member{
					policy: ledgersvc.Policy(), handlers: s.Handlers, routes: s.Routes(), start: s.Start,
					stop: s.Stop,
				}, nil
			}
		},
	}
}

func webhookRecipe() recipe {
	return recipe{
		name: "webhook", port: webhookPort, migrate: webhooksvc.Migrate,
		load: func(l *config.Loader) func(environment) (member, error) {
			c := webhooksvc.LoadConfig(l)
			checkoutURL := peer(l, "checkout", "http://127.0.0.1:8289")
			ledgerURL := peer(l, "ledger", "http://127.0.0.1:8291")
			return func(e environment) (member, error) {
				s, err := webhooksvc.New(c, webhooksvc.Deps{
					Pool:     e.pool,
					Payments: dialPeer(e, "webhooksvc", checkoutURL, webhooksvc.CallTimeout, checkoutv1connect.NewPaymentServiceClient),
					Accounts: dialPeer(e, "webhooksvc", checkoutURL, webhooksvc.CallTimeout, checkoutv1connect.NewAccountServiceClient),
					Desk:     dialPeer(e, "webhooksvc", checkoutURL, webhooksvc.CallTimeout, checkoutv1connect.NewOperationsServiceClient),
					Ledger:   dialPeer(e, "webhooksvc", ledgerURL, webhooksvc.CallTimeout, ledgerv1connect.NewLedgerServiceClient),
					Clock:    e.clock, Logger: e.logger, Registry: e.registry, SendAlert: alertSender(e.common.alertURL),
				})
				if err != nil {
					return member{}, err
				}
				return member{policy: webhooksvc.Policy(), handlers: s.Handlers, routes: s.Routes(), start: s.Start, stop: s.Stop}, nil
			}
		},
	}
}
