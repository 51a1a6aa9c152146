package stripe

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"log/slog"
	mathrand "math/rand/v2"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/dayof/dayof/devenv/sandbox/fault"
	"github.com/dayof/dayof/internal/chassis/clock"
)

// APIVersion is the version whose shapes the sandbox speaks.
const APIVersion = "2023-10-16"

// Config is what a sandbox Stripe needs. The zero value of every field but Clock and Logger has a meaning.
type Config struct {
	Clock  clock.Clock // creation times and signature times
	Logger *slog.Logger
	// JournalPath is a file of JSON lines that keeps the state; empty keeps it in memory only.
	JournalPath string
	// Seed makes ids and the randomness of deliveries repeatable; 0 takes a random one.
	Seed uint64
	// WebhookEndpoints receive the events. They can be changed later through the control API.
	WebhookEndpoints []Endpoint
	// SecretKey is the only accepted secret key; empty accepts every sk_test_... and rk_test_... key.
	SecretKey string
	// LatencyMS is how long every API call takes before it has its effect; its idempotency key is in use meanwhile.
	LatencyMS int
	Settings  *Settings // nil for DefaultSettings
	Delivery  Delivery  // zero fields take their defaults
	// Faults make the server answer with failures of its own that it keeps under idempotency keys; nil for none.
	Faults *fault.Faults
}

// Server is a stateful stand-in for Stripe's API and for the webhooks it sends. It is an http.Handler.
type Server struct {
	clock     clock.Clock
	faults    *fault.Faults
	logger    *slog.Logger
	secretKey string
	latency   time.Duration
	mux       *http.ServeMux
	log       *requestLog
	idem      *idempotencyKeys
	deliverer *deliverer
	locks     *paymentLocks
	rates     *rateLimits
	journal   *journal // nil without a journal

	// mu guards what follows. Critical sections only move pointers: encoding, disk and network happen outside.
	mu       sync.Mutex
	store    *store
	settings Settings
	random   *mathrand.Rand
	ownID    string // acct_... of the platform itself
}

// New starts a sandbox. With a journal it continues where the journal ends, deliveries that were still owed included.
// Close it to stop the deliveries.
func New(cfg Config) (*Server, error) {
	seed := cfg.Seed
	if seed == 0 {
		var b [8]byte
		if _, err := rand.Read(b[:]); err != nil {
			return nil, err
		}
		seed = binary.LittleEndian.Uint64(b[:])
	}
	s := &Server{
		clock: cfg.Clock, faults: cfg.Faults, logger: cfg.Logger, secretKey: cfg.SecretKey,
		latency: time.Duration(cfg.LatencyMS) * time.Millisecond,
		log:     newRequestLog(), idem: newIdempotencyKeys(),
		store: newStore(), settings: DefaultSettings(), locks: newPaymentLocks(),
		rates:  &rateLimits{buckets: map[rateLimited]*rate.Limiter{}},
		random: mathrand.New(mathrand.NewPCG(seed, 0)),
	}
	if cfg.Settings != nil {
		s.settings = *cfg.Settings
	}
	s.ownID = "acct_1SandboxPlatform0"
	s.deliverer = newDeliverer(s, cfg.Delivery, seed)
	if err := s.deliverer.setEndpoints(cfg.WebhookEndpoints); err != nil {
		return nil, err
	}
	s.mux = http.NewServeMux()
	s.routes()
	if cfg.JournalPath != "" {
		if err := s.openJournal(cfg.JournalPath); err != nil {
			return nil, err
		}
	}
	s.deliverer.start()
	return s, nil
}

// Close stops the deliveries, waits for those on their way and closes the journal.
func (s *Server) Close() error {
	s.deliverer.stop()
	if s.journal != nil {
		return s.journal.close()
	}
	return nil
}

// ServeHTTP implements http.Handler: /v1/... is Stripe's API, /_sandbox/... the control API.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

