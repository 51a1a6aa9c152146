// Package checkoutsvc takes a buyer from a cart click to valid tickets: catalogue, holds, orders, tickets, payment
// facts, refunds and admission. This package puts the service together; what it does lies in the packages below it:
//
//	catalog, checkout, payment, orders, account,   a package per proto service: handlers, each with what it uses
//	admission, settlement, operations,
//	eventoperation, waitingroom
//	fulfilment, refund, booking, ticketpass,       work between them: attempts and jobs
//	receipt, dispute
//	orderstore, orderproto, stripecalls,           orders to and from rows, messages and Stripe
//	reviewcase, ticketcode, ordertoken, doortoken,
//	wire
//	order                                          the rules, pure; checkoutdb: SQL
//
// A package imports those of the groups below its own. Within a group, checkout imports payment, which observes what both of
// them report, and fulfilment imports booking and ticketpass, which word its requests.
package checkoutsvc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"time"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/dayof/dayof/checkoutsvc/account"
	"github.com/dayof/dayof/checkoutsvc/admission"
	"github.com/dayof/dayof/checkoutsvc/booking"
	"github.com/dayof/dayof/checkoutsvc/catalog"
	"github.com/dayof/dayof/checkoutsvc/checkout"
	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	"github.com/dayof/dayof/checkoutsvc/dispute"
	"github.com/dayof/dayof/checkoutsvc/doortoken"
	"github.com/dayof/dayof/checkoutsvc/eventoperation"
	"github.com/dayof/dayof/checkoutsvc/fulfilment"
	"github.com/dayof/dayof/checkoutsvc/operations"
	"github.com/dayof/dayof/checkoutsvc/orders"
	"github.com/dayof/dayof/checkoutsvc/orderstore"
	"github.com/dayof/dayof/checkoutsvc/ordertoken"
	"github.com/dayof/dayof/checkoutsvc/payment"
	"github.com/dayof/dayof/checkoutsvc/receipt"
	"github.com/dayof/dayof/checkoutsvc/refund"
	"github.com/dayof/dayof/checkoutsvc/settlement"
	"github.com/dayof/dayof/checkoutsvc/stripecalls"
	"github.com/dayof/dayof/checkoutsvc/ticketcode"
	"github.com/dayof/dayof/checkoutsvc/ticketpass"
	"github.com/dayof/dayof/checkoutsvc/tickets"
	"github.com/dayof/dayof/checkoutsvc/tickettoken"
	"github.com/dayof/dayof/checkoutsvc/waitingroom"
	"github.com/dayof/dayof/gen/dayof/checkout/v1/checkoutv1connect"
	"github.com/dayof/dayof/gen/dayof/ledger/v1/ledgerv1connect"
	"github.com/dayof/dayof/gen/dayof/pass/v1/passv1connect"
	"github.com/dayof/dayof/internal/chassis/alert"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/id"
	"github.com/dayof/dayof/internal/chassis/idem"
	"github.com/dayof/dayof/internal/chassis/jobs"
	"github.com/dayof/dayof/internal/chassis/pgdb"
	"github.com/dayof/dayof/internal/chassis/replica"
	"github.com/dayof/dayof/internal/chassis/rpc"
	"github.com/dayof/dayof/internal/chassis/smtp"
	"github.com/dayof/dayof/internal/chassis/stripeapi"
)

// Deps is what a Service stands on. All fields are required, but for Registry, StripeTransport and SendAlert.
type Deps struct {
	Config Config
	Pool   *pgxpool.Pool
	Passes passv1connect.PassServiceClient     // issues and voids passes
	Ledger ledgerv1connect.LedgerServiceClient // posts money
	Clock  clock.Clock
	Logger *slog.Logger
	// Registry takes the metrics; nil counts for nobody.
	Registry *prometheus.Registry
	// StripeTransport carries calls to Stripe; nil is a transport of its own.
	StripeTransport http.RoundTripper
	// SendAlert delivers alerts to people; nil keeps them as rows.
	SendAlert alert.Sender
}

