package ledgersvc

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
	"github.com/dayof/dayof/internal/chassis/alert"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/idem"
	"github.com/dayof/dayof/internal/chassis/jobs"
	"github.com/dayof/dayof/internal/chassis/pgdb"
	"github.com/dayof/dayof/internal/chassis/rpc"
	"github.com/dayof/dayof/ledgersvc/ledgerdb"
	"github.com/dayof/dayof/ledgersvc/reconcile"
)

// Deps is what a Service stands on. All fields are required, but for Registry, Orders and SendAlert.
type Deps struct {
	Config Config
	Pool   *pgxpool.Pool // the service's own database, migrated
	Clock  clock.Clock
	Logger *slog.Logger
	// Registry takes the service's metrics; nil counts nothing.
	Registry *prometheus.Registry
	// Orders is checkoutsvc, for the reconciliation; nil compares nothing.
	Orders checkoutv1connect.SettlementServiceClient
	// SendAlert delivers alerts to people; nil keeps them as rows.
	SendAlert alert.Sender
}

// Service implements LedgerService. StatementService is statements, ReconciliationService is package reconcile. Make one
// with New.
type Service struct {
	config         Config
	pool           *pgxpool.Pool
	clock          clock.Clock
	logger         *slog.Logger
	ledger         *ledger
	batches        *batches
	metrics        *metrics
	jobs           *jobs.Registry
	reconciliation *reconcile.Service
	q              ledgerdb.Queries
}

// New returns a Service that has not called anybody yet, or what is wrong with its configuration.
func New(d Deps) (*Service, error) {
	c := d.Config.withDefaults()
	s := &Service{config: c, pool: d.Pool, clock: d.Clock, logger: d.Logger, metrics: newMetrics(d.Registry)}
	s.ledger = newLedger(c.Formance, d.Logger, s.keepBook)
	s.batches = newBatches(s.ledger, c.Formance.BulkMax)
	s.jobs = jobs.New(d.Pool, jobs.Config{
		Logger: d.Logger, Clock: d.Clock, PollOnly: true, SendAlert: d.SendAlert, Queues: map[string]int{"reconcile": 1},
		DeadLetterURL: alert.Link(c.Reconcile.ConsoleURL, "/dlq/ledger/"),
	})
	idem.ScheduleExpiry(s.jobs, d.Pool, d.Clock)
	var err error
	s.reconciliation, err = reconcile.New(reconcile.Deps{
		Config: c.Reconcile, Pool: d.Pool, Clock: d.Clock, Logger: d.Logger, Jobs: s.jobs, Orders: d.Orders, ListEntries: s.ledger.listAnswered,
	})
	return s, err
}

// Migrations are the files of the service's database.
func Migrations() fs.FS { return ledgerdb.Migrations() }

// Migrate brings the service's database up to date.
func Migrate(ctx context.Context, pool *pgxpool.Pool) error {
	if err := pgdb.Migrate(ctx, pool, Migrations()); err != nil {
		return err
	}
	return jobs.Migrate(ctx, pool)
}

// Start finds the ledger and creates it if needed, and begins the background work, which Stop ends. An error means that
// somebody must act: it is no ledger, of another version, or another one than before; nothing has begun then. A ledger
// that does not answer is no error: calls answer LEDGER_UNAVAILABLE and try to reach it again.
func (s *Service) Start(ctx context.Context) error {
	prepareCtx, cancel := context.WithTimeout(ctx, s.config.CallTimeout+s.config.Formance.CreateTimeout)
	defer cancel()
	if err := s.ledger.prepare(prepareCtx); err != nil {
		if wrong, ok := errors.AsType[*wrongLedgerError](err); ok {
			return wrong
		}
		s.logger.LogAttrs(ctx, slog.LevelWarn, "ledger does not answer", slog.String("error", err.Error()))
	}
	return s.jobs.Start(ctx)
}

// Stop ends the background work. Calls in flight are the server's to drain, before.
func (s *Service) Stop(ctx context.Context) error {
	s.ledger.stop()
	return s.jobs.Stop(ctx)
}

// checkDatabase says whether the service's database can be used.
func (s *Service) checkDatabase(ctx context.Context) error { return pgdb.CheckWritable(ctx, s.pool) }

// Away names the outside parties that do not answer now. Posting waits for the ledger; statements of what is posted are read
// from our copy.
func (s *Service) Away() []string {
	if s.ledger.isAway() {
		return []string{"ledger"}
	}
	return nil
}

