// Package sandbox bundles the stand-ins for the outside parties: Stripe, the ledger, Apple's push service, a mail server and
// a sink for alerts, each in a package of its own below. They speak over real sockets, and faults can be put in front of
// them. The sandbox is honest: it never does what the real party would not.
package sandbox

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/dayof/dayof/devenv/sandbox/alert"
	"github.com/dayof/dayof/devenv/sandbox/apns"
	"github.com/dayof/dayof/devenv/sandbox/fault"
	"github.com/dayof/dayof/devenv/sandbox/ledger"
	"github.com/dayof/dayof/devenv/sandbox/mail"
	"github.com/dayof/dayof/devenv/sandbox/stripe"
	"github.com/dayof/dayof/internal/chassis/clock"
)

// Ports are where the parties listen on 127.0.0.1; 0 takes a free port.
type Ports struct{ Stripe, Ledger, APNs, Mail, Control int }

// PortsFrom numbers the ports upwards from first; 0 takes free ones.
func PortsFrom(first int) Ports {
	if first == 0 {
		return Ports{}
	}
	return Ports{Stripe: first, Ledger: first + 1, APNs: first + 2, Mail: first + 3, Control: first + 4}
}

// Config is what a sandbox needs. Clock and Logger are required.
type Config struct {
	Clock  clock.Clock
	Logger *slog.Logger
	Ports  Ports
	Seed   uint64 // of ids and faults; 0 takes a random one for ids
	// LedgerPool is the database of the sandbox ledger, which is migrated here; nil runs no ledger.
	LedgerPool *pgxpool.Pool
	// LedgerURL is a ledger server elsewhere, where there is no LedgerPool: it is reached through the sandbox, so that it can fail
	// on purpose like the others. Empty: none.
	LedgerURL string
	// StripeJournal is a file that keeps Stripe's state over restarts; empty keeps it in memory.
	StripeJournal string
	// StripeEndpoints receive Stripe's webhooks.
	StripeEndpoints []stripe.Endpoint
	// PassIssuers are the issuers of the certificates that may push; nil lets any pass certificate push.
	PassIssuers *x509.CertPool
}

// Sandbox is a running bundle.
type Sandbox struct {
	StripeURL   string
	FormanceURL string // "" without a ledger
	APNsURL     string
	APNsRoots   []byte // PEM of the root that the push service's certificate comes from
	SMTPAddress string
	AlertURL    string // takes alerts by POST
	ControlURL  string // faults and logs, see URL

	Stripe *stripe.Server
	Faults *fault.Faults

	calls   calls
	apns    *apns.Server
	mail    *mail.Server
	servers []*http.Server
}

// Paths below ControlURL. The logs answer GET with a JSON array, newest last.
const (
	FaultsPath   = "/faults"
	APNsLogPath  = "/apns/log"
	MailLogPath  = "/mail/log"
	AlertLogPath = "/alerts/log"
)

const (
	headerTimeout = 10 * time.Second
	stopTimeout   = 30 * time.Second
	// forwardConnsMax is how many connections to a ledger elsewhere are kept: more than all replicas of a test use at once.
	forwardConnsMax    = 64
	forwardIdleTimeout = 90 * time.Second
)

// Start runs all parties. The caller ends them by Stop.
func Start(ctx context.Context, c Config) (*Sandbox, error) {
	s := &Sandbox{Faults: fault.New(c.Seed)}
	if err := s.start(ctx, c); err != nil {
		return nil, errors.Join(err, s.Stop(ctx))
	}
	return s, nil
}