// Service is checkoutsvc put together. Make one with New.
type Service struct {
	Jobs *jobs.Registry

	pool       *pgxpool.Pool
	stripe     stripecalls.Client
	mail       *smtp.Sender
	fulfilment *fulfilment.Fulfilment
	payments   *payment.Payments
	reminder   *dispute.Reminder
	runner     *eventoperation.Runner

	catalog    *catalog.Service
	checkout   *checkout.Service
	payment    *payment.Service
	orders     *orders.Service
	account    *account.Service
	admission  *admission.Service
	settlement *settlement.Service
	operations *operations.Service
	events     *eventoperation.Service
	rooms      *waitingroom.Service
	tickets    *tickets.Service
}

// New returns a Service, or what is wrong with its configuration.
func New(d Deps) (*Service, error) {
	c := d.Config
	if c.AttemptDeadline >= c.AttemptLease {
		return nil, fmt.Errorf("DAYOF_CHECKOUT_ATTEMPT_DEADLINE (%s) must be below DAYOF_CHECKOUT_ATTEMPT_LEASE (%s)", c.AttemptDeadline, c.AttemptLease)
	}
	reminders, remindersErr := dispute.ParseBefore(c.DisputeReminders)
	codes, codesErr := ticketcode.NewKeys(c.CodeKeys)
	tokens, tokensErr := ordertoken.NewKeys(c.OrderTokenKeys, c.OrderTokenLifetime)
	ticketTokens, ticketTokensErr := tickettoken.NewKeys(c.OrderTokenKeys, c.OrderTokenLifetime)
	doorTokens, doorTokensErr := doortoken.NewKeys(c.OrderTokenKeys)
	c.StripeLimits.Replicas = replica.NewCounter(d.Pool, d.Clock).Count
	confirmations, confirmationsErr := eventoperation.NewKeys(c.OrderTokenKeys)
	places, placesErr := waitingroom.NewKeys(c.OrderTokenKeys)
	stripe, stripeErr := stripecalls.New(stripeapi.Config{
		URL: c.StripeURL, Key: c.StripeKey, Timeout: c.StripeTimeout, Limits: c.StripeLimits, Transport: d.StripeTransport, Logger: d.Logger,
	})
	mail, mailErr := smtp.New(c.mail(d.Logger))
	if err := errors.Join(remindersErr, codesErr, tokensErr, ticketTokensErr, doorTokensErr, confirmationsErr, placesErr, stripeErr, mailErr); err != nil {
		return nil, err
	}
	s := &Service{
		pool: d.Pool, stripe: stripe, mail: mail,
		Jobs: jobs.New(d.Pool, jobs.Config{
			Logger: d.Logger, Clock: d.Clock, PollOnly: true, SendAlert: d.SendAlert, DeadLetterURL: alert.Link(c.ConsoleURL, "/dlq/checkout/"),
			Queues: map[string]int{queueCancels: cancelsAtOnce},
		}),
	}
	store := &orderstore.Store{
		Pool: d.Pool, Clock: d.Clock, Policy: c.policy(codes.Current()), Enqueue: s.enqueue, Link: c.orderLink,
	}
	refunds := &refund.Refunds{Orders: store, Stripe: stripe}
	s.fulfilment = &fulfilment.Fulfilment{
		Config: c.fulfilment(), Orders: store, Passes: d.Passes, Ledger: d.Ledger, Codes: codes, Logger: d.Logger,
		Metrics: fulfilment.NewMetrics(d.Registry),
	}
	payments := &payment.Payments{Orders: store, Stripe: stripe, Fulfilment: s.fulfilment}
	s.payments = payments
	s.reminder = &dispute.Reminder{Pool: d.Pool, Clock: d.Clock, Before: reminders, Link: c.orderLink}

	s.catalog = &catalog.Service{Pool: d.Pool, Clock: d.Clock, NewID: id.New}
	s.checkout = checkout.New(checkout.Deps{
		Orders: store, Passes: d.Passes, Payments: payments, Codes: codes, Tokens: tokens, Places: places,
		HoldTerms: c.holdTerms(), ProcessingHoldMax: c.ProcessingHoldMax,
	})
	s.payment = &payment.Service{Orders: store, Payments: payments, Refunds: refunds}
	s.orders = &orders.Service{Orders: store, Codes: codes, Invite: s.checkout.Invite}
	s.account = &account.Service{Pool: d.Pool, Clock: d.Clock, Stripe: stripe, NewID: id.New, Link: c.accountLink}
	s.admission = &admission.Service{Orders: store, Codes: codes, Tokens: doorTokens, NewID: id.New}
	s.settlement = &settlement.Service{Pool: d.Pool}
	s.operations = &operations.Service{Pool: d.Pool, Clock: d.Clock, NewID: id.New}

	s.runner = &eventoperation.Runner{Orders: store, Passes: d.Passes, Codes: codes, Logger: d.Logger}
	s.rooms = waitingroom.New(waitingroom.Deps{Pool: d.Pool, Clock: d.Clock, Tokens: places})
	s.events = &eventoperation.Service{Orders: store, Passes: d.Passes, Tokens: confirmations}

	passJobs := &ticketpass.Jobs{Orders: store, Passes: d.Passes, Codes: codes}
	s.tickets = &tickets.Service{
		Orders: store, Passes: d.Passes, Issuer: passJobs, Codes: codes, OrderTokens: tokens, Tokens: ticketTokens, CallerWait: c.CallerWait,
	}

	workers{
		booking:  &booking.Jobs{Orders: store, Ledger: d.Ledger, Stripe: stripe, FetchRefunds: refunds.Fetch, Insert: s.insert},
		refunds:  refunds,
		payments: payments,
		passes:   passJobs,
		mailer:   &receipt.Mailer{Orders: store, Passes: d.Passes, Mail: mail, Codes: codes, Tokens: ticketTokens, ShopURL: c.ShopURL},
		delayed:  delayedWork{pool: d.Pool, clock: d.Clock, link: c.orderLink},
	}.register(s.Jobs)
	s.schedule(c.SweepInterval, d.Clock)
	return s, nil
}

