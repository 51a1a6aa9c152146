// Package checkoutsvc takes a buyer from a cart click to valid tickets: catalogue, holds, orders, tickets, payment
// facts, refunds and admission.
//
// An order is a row with two states. Its payment is derived from facts that merge in any order:
//
//	awaiting_payment -> processing, authorized -> paid -> partially_refunded -> refunded
//	      |                                         \-> disputed -> paid, charged_back
//	      \-> canceled, expired, failed
//
// Its fulfilment is a short walk (fulfil.go):
//
//	none -> in_progress -> completed
//	             | ^
//	             v |   (after a minute)
//	        ledger_blocked -> unfulfillable (given up, refunded)
//
// Invariant: a ticket is valid only after the ledger has its sale; captured money ends as a completed order, as a
// refund, or as an open review case.
package checkoutsvc

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	gonanoid "github.com/matoous/go-nanoid/v2"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	"github.com/dayof/dayof/gen/dayof/checkout/v1/checkoutv1connect"
	"github.com/dayof/dayof/gen/dayof/ledger/v1/ledgerv1connect"
	"github.com/dayof/dayof/gen/dayof/pass/v1/passv1connect"
	"github.com/dayof/dayof/internal/chassis/breaker"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/idem"
	"github.com/dayof/dayof/internal/chassis/jobs"
	"github.com/dayof/dayof/internal/chassis/pgdb"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// Deps is what a Service stands on. All fields are required, but for StripeTransport and SendAlert.
type Deps struct {
	Pool   *pgxpool.Pool
	Passes passv1connect.PassServiceClient     // issues and voids passes
	Ledger ledgerv1connect.LedgerServiceClient // posts money
	Clock  clock.Clock
	Logger *slog.Logger
	// StripeTransport carries calls to Stripe; nil is a transport of its own.
	StripeTransport http.RoundTripper
	// SendAlert delivers alerts to people; nil keeps them as rows.
	SendAlert func(ctx context.Context, alert jobs.Alert) error
}

// Service implements CheckoutService, CatalogService, OrderService, PaymentService, AccountService, AdmissionService
// and OperationsService. Make one with New.
type Service struct {
	Deps
	Config Config
	Jobs   *jobs.Registry

	q      checkoutdb.Queries
	stripe stripeAPI
	mail   *breaker.Breaker
	codes  codes
	// reminders are how long before the end of the time for evidence people are told, the longest first.
	reminders []time.Duration
	tokens    orderTokens
	walks     sync.WaitGroup // walks that outlive their callers
	dueWalks  atomic.Int64   // walks of due orders under way
	walking   sync.Map       // *walking by order id
}

// New returns a Service, or what is wrong with its configuration.
func New(c Config, d Deps) (*Service, error) {
	if c.WalkDeadline >= c.WalkLease {
		return nil, fmt.Errorf("DAYOF_CHECKOUT_WALK_DEADLINE (%s) must be below DAYOF_CHECKOUT_WALK_LEASE (%s)", c.WalkDeadline, c.WalkLease)
	}
	if err := requireStripeKey(c.StripeKey); err != nil {
		return nil, err
	}
	reminders, err := parseReminders(c.DisputeReminders)
	if err != nil {
		return nil, err
	}
	codes, err := newCodes(c.CodeKeys)
	if err != nil {
		return nil, err
	}
	tokens, err := newOrderTokens(c.OrderTokenKeys)
	if err != nil {
		return nil, err
	}
	if d.StripeTransport == nil {
		d.StripeTransport = &http.Transport{
			Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, MaxIdleConns: 256, MaxIdleConnsPerHost: 256, IdleConnTimeout: 90 * time.Second,
		}
	}
	s := &Service{
		Deps: d, Config: c, codes: codes, tokens: tokens, reminders: reminders,
		stripe: newStripeAPI(c, d.StripeTransport, breaker.New(breaker.Config{Party: "stripe", Logger: d.Logger, IsFailure: stripeAway})),
		mail:   breaker.New(breaker.Config{Party: "mail", Logger: d.Logger}),
		Jobs: jobs.New(d.Pool, jobs.Config{
			Logger: d.Logger, Clock: d.Clock, PollOnly: true, SendAlert: d.SendAlert, DeadLetterURL: c.ConsoleURL + "/dlq/checkout/",
		}),
	}
	s.registerJobs()
	s.Jobs.Sweep("walk due orders", c.SweepInterval, func(ctx context.Context) error {
		_, err := s.sweepOrders(ctx)
		return err
	})
	s.Jobs.Sweep("expire holds", c.SweepInterval, func(ctx context.Context) error {
		_, err := s.expireHolds(ctx)
		return err
	})
	s.Jobs.Periodic("delete_idempotency_keys", time.Hour, func(ctx context.Context) error {
		_, err := idem.DeleteExpired(ctx, d.Pool, d.Clock.Now())
		return err
	})
	return s, nil
}

// Migrate brings the service's database up to date.
func Migrate(ctx context.Context, pool *pgxpool.Pool) error {
	if err := pgdb.Migrate(ctx, pool, checkoutdb.Migrations()); err != nil {
		return err
	}
	return jobs.Migrate(ctx, pool)
}

// Start begins background work: jobs and the sweeps for due orders and holds.
func (s *Service) Start(ctx context.Context) error { return s.Jobs.Start(ctx) }