func (s *Sandbox) start(ctx context.Context, c Config) (err error) {
	s.Stripe, err = stripe.New(stripe.Config{
		Clock: c.Clock, Faults: s.Faults, Logger: c.Logger, JournalPath: c.StripeJournal, Seed: c.Seed, WebhookEndpoints: c.StripeEndpoints,
	})
	if err != nil {
		return fmt.Errorf("start sandbox stripe: %w", err)
	}
	if s.StripeURL, err = s.serve(ctx, c, c.Ports.Stripe, s.calls.count(fault.Stripe, s.faultyStripe())); err != nil {
		return err
	}
	if c.LedgerPool != nil {
		if err := ledger.Migrate(ctx, c.LedgerPool); err != nil {
			return fmt.Errorf("migrate sandbox ledger: %w", err)
		}
		books := ledger.New(c.LedgerPool, ledger.Config{Clock: c.Clock, Logger: c.Logger})
		if s.FormanceURL, err = s.serve(ctx, c, c.Ports.Ledger, s.calls.count(fault.Ledger, s.Faults.Wrap(fault.Ledger, books))); err != nil {
			return err
		}
	}
	if c.LedgerPool == nil && c.LedgerURL != "" {
		there, err := forward(c.LedgerURL)
		if err != nil {
			return err
		}
		if s.FormanceURL, err = s.serve(ctx, c, c.Ports.Ledger, s.calls.count(fault.Ledger, s.Faults.Wrap(fault.Ledger, there))); err != nil {
			return err
		}
	}
	s.apns, err = apns.Start(apns.Config{
		Clock: c.Clock, Logger: c.Logger, Addr: loopback(c.Ports.APNs), Faults: s.Faults, ClientCAs: c.PassIssuers,
	})
	if err != nil {
		return err
	}
	s.APNsURL, s.APNsRoots = s.apns.URL(), s.apns.CAPEM()
	s.mail, err = mail.Start(mail.Config{Clock: c.Clock, Logger: c.Logger, Addr: loopback(c.Ports.Mail), Faults: s.Faults})
	if err != nil {
		return err
	}
	s.SMTPAddress = s.mail.Addr()
	alerts := &alert.Sink{Clock: c.Clock}
	if s.ControlURL, err = s.serve(ctx, c, c.Ports.Control, s.controls(alerts)); err != nil {
		return err
	}
	s.AlertURL = s.ControlURL + "/alerts"
	return nil
}

// forward passes calls on to a server elsewhere. A call that it does not answer is cut, as the server itself would.
func forward(to string) (http.Handler, error) {
	target, err := url.Parse(to)
	if err != nil {
		return nil, fmt.Errorf("address of the ledger: %w", err)
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: forwardConnsMax, IdleConnTimeout: forwardIdleTimeout}
	return &httputil.ReverseProxy{
		Rewrite:      func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport:    transport,
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}, nil
}

// faultyStripe puts faults in front of Stripe's API, but not of the sandbox's own controls.
func (s *Sandbox) faultyStripe() http.Handler {
	faulty := s.Faults.Wrap(fault.Stripe, s.Stripe)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/_sandbox/") {
			s.Stripe.ServeHTTP(w, r)
			return
		}
		faulty.ServeHTTP(w, r)
	})
}

func (s *Sandbox) controls(alerts *alert.Sink) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(FaultsPath, s.Faults.Handler())
	mux.Handle(FaultsPath+"/", s.Faults.Handler())
	mux.Handle("/apns/", http.StripPrefix("/apns", s.apns.Control()))
	mux.Handle(MailLogPath, &s.mail.Log)
	mux.Handle("/alerts", alerts)
	mux.Handle("/alerts/", alerts)
	return mux
}

// serve listens and serves a handler until Stop; it returns the base URL.
func (s *Sandbox) serve(ctx context.Context, c Config, port int, handler http.Handler) (string, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", loopback(port))
	if err != nil {
		return "", fmt.Errorf("listen for the sandbox: %w", err)
	}
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: headerTimeout, ErrorLog: slog.NewLogLogger(c.Logger.Handler(), slog.LevelDebug),
	}
	s.servers = append(s.servers, server)
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			c.Logger.LogAttrs(ctx, slog.LevelError, "sandbox stopped serving", slog.Any("error", err))
		}
	}()
	return "http://" + listener.Addr().String(), nil
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// Stop ends all parties. Webhooks that are still owed are in Stripe's journal, if it has one.
func (s *Sandbox) Stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	s.Faults.ClearAll() // lets go of calls that hang
	var errs []error
	if s.Stripe != nil {
		errs = append(errs, s.Stripe.Close())
	}
	for _, server := range s.servers {
		if err := server.Shutdown(ctx); err != nil {
			errs = append(errs, server.Close())
		}
	}
	if s.apns != nil {
		errs = append(errs, s.apns.Close())
	}
	if s.mail != nil {
		errs = append(errs, s.mail.Close())
	}
	return errors.Join(errs...)
}
