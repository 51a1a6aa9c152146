package rpc

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"time"

	"connectrpc.com/connect"
	connectcors "connectrpc.com/cors"
	"connectrpc.com/grpchealth"
	"connectrpc.com/grpcreflect"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/rs/cors"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/dayof/dayof/internal/chassis/clock"
)

// Service is one generated handler: Path and Handler are what NewXServiceHandler returns.
type Service struct {
	Name    string // full name, "dayof.checkout.v1.CheckoutService"
	Path    string // "/dayof.checkout.v1.CheckoutService/"
	Handler http.Handler
	// Health says whether the service can do its work now, its database above all. nil: always. The answer is kept
	// for a second; a check that takes longer than a second has failed.
	Health func(ctx context.Context) error
}

// Config is a server. Services and Logger are required, and Addr or Listener.
type Config struct {
	Addr     string       // where to listen, "127.0.0.1:8289"
	Listener net.Listener // takes precedence over Addr; Serve closes it
	Services []Service
	// Away names the outside parties that do not answer now, for /healthz. A service that waits for one still serves. nil: none.
	Away func() []string
	// Routes are further handlers by pattern of http.ServeMux. They share MaxInFlight, BodyBytes and BodyTimeout with the
	// calls, and have a minute from the headers to the end of the answer; http.ResponseController sets other deadlines.
	// A body of up to 1 MiB is in memory when they run; they limit its size themselves.
	Routes       map[string]http.Handler
	CORSOrigins  []string    // browser origins that may call the services; none: no cross-origin calls
	TLSConfig    *tls.Config // nil: HTTP/1.1 and HTTP/2 without TLS
	Logger       *slog.Logger
	Clock        clock.Clock          // default clock.System
	Registry     *prometheus.Registry // served at GET /metrics; nil: no such page
	DrainTimeout time.Duration        // how long calls in flight may take to finish at the end; default 10s
	// Draining is called at the end, when health already says NOT_SERVING and calls are still accepted. A deployment
	// waits here until its load balancer has noticed. nil: no wait.
	Draining    func()
	MaxInFlight int           // requests worked on at once before others are refused; default 1024
	BodyTimeout time.Duration // how long the body of a request may take to arrive; default 10s
	BodyBytes   int64         // bodies in memory at once before others are refused, in bytes, a quarter of it for one remote address; default 64 MiB
	MaxStreams  int           // streams served at once before others are refused, a quarter of it for one remote address; default 1024
	// TrustedProxies are believed for whom they call, by X-Forwarded-For; none: a caller is who is connected.
	TrustedProxies Proxies
}

const (
	drainTimeout      = 10 * time.Second
	maxInFlight       = 1024
	bodyTimeout       = 10 * time.Second
	bodyBytes         = 64 << 20 // 4096 public bodies of full size
	readHeaderTimeout = 5 * time.Second
	requestTimeout    = time.Minute // twice handlerTimeout: nothing of ours takes longer
	idleTimeout       = 2 * time.Minute
	headerBytesMax    = 64 << 10
	corsMaxAge        = 2 * time.Hour // what Chromium keeps a preflight at most
)

// withDefaults fills in what is absent.
func (c Config) withDefaults() Config {
	if c.Clock == nil {
		c.Clock = clock.System{}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.DrainTimeout <= 0 {
		c.DrainTimeout = drainTimeout
	}
	if c.MaxInFlight <= 0 {
		c.MaxInFlight = maxInFlight
	}
	if c.BodyTimeout <= 0 {
		c.BodyTimeout = bodyTimeout
	}
	if c.BodyBytes <= 0 {
		c.BodyBytes = bodyBytes
	}
	if c.MaxStreams <= 0 {
		c.MaxStreams = streamsMax
	}
	return c
}

// bounds are those of one server.
func (c Config) bounds() *bounds {
	return &bounds{
		places: make(limit, c.MaxInFlight), bytes: newBudget(c.BodyBytes), streams: newBudget(int64(c.MaxStreams)), draining: make(chan struct{}),
		proxies: c.TrustedProxies,
	}
}

// NewHandler returns all that Serve serves, for tests that have a listener of their own.
func NewHandler(c Config) http.Handler {
	c = c.withDefaults()
	return newMux(c, newHealth(c.Services, c.Logger), c.bounds())
}

// newMux mounts services, reflection, health, /healthz, /metrics and the further routes.
func newMux(c Config, h *health, shared *bounds) http.Handler {
	mux := http.NewServeMux()
	errorWriter := connect.NewErrorWriter()
	crossOrigin := newCORS(c.CORSOrigins)
	names := make([]string, 0, len(c.Services)+1)
	for _, s := range c.Services {
		names = append(names, s.Name)
		mux.Handle(s.Path, crossOrigin(&edge{
			observer:   observer{logger: c.Logger, clock: c.Clock, metrics: newMetrics(c.Registry)},
			next:       s.Handler,
			service:    s.Name,
			procedures: procedures(s.Name),
			bounds:     shared,
			errors:     errorWriter,
		}))
	}
	reflector := grpcreflect.NewStaticReflector(append(names, grpchealth.HealthV1ServiceName)...)
	small := connect.WithReadMaxBytes(readMaxPublic)
	mux.Handle(grpcreflect.NewHandlerV1(reflector, small))
	mux.Handle(grpcreflect.NewHandlerV1Alpha(reflector, small))
	mux.Handle(grpchealth.NewHandler(h, small))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) { serveHealthz(w, r, h, c.Away) })
	if c.Registry != nil {
		mux.Handle("GET /metrics", promhttp.HandlerFor(c.Registry, promhttp.HandlerOpts{}))
	}
	for pattern, handler := range c.Routes {
		mux.Handle(pattern, route(shared, c.Logger, handler))
	}
	return root{mux: mux, bodyTimeout: c.BodyTimeout, errors: errorWriter}
}

