// Package passsvc keeps the wallet passes of tickets: their content and revisions, signing, Apple's web service,
// registrations of devices, and the pushes that notify them of changes.
//
//	IssuePasses ─ revision 1          a device: register ─ push ─ list ─ fetch
//	UpdatePass, VoidPass, batch ─ revision n + pushes, one transaction ─ commit ─ APNs
//
// Invariants: a revision exists if and only if something that the holder can see changed; its pushes exist if it does;
// reading never writes; equal entity tags mean equal bytes on every replica.
package passsvc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/dayof/dayof/gen/dayof/checkout/v1/checkoutv1connect"
	"github.com/dayof/dayof/gen/dayof/pass/v1/passv1connect"
	"github.com/dayof/dayof/internal/chassis/alert"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/idem"
	"github.com/dayof/dayof/internal/chassis/jobs"
	"github.com/dayof/dayof/internal/chassis/pgdb"
	"github.com/dayof/dayof/internal/chassis/rpc"
	"github.com/dayof/dayof/passsvc/passdb"
)

// Deps is what a Service stands on. All fields are required, but for Admission, Registry and SendAlert.
type Deps struct {
	Config Config
	Pool   *pgxpool.Pool
	Clock  clock.Clock
	Logger *slog.Logger
	// Admission knows which tickets are valid; nil shows every pass.
	Admission checkoutv1connect.AdmissionServiceClient
	// Registry takes the service's metrics; nil counts nothing.
	Registry *prometheus.Registry
	// SendAlert delivers alerts to people; nil keeps them as rows.
	SendAlert alert.Sender
}

// Service implements PassService and Apple's web service. Make one with New.
type Service struct {
	Deps

	Jobs *jobs.Registry

	q            passdb.Queries
	keys         keyRing
	certificates *certificateStore
	renderer     *renderer
	cache        *passCache
	metrics      *metrics
	pages        *pages
	stalled      sync.Map // pass types that APNs does not answer for
	google       *googleWallet
	validity     *validity
	logLimit     logLimit
	pusher       *pusher
	wakeBatches  func() // makes batches go on now; never blocks
}

// New returns a Service, or what is wrong with its configuration. A service without any certificate starts: it serves
// what needs none, and IssuePasses refuses.
func New(d Deps) (*Service, error) {
	d.Config.PublicURL = strings.TrimSuffix(d.Config.PublicURL, "/")
	c := d.Config
	if strings.HasSuffix(c.PublicURL, "/v1") {
		return nil, errors.New("DAYOF_PASS_PUBLIC_URL must not end in /v1: devices append it")
	}
	keys, err := newKeyRing(c.TokenKeys)
	if err != nil {
		return nil, fmt.Errorf("DAYOF_PASS_TOKEN_KEYS: %w", err)
	}
	for id, passType := range c.OrganizerPassTypes {
		if id == "" || passType == "" {
			return nil, errors.New("DAYOF_PASS_ORGANIZER_TYPES: write each as organizer id=pass type, separated by commas")
		}
	}
	if err := checkContact(c.SupportContact); err != nil {
		return nil, err
	}
	certificates, err := newCertificateStore(c, d.Clock, d.Logger)
	if err != nil {
		return nil, err
	}
	renderer, err := newRenderer(keys, c.PublicURL)
	if err != nil {
		return nil, err
	}
	pages, err := newPages(c.BadgeDir)
	if err != nil {
		return nil, err
	}
	google, err := newGoogleWallet(c.Google, c.PublicURL, d.Clock)
	if err != nil {
		return nil, err
	}
	s := &Service{
		Deps: d, keys: keys, certificates: certificates, renderer: renderer,
		metrics: newMetrics(d.Registry), pages: pages, google: google,
		Jobs: jobs.New(d.Pool, jobs.Config{Logger: d.Logger, Clock: d.Clock, PollOnly: true, SendAlert: d.SendAlert}),
	}
	if s.cache, err = newPassCache(s); err != nil {
		return nil, err
	}
	if s.validity, err = newValidity(d.Admission, d.Logger); err != nil {
		return nil, err
	}
	s.Jobs.Sweep("read_certificates", time.Minute, s.certificates.reload)
	s.pusher = newPusher(s)
	s.wakeBatches = s.Jobs.Sweep("run_pass_batches", batchSweep, batchRunner{s}.runBatches)
	s.Jobs.Periodic("check_pass_certificates", certificateCheck, maintenance{s}.checkCertificates)
	s.Jobs.Periodic("delete_old_pushes", time.Hour, maintenance{s}.deleteOldPushes)
	s.Jobs.Periodic("delete_old_device_logs", time.Hour, maintenance{s}.deleteOldLogs)
	idem.ScheduleExpiry(s.Jobs, d.Pool, d.Clock)
	return s, nil
}

