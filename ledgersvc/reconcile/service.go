// Package reconcile compares what orders, the ledger, our copies of it and Stripe have of the same money.
//
// A run over a span of time (run.go) reads each source in pages into unlogged tables, as records, and lets Postgres find
// the items that do not match:
//
//	orders <-> ledger       by reference and asset: what came to orders from Stripe, and what went back
//	ledger <-> Stripe       by reference, account and asset: what changed on the balances that we hold there
//	our copies <-> ledger   by reference: everything
//
// An unmatched item is not a difference yet. All sources are fetched again by its subject (fetch.go), so an edge of the
// span or a late fact is no false alarm; an item that is younger than a while is fetched a third time, and what is known
// to be in progress is kept for the next run and not reported. classify.go then says what the difference is and which
// source is probably wrong; it is pure. Of direct charges Stripe is not compared, but for the payouts of their accounts:
// their money is the organisers' own.
//
// Invariant: nothing here posts to the ledger or writes to Stripe.
package reconcile

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/dayof/dayof/gen/dayof/checkout/v1/checkoutv1connect"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/jobs"
	"github.com/dayof/dayof/internal/chassis/smtp"
	"github.com/dayof/dayof/ledgersvc/journal"
	"github.com/dayof/dayof/ledgersvc/ledgerdb"
)

// Deps is what a Service stands on. All fields are required, but for Orders.
type Deps struct {
	Config Config
	Pool   *pgxpool.Pool // ledgersvc's own database, migrated
	Clock  clock.Clock
	Logger *slog.Logger
	// Jobs takes the kinds of jobs of this package.
	Jobs *jobs.Registry
	// Orders is checkoutsvc; nil compares nothing.
	Orders checkoutv1connect.SettlementServiceClient
	// ListEntries gives f the transactions of the ledger that fit a filter in pages, whoever posted them. Its error wraps
	// ErrAnswered when the ledger answered this list with a failure.
	ListEntries func(ctx context.Context, filter map[string]any, f func([]journal.Entry) error) error
}

// Service implements ReconciliationService. Make one with New.
type Service struct {
	config      Config
	pool        *pgxpool.Pool
	clock       clock.Clock
	logger      *slog.Logger
	jobs        *jobs.Registry
	orders      checkoutv1connect.SettlementServiceClient
	listEntries func(ctx context.Context, filter map[string]any, f func([]journal.Entry) error) error
	stripe      *stripeReader // nil without a key
	mail        *smtp.Sender
	q           ledgerdb.Queries
}

// New returns a Service whose jobs are registered with d.Jobs, or what is wrong with its configuration.
func New(d Deps) (*Service, error) {
	c := d.Config.withDefaults()
	c.SMTP.From, c.SMTP.Logger = c.MailFrom, d.Logger
	sender, err := smtp.New(c.SMTP)
	if err != nil {
		return nil, err
	}
	for _, address := range c.ReportTo {
		if _, err := smtp.ParseAddress(address); err != nil {
			return nil, fmt.Errorf("DAYOF_LEDGER_RECONCILE_REPORT_TO: an entry %w", err)
		}
	}
	s := &Service{
		config: c, pool: d.Pool, clock: d.Clock, logger: d.Logger, jobs: d.Jobs, orders: d.Orders, listEntries: d.ListEntries,
		stripe: newStripeReader(c, d), mail: sender,
	}
	s.registerJobs()
	return s, nil
}

// fingerprintVersion is raised when the fields of a fingerprint change.
const fingerprintVersion = 1

// enumWord is the snake_case word of an enum's value.
func enumWord(value, prefix string) string { return strings.ToLower(strings.TrimPrefix(value, prefix)) }