// timelineRetention is for how long the lines of an order's timeline are kept: until no dispute can come any more, which card networks
// allow for up to 540 days. Orders themselves are kept.
const timelineRetention = 560 * 24 * time.Hour

// schedule names what is done again and again.
func (s *Service) schedule(sweepInterval time.Duration, clk clock.Clock) {
	attemptDue := s.Jobs.OnWake("attempt due orders", s.fulfilment.AttemptDueOrders)
	attemptWaiting := s.Jobs.OnWake("attempt waiting orders", s.fulfilment.AttemptWaitingOrders)
	expireHolds := s.Jobs.OnWake("expire holds", s.checkout.ExpireHolds)
	runOperations := s.Jobs.OnWake("carry on event operations", s.runner.Run)
	expireTransfers := s.Jobs.OnWake("expire transfers", s.tickets.ExpireTransfers)
	s.fulfilment.SweepNow, s.events.Wake = attemptDue, runOperations
	s.Jobs.Sweep("look for due work", sweepInterval, func(ctx context.Context) error {
		found, err := checkoutdb.New().FindDueWork(ctx, s.pool)
		if err != nil {
			return fmt.Errorf("look for due work: %w", err)
		}
		for _, work := range []struct {
			due  bool
			wake func()
		}{
			{found.DueOrders, attemptDue},
			{found.WaitingOrders, attemptWaiting},
			{found.DueHolds, expireHolds},
			{found.DueOperations, runOperations},
			{found.DueTransfers, expireTransfers},
		} {
			if work.due {
				work.wake()
			}
		}
		return nil
	})
	s.Jobs.Periodic("remind_of_disputes", dispute.Interval, s.reminder.Remind)
	s.Jobs.Periodic("delete_old_timeline", time.Hour, func(ctx context.Context) error {
		_, err := pgdb.Purge(ctx, s.pool, "timeline", "time < $1", clk.Now().Add(-timelineRetention))
		return err
	})
	idem.ScheduleExpiry(s.Jobs, s.pool, clk)
}