// Migrations are the files of the service's database.
func Migrations() fs.FS { return passdb.Migrations() }

// Migrate brings the service's database up to date.
func Migrate(ctx context.Context, pool *pgxpool.Pool) error {
	if err := pgdb.Migrate(ctx, pool, Migrations()); err != nil {
		return err
	}
	return jobs.Migrate(ctx, pool)
}

// Start begins background work: pushes, batches, and looking after certificates.
func (s *Service) Start(ctx context.Context) error {
	if err := s.Jobs.Start(ctx); err != nil {
		return err
	}
	s.pusher.start(ctx)
	return nil
}

// Stop ends background work; pushes under way are finished.
func (s *Service) Stop(ctx context.Context) error {
	return errors.Join(s.pusher.halt(ctx), s.Jobs.Stop(ctx))
}

// ReloadCertificates reads the folder of certificates now instead of within a minute. After an error the old ones stay.
func (s *Service) ReloadCertificates(ctx context.Context) error { return s.certificates.reload(ctx) }

// Away names the outside parties that do not answer now. Passes are issued and read all the same.
func (s *Service) Away() []string {
	var away []string
	s.stalled.Range(func(any, any) bool {
		away = []string{"apns"}
		return false
	})
	return away
}

// Policy says who may call what: all of it is for our services and for staff.
func Policy() rpc.Policy {
	return rpc.Policy{
		passv1connect.PassServiceIssuePassesProcedure:       rpc.RoleOperator,
		passv1connect.PassServiceGetPassProcedure:           rpc.RoleOperator,
		passv1connect.PassServiceListPassesProcedure:        rpc.RoleOperator,
		passv1connect.PassServiceUpdatePassProcedure:        rpc.RoleOperator,
		passv1connect.PassServiceVoidPassProcedure:          rpc.RoleOperator,
		passv1connect.PassServiceSetPassSuspendedProcedure:  rpc.RoleOperator,
		passv1connect.PassServiceBatchUpdatePassesProcedure: rpc.RoleOperator,
		passv1connect.PassServiceGetPassBatchProcedure:      rpc.RoleOperator,
		passv1connect.PassServiceCancelPassBatchProcedure:   rpc.RoleOperator,
		passv1connect.PassServiceListPassRevisionsProcedure: rpc.RoleOperator,
		passv1connect.PassServiceListRegistrationsProcedure: rpc.RoleOperator,
		passv1connect.PassServiceListPushesProcedure:        rpc.RoleOperator,
		passv1connect.PassServiceListDeviceLogsProcedure:    rpc.RoleOperator,
	}
}

// Handlers returns the service's handler.
func (s *Service) Handlers(opts ...connect.HandlerOption) []rpc.Service {
	path, handler := passv1connect.NewPassServiceHandler(s, opts...)
	return []rpc.Service{{Name: passv1connect.PassServiceName, Path: path, Handler: handler, Health: func(ctx context.Context) error { return pgdb.CheckWritable(ctx, s.Pool) }}}
}

// Routes returns Apple's web service and the pages for holders, by pattern of http.ServeMux.
func (s *Service) Routes() map[string]http.Handler {
	routes := walletService{s}.routes()
	maps.Copy(routes, ticketPages{s}.routes())
	return routes
}
