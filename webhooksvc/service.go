// Package webhooksvc takes in what Stripe reports: it verifies, stores, and translates webhook events into RPCs of the
// other services. It has no business rules: facts go out in the order in which they happen to be processed, and the
// receivers merge them.
//
// An event lives in the inbox, one row per (endpoint, event id):
//
//	received -> applied | ignored | rejected
//	received <-> deferred (its order is unknown so far)
//	received | deferred -> dead (tries used up, or no try can help) -> received (replayed, or delivered again)
//
// The invariant: what was answered with 2xx is a row, and every row that is received or deferred says when it is tried next.
package webhooksvc

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

	"github.com/dayof/dayof/gen/dayof/checkout/v1/checkoutv1connect"
	"github.com/dayof/dayof/gen/dayof/ledger/v1/ledgerv1connect"
	"github.com/dayof/dayof/gen/dayof/webhook/v1/webhookv1connect"
	"github.com/dayof/dayof/internal/chassis/alert"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/gather"
	"github.com/dayof/dayof/internal/chassis/idem"
	"github.com/dayof/dayof/internal/chassis/jobs"
	"github.com/dayof/dayof/internal/chassis/pgdb"
	"github.com/dayof/dayof/internal/chassis/rpc"
	"github.com/dayof/dayof/webhooksvc/webhookdb"
)

// Deps is what a Service stands on. All fields are required, but for the last three.
type Deps struct {
	Config   Config
	Pool     *pgxpool.Pool
	Payments checkoutv1connect.PaymentServiceClient    // takes payments, charges, refunds and disputes; dial with CallTimeout
	Accounts checkoutv1connect.AccountServiceClient    // takes connected accounts and knows whose they are; dial with CallTimeout
	Desk     checkoutv1connect.OperationsServiceClient // takes what a person must decide; dial with CallTimeout
	Ledger   ledgerv1connect.LedgerServiceClient       // takes payouts, transfers and fees; dial with CallTimeout
	Clock    clock.Clock
	Logger   *slog.Logger
	// Registry collects metrics; nil counts nowhere.
	Registry *prometheus.Registry
	// StripeTransport carries calls to Stripe; nil is a transport of its own.
	StripeTransport http.RoundTripper
	// SendAlert delivers alerts to people; nil keeps them as rows.
	SendAlert alert.Sender
}

// Service implements WebhookService and the webhook endpoints. Make one with New.
type Service struct {
	Deps

	Jobs *jobs.Registry

	q        webhookdb.Queries
	queue    *queue
	inbox    *inbox
	ends     gather.Gathering[*ending]
	handlers map[string]handler
	stripe   stripeReader
	metrics  *metrics
	rejected rejections
}

// New returns a Service, or what is wrong with its configuration. Nothing runs before Start; the endpoints accept
// deliveries from the beginning.
func New(d Deps) (*Service, error) {
	c := d.Config
	if err := c.check(); err != nil {
		return nil, err
	}
	s := &Service{
		Deps:     d,
		handlers: handlersByType(),
		stripe:   newStripeReader(d),
		metrics:  newMetrics(d.Registry),
		Jobs: jobs.New(d.Pool, jobs.Config{
			Logger: d.Logger, Clock: d.Clock, PollOnly: true,
			SendAlert: d.SendAlert, DeadLetterURL: alert.Link(c.ConsoleURL, "/dlq/webhook/"),
		}),
	}
	s.queue = newQueue(d.Pool, d.Logger, c.Workers, s.workEvent)
	s.inbox = newInbox(d.Pool, s.queue)
	s.ends = s.newEnds()
	s.Jobs.Sweep("count open webhook events", countInterval, s.countOpen)
	s.Jobs.Sweep("watch overdue webhook events", countInterval, s.watchOverdue)
	s.Jobs.Sweep("watch refused deliveries", countInterval, s.watchRejections)
	s.Jobs.Periodic("delete_old_webhook_events", time.Hour, s.purge)
	if c.StripeKey.IsSet() {
		jobs.Register(s.Jobs, backfillPolicy, backfiller{s}.workBackfill)
		s.Jobs.Periodic("backfill_webhook_events", c.BackfillInterval, backfiller{s}.backfill)
		if c.SilenceAfter > 0 {
			s.Jobs.Periodic("watch_webhook_deliveries", max(c.SilenceAfter/2, time.Second), backfiller{s}.watchSilence)
		}
	}
	idem.ScheduleExpiry(s.Jobs, d.Pool, d.Clock)
	return s, nil
}

// Migrations are the files of the service's database.
func Migrations() fs.FS { return webhookdb.Migrations() }

// Migrate brings the service's database up to date.
func Migrate(ctx context.Context, pool *pgxpool.Pool) error {
	if err := pgdb.Migrate(ctx, pool, Migrations()); err != nil {
		return err
	}
	return jobs.Migrate(ctx, pool)
}

// Start begins to process what is in the inbox, and asks Stripe for what it could not deliver while nobody ran.
func (s *Service) Start(ctx context.Context) error {
	if err := s.Jobs.Start(ctx); err != nil {
		return err
	}
	s.queue.start(ctx)
	if !s.Config.StripeKey.IsSet() {
		s.Logger.LogAttrs(ctx, slog.LevelWarn, "no backfill of webhook events: DAYOF_STRIPE_KEY is not set")
		return nil
	}
	if err := s.Jobs.Insert(ctx, backfillArgs{}); err != nil {
		return fmt.Errorf("start backfill: %w", err)
	}
	return nil
}

// Stop ends background work; what it interrupts is tried again by the next process.
func (s *Service) Stop(ctx context.Context) error {
	return errors.Join(s.queue.stop(ctx), s.Jobs.Stop(ctx))
}

// Away names the outside parties that do not answer now. Deliveries are taken all the same.
func (s *Service) Away() []string {
	if s.stripe.IsAway() {
		return []string{"stripe"}
	}
	return nil
}

// Policy says who may call what. Stripe's deliveries are no RPCs: see Routes.
func Policy() rpc.Policy {
	return rpc.Policy{
		webhookv1connect.WebhookServiceListWebhookEventsProcedure:   rpc.RoleOperator,
		webhookv1connect.WebhookServiceGetWebhookEventProcedure:     rpc.RoleOperator,
		webhookv1connect.WebhookServiceReplayWebhookEventsProcedure: rpc.RoleOperator,
		webhookv1connect.WebhookServiceListHandlersProcedure:        rpc.RoleOperator,
	}
}

// Handlers returns the service's handler. It is healthy while its database answers.
func (s *Service) Handlers(opts ...connect.HandlerOption) []rpc.Service {
	path, handler := webhookv1connect.NewWebhookServiceHandler(s, opts...)
	return []rpc.Service{{Name: webhookv1connect.WebhookServiceName, Path: path, Handler: handler, Health: func(ctx context.Context) error { return pgdb.CheckWritable(ctx, s.Pool) }}}
}

// The paths of the endpoints.
const pathAccount, pathConnect = "/webhooks/stripe", "/webhooks/stripe/connect"

// Routes returns the endpoints that Stripe posts to.
func (s *Service) Routes() map[string]http.Handler {
	routes := map[string]http.Handler{
		pathAccount: &endpoint{service: s, name: endpointAccount, secrets: s.Config.AccountSecrets},
	}
	if len(s.Config.ConnectSecrets) > 0 {
		routes[pathConnect] = &endpoint{service: s, name: endpointConnect, secrets: s.Config.ConnectSecrets}
	}
	return routes
}