// Stop ends background work and waits for walks whose callers are gone.
func (s *Service) Stop(ctx context.Context) error {
	err := s.Jobs.Stop(ctx)
	s.walks.Wait() // each has a deadline of its own
	return err
}

// Policy says who may call what. Buyers' methods are open here and check the order access token themselves.
func Policy() rpc.Policy {
	return rpc.Policy{
		checkoutv1connect.CheckoutServiceStartCheckoutProcedure:       rpc.RolePublic,
		checkoutv1connect.CheckoutServiceCompleteCheckoutProcedure:    rpc.RolePublic,
		checkoutv1connect.CheckoutServiceGetOrderProcedure:            rpc.RolePublic,
		checkoutv1connect.CatalogServiceGetEventProcedure:             rpc.RolePublic,
		checkoutv1connect.CatalogServiceListEventsProcedure:           rpc.RolePublic,
		checkoutv1connect.CatalogServiceGetVariantProcedure:           rpc.RolePublic,
		checkoutv1connect.CatalogServiceListVariantsProcedure:         rpc.RolePublic,
		checkoutv1connect.CatalogServiceCreateEventProcedure:          rpc.RoleOperator,
		checkoutv1connect.CatalogServiceCreateProductProcedure:        rpc.RoleOperator,
		checkoutv1connect.CatalogServiceCreateVariantProcedure:        rpc.RoleOperator,
		checkoutv1connect.CatalogServiceCreateVariantVersionProcedure: rpc.RoleOperator,
		checkoutv1connect.OrderServiceGetOrderDetailsProcedure:        rpc.RoleOperator,
		checkoutv1connect.SettlementServiceListOrderMoneyProcedure:    rpc.RoleOperator,
		checkoutv1connect.OrderServiceListOrdersProcedure:             rpc.RoleOperator,
		checkoutv1connect.OrderServiceRefundOrderProcedure:            rpc.RoleOperator,
		checkoutv1connect.PaymentServiceRecordPaymentProcedure:        rpc.RoleOperator,
		checkoutv1connect.PaymentServiceRecordChargeProcedure:         rpc.RoleOperator,
		checkoutv1connect.PaymentServiceRecordRefundProcedure:         rpc.RoleOperator,
		checkoutv1connect.PaymentServiceRecordDisputeProcedure:        rpc.RoleOperator,
		checkoutv1connect.PaymentServiceRecordFraudWarningProcedure:   rpc.RoleOperator,
		checkoutv1connect.PaymentServiceRecordReviewProcedure:         rpc.RoleOperator,
		checkoutv1connect.PaymentServiceRecordSessionEndProcedure:     rpc.RoleOperator,
		checkoutv1connect.AccountServiceRecordAccountProcedure:        rpc.RoleOperator,
		checkoutv1connect.AccountServiceGetAccountProcedure:           rpc.RoleOperator,
		checkoutv1connect.AccountServiceListAccountsProcedure:         rpc.RoleOperator,
		checkoutv1connect.AdmissionServiceCheckTicketProcedure:        rpc.RoleOperator,
		checkoutv1connect.AdmissionServiceGetCodeKeysProcedure:        rpc.RoleOperator,
		checkoutv1connect.OperationsServiceListReviewCasesProcedure:   rpc.RoleOperator,
		checkoutv1connect.OperationsServiceResolveReviewCaseProcedure: rpc.RoleOperator,
		checkoutv1connect.OperationsServiceRaiseReviewCaseProcedure:   rpc.RoleOperator,
	}
}

// Handlers returns the services' handlers.
func (s *Service) Handlers(opts ...connect.HandlerOption) []rpc.Service {
	var services []rpc.Service
	add := func(name string) func(path string, h http.Handler) {
		return func(path string, h http.Handler) {
			services = append(services, rpc.Service{Name: name, Path: path, Handler: h, Health: s.Pool.Ping})
		}
	}
	add(checkoutv1connect.CheckoutServiceName)(checkoutv1connect.NewCheckoutServiceHandler(s, opts...))
	add(checkoutv1connect.CatalogServiceName)(checkoutv1connect.NewCatalogServiceHandler(s, opts...))
	add(checkoutv1connect.OrderServiceName)(checkoutv1connect.NewOrderServiceHandler(s, opts...))
	add(checkoutv1connect.PaymentServiceName)(checkoutv1connect.NewPaymentServiceHandler(s, opts...))
	add(checkoutv1connect.AccountServiceName)(checkoutv1connect.NewAccountServiceHandler(s, opts...))
	add(checkoutv1connect.AdmissionServiceName)(checkoutv1connect.NewAdmissionServiceHandler(s, opts...))
	add(checkoutv1connect.SettlementServiceName)(checkoutv1connect.NewSettlementServiceHandler(s, opts...))
	add(checkoutv1connect.OperationsServiceName)(checkoutv1connect.NewOperationsServiceHandler(s, opts...))
	return services
}

// inTx runs f in a transaction. A commit error is an unknown outcome: whoever calls repeats the whole with the same
// key, or reads again.
func (s *Service) inTx(ctx context.Context, f func(tx pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, s.Pool, f)
}

// idAlphabet has no - and no _: they look like flags on a command line and break ledger accounts.
const idAlphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// newID returns a NanoID of 21 letters and digits, 125 bits of chance.
func newID() string { return gonanoid.MustGenerate(idAlphabet, 21) }