// Migrations are the files of the service's database.
func Migrations() fs.FS { return checkoutdb.Migrations() }

// Migrate brings the service's database up to date.
func Migrate(ctx context.Context, pool *pgxpool.Pool) error {
	if err := pgdb.Migrate(ctx, pool, Migrations()); err != nil {
		return err
	}
	return jobs.Migrate(ctx, pool)
}

// Start begins background work: jobs and the sweeps for due orders and holds.
func (s *Service) Start(ctx context.Context) error { return s.Jobs.Start(ctx) }

// Stop ends background work and waits for intents and attempts whose callers are gone.
func (s *Service) Stop(ctx context.Context) error {
	err := s.Jobs.Stop(ctx)
	s.payments.Wait()
	s.fulfilment.Wait()
	return err
}

// checkDatabase says whether the service's database can be used.
func (s *Service) checkDatabase(ctx context.Context) error { return pgdb.CheckWritable(ctx, s.pool) }

// Away names the outside parties that do not answer now. Calls that need one are refused or wait; everything else goes on.
func (s *Service) Away() []string {
	var away []string
	if s.stripe.IsAway() {
		away = append(away, "stripe")
	}
	if s.mail.IsAway() {
		away = append(away, "mail")
	}
	return away
}

// Identify says whose token it is: those of door devices are made here.
func (s *Service) Identify(ctx context.Context, token string) (rpc.Caller, bool, error) {
	return s.admission.Identify(ctx, token)
}

// Handlers returns the services' handlers.
func (s *Service) Handlers(opts ...connect.HandlerOption) []rpc.Service {
	var services []rpc.Service
	add := func(name string) func(path string, h http.Handler) {
		return func(path string, h http.Handler) {
			services = append(services, rpc.Service{Name: name, Path: path, Handler: h, Health: s.checkDatabase})
		}
	}
	add(checkoutv1connect.CheckoutServiceName)(checkoutv1connect.NewCheckoutServiceHandler(s.checkout, opts...))
	add(checkoutv1connect.CatalogServiceName)(checkoutv1connect.NewCatalogServiceHandler(s.catalog, opts...))
	add(checkoutv1connect.OrderServiceName)(checkoutv1connect.NewOrderServiceHandler(s.orders, opts...))
	add(checkoutv1connect.PaymentServiceName)(checkoutv1connect.NewPaymentServiceHandler(s.payment, opts...))
	add(checkoutv1connect.AccountServiceName)(checkoutv1connect.NewAccountServiceHandler(s.account, opts...))
	add(checkoutv1connect.AdmissionServiceName)(checkoutv1connect.NewAdmissionServiceHandler(s.admission, opts...))
	add(checkoutv1connect.SettlementServiceName)(checkoutv1connect.NewSettlementServiceHandler(s.settlement, opts...))
	add(checkoutv1connect.OperationsServiceName)(checkoutv1connect.NewOperationsServiceHandler(s.operations, opts...))
	add(checkoutv1connect.TicketServiceName)(checkoutv1connect.NewTicketServiceHandler(s.tickets, opts...))
	add(checkoutv1connect.EventOperationServiceName)(checkoutv1connect.NewEventOperationServiceHandler(s.events, opts...))
	add(checkoutv1connect.WaitingRoomServiceName)(checkoutv1connect.NewWaitingRoomServiceHandler(s.rooms, opts...))
	return services
}