// serveHealthz reports to people and probes that speak plain HTTP which services do not serve, and which outside parties they
// wait for.
func serveHealthz(w http.ResponseWriter, r *http.Request, h *health, away func() []string) {
	failing := h.failing(r.Context())
	slices.Sort(failing)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	status := "serving"
	if len(failing) > 0 {
		status = "not_serving"
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	report := map[string]any{"status": status, "not_serving": failing}
	if away != nil {
		if names := away(); len(names) > 0 {
			report["away"] = names
		}
	}
	_ = json.NewEncoder(w).Encode(report) // the prober may be gone
}

// newCORS lets browsers of the listed origins call, send a key, and read problems and whether an answer is a replay.
// Tokens travel in headers, so no credentials of the browser are allowed.
func newCORS(origins []string) func(http.Handler) http.Handler {
	if len(origins) == 0 {
		return func(next http.Handler) http.Handler { return next }
	}
	return cors.New(cors.Options{
		AllowedOrigins: origins,
		AllowedMethods: connectcors.AllowedMethods(),
		AllowedHeaders: append(connectcors.AllowedHeaders(), "Authorization", idempotencyKeyHeader),
		ExposedHeaders: append(connectcors.ExposedHeaders(), idempotencyReplayedHeader),
		MaxAge:         int(corsMaxAge / time.Second),
	}).Handler
}

// methodsOf lists the methods of a service by its schema; none if the binary does not know it.
func methodsOf(service string) []string {
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service))
	if err != nil {
		return nil
	}
	s, ok := d.(protoreflect.ServiceDescriptor)
	if !ok {
		return nil
	}
	var names []string
	for i := range s.Methods().Len() {
		names = append(names, string(s.Methods().Get(i).Name()))
	}
	return names
}

// Serve serves until ctx ends, then drains: health says NOT_SERVING, Draining is called, no further connection or call
// is accepted, streams end, and calls in flight finish. It returns nil if all of them did within DrainTimeout; else it cuts them
// off and says so.
func Serve(ctx context.Context, c Config) error {
	c = c.withDefaults()
	h := newHealth(c.Services, c.Logger)
	shared := c.bounds()
	server := newServer(c, newMux(c, h, shared))
	listener := c.Listener
	if listener == nil {
		var err error
		if listener, err = new(net.ListenConfig).Listen(ctx, "tcp", c.Addr); err != nil {
			return fmt.Errorf("listen on %s: %w", c.Addr, err)
		}
	}
	failed := make(chan error, 1)
	go func() {
		if c.TLSConfig != nil {
			failed <- server.ServeTLS(listener, "", "")
			return
		}
		failed <- server.Serve(listener)
	}()
	c.Logger.LogAttrs(ctx, slog.LevelInfo, "listening", slog.String("address", listener.Addr().String()))
	select {
	case err := <-failed:
		return fmt.Errorf("serve %s: %w", listener.Addr(), err)
	case <-ctx.Done():
	}
	h.draining.Store(true)
	c.Logger.LogAttrs(ctx, slog.LevelInfo, "draining", slog.String("address", listener.Addr().String()))
	if c.Draining != nil {
		c.Draining()
	}
	close(shared.draining)
	drainCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.DrainTimeout)
	defer cancel()
	err := server.Shutdown(drainCtx)
	if err != nil {
		err = fmt.Errorf("calls still in flight after %v were cut off: %w", c.DrainTimeout, errors.Join(err, server.Close()))
	}
	if served := <-failed; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

func newServer(c Config, handler http.Handler) *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:           handler,
		Protocols:         &protocols,
		TLSConfig:         c.TLSConfig,
		ReadHeaderTimeout: readHeaderTimeout,
		WriteTimeout:      requestTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    headerBytesMax,
		ErrorLog:          slog.NewLogLogger(c.Logger.Handler(), slog.LevelWarn),
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: 250,
			SendPingTimeout:      30 * time.Second,
			WriteByteTimeout:     10 * time.Second,
		},
	}
}