func (s *Server) routes() {
	s.apiRoutes()
	s.controlRoutes()
	s.mux.Handle("/", s.api(func(r *request) (any, *apiError) {
		e := invalid("", "", "Unrecognized request URL (%s: %s). Please see https://stripe.com/docs or we can help at https://support.stripe.com/.",
			r.http.Method, r.http.URL.Path)
		e.status = http.StatusNotFound
		return nil, e
	}))
}

func (s *Server) apiRoutes() {
	for pattern, handle := range map[string]handler{
		"POST /v1/payment_intents":                    s.createPaymentIntent,
		"GET /v1/payment_intents":                     s.listPaymentIntents,
		"GET /v1/payment_intents/{id}":                s.getPaymentIntent,
		"POST /v1/payment_intents/{id}":               s.updatePaymentIntent,
		"POST /v1/payment_intents/{id}/confirm":       s.confirmPaymentIntent,
		"POST /v1/payment_intents/{id}/capture":       s.capturePaymentIntent,
		"POST /v1/payment_intents/{id}/cancel":        s.cancelPaymentIntent,
		"GET /v1/payment_methods/{id}":                s.getPaymentMethod,
		"GET /v1/charges":                             s.listCharges,
		"GET /v1/charges/{id}":                        s.getCharge,
		"POST /v1/charges/{id}":                       s.updateCharge,
		"GET /v1/balance_transactions":                s.listBalanceTransactions,
		"GET /v1/balance_transactions/{id}":           s.getBalanceTransaction,
		"POST /v1/refunds":                            s.createRefund,
		"GET /v1/refunds":                             s.listRefunds,
		"GET /v1/refunds/{id}":                        s.getRefund,
		"POST /v1/refunds/{id}":                       s.updateRefund,
		"POST /v1/refunds/{id}/cancel":                s.cancelRefund,
		"GET /v1/disputes":                            s.listDisputes,
		"GET /v1/disputes/{id}":                       s.getDispute,
		"POST /v1/disputes/{id}":                      s.updateDispute,
		"POST /v1/disputes/{id}/close":                s.acceptDispute,
		"POST /v1/payouts":                            s.createPayout,
		"GET /v1/payouts":                             s.listPayouts,
		"GET /v1/payouts/{id}":                        s.getPayout,
		"POST /v1/payouts/{id}/cancel":                s.cancelPayout,
		"GET /v1/balance":                             s.getBalance,
		"POST /v1/transfers":                          s.createTransfer,
		"GET /v1/transfers":                           s.listTransfers,
		"GET /v1/transfers/{id}":                      s.getTransfer,
		"POST /v1/transfers/{id}":                     s.updateTransfer,
		"POST /v1/transfers/{id}/reversals":           s.createReversal,
		"GET /v1/transfers/{id}/reversals":            s.listReversals,
		"GET /v1/transfers/{id}/reversals/{reversal}": s.getReversal,
		"GET /v1/application_fees":                    s.listApplicationFees,
		"GET /v1/application_fees/{id}":               s.getApplicationFee,
		"POST /v1/application_fees/{id}/refunds":      s.createFeeRefund,
		"GET /v1/account":                             s.getOwnAccount,
		"GET /v1/accounts":                            s.listAccounts,
		"GET /v1/accounts/{id}":                       s.getAccount,
		"GET /v1/radar/early_fraud_warnings/{id}":     s.getLoaded("radar.early_fraud_warning"),
		"GET /v1/reviews/{id}":                        s.getLoaded("review"),
		"GET /v1/checkout/sessions/{id}":              s.getLoaded("checkout.session"),
		"GET /v1/webhook_endpoints":                   s.listWebhookEndpoints,
		"GET /v1/events":                              s.listEvents,
		"GET /v1/events/{id}":                         s.getEvent,
	} {
		s.mux.Handle(pattern, s.api(handle))
	}
}

// wait blocks for the configured latency unless the server stops.
func (s *Server) wait(ctx context.Context) {
	if s.latency <= 0 {
		return
	}
	timer := time.NewTimer(s.latency)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