// Handlers returns the handlers of all services.
func (s *Service) Handlers(options ...connect.HandlerOption) []rpc.Service {
	ledgerPath, ledgerHandler := ledgerv1connect.NewLedgerServiceHandler(s, options...)
	statementPath, statementHandler := ledgerv1connect.NewStatementServiceHandler(&statements{pool: s.pool, ledger: s.ledger, metrics: s.metrics}, options...)
	reconcilePath, reconcileHandler := ledgerv1connect.NewReconciliationServiceHandler(s.reconciliation, options...)
	return []rpc.Service{
		{Name: ledgerv1connect.LedgerServiceName, Path: ledgerPath, Handler: ledgerHandler, Health: s.checkDatabase},
		{Name: ledgerv1connect.StatementServiceName, Path: statementPath, Handler: statementHandler, Health: s.checkDatabase},
		{Name: ledgerv1connect.ReconciliationServiceName, Path: reconcilePath, Handler: reconcileHandler, Health: s.checkDatabase},
	}
}

// Routes returns further HTTP handlers; there are none.
func (s *Service) Routes() map[string]http.Handler { return nil }

// Policy says who may call what: the books are for our own services and for staff.
func Policy() rpc.Policy {
	policy := make(rpc.Policy)
	for _, procedure := range []string{
		ledgerv1connect.LedgerServiceRecordSaleProcedure,
		ledgerv1connect.LedgerServiceRecordReceiptProcedure,
		ledgerv1connect.LedgerServiceRecordStripeFeeProcedure,
		ledgerv1connect.LedgerServiceRecordRefundProcedure,
		ledgerv1connect.LedgerServiceRecordRefundFailureProcedure,
		ledgerv1connect.LedgerServiceRecordDisputeFundsProcedure,
		ledgerv1connect.LedgerServiceRecordDisputeLossProcedure,
		ledgerv1connect.LedgerServiceRecordPayoutProcedure,
		ledgerv1connect.LedgerServiceRecordTransferProcedure,
		ledgerv1connect.LedgerServiceRecordTransferReversalProcedure,
		ledgerv1connect.LedgerServiceRecordApplicationFeeProcedure,
		ledgerv1connect.LedgerServiceRecordRecoveryProcedure,
		ledgerv1connect.LedgerServiceRecordConversionProcedure,
		ledgerv1connect.LedgerServiceRecordPayoutTransactionsProcedure,
		ledgerv1connect.StatementServiceGetEntryProcedure,
		ledgerv1connect.StatementServiceGetOrderStatementProcedure,
		ledgerv1connect.StatementServiceGetAccountStatementProcedure,
		ledgerv1connect.StatementServiceGetTrialBalanceProcedure,
		ledgerv1connect.StatementServiceListEntriesProcedure,
		ledgerv1connect.StatementServiceGetOrganizerStatementProcedure,
		ledgerv1connect.StatementServiceGetDayStatementProcedure,
		ledgerv1connect.StatementServiceExportStatementProcedure,
		ledgerv1connect.ReconciliationServiceStartReconciliationProcedure,
		ledgerv1connect.ReconciliationServiceGetReconciliationRunProcedure,
		ledgerv1connect.ReconciliationServiceListReconciliationRunsProcedure,
		ledgerv1connect.ReconciliationServiceListDifferencesProcedure,
		ledgerv1connect.ReconciliationServiceExportDifferencesProcedure,
		ledgerv1connect.ReconciliationServiceResolveDifferenceProcedure,
	} {
		policy[procedure] = rpc.RoleOperator
	}
	return policy
}

// keepBook keeps which ledger our copies are of, and refuses another one: posting there would book everything again.
func (s *Service) keepBook(ctx context.Context, name string, added time.Time) error {
	added = added.Truncate(time.Microsecond)
	kept, err := s.q.KeepBook(ctx, s.pool, name, added)
	if err != nil {
		return fmt.Errorf("keep book: %w", err)
	}
	if kept.Ledger != name || !kept.AddedTime.Equal(added) {
		return &wrongLedgerError{text: fmt.Sprintf("this database keeps copies of ledger %q made at %s, but the server has %q made at %s; "+
			"check DAYOF_FORMANCE_URL and DAYOF_FORMANCE_LEDGER", kept.Ledger, kept.AddedTime.Format(time.RFC3339), name, added.Format(time.RFC3339))}
	}
	return nil
}
