// Package apns is a stand-in for Apple's push service as wallet passes use it: HTTP/2 over TLS, headers checked and
// answers worded as Apple's, scripted per device token, with a log of every push.
//
// # Control API
//
// Control returns it, to be served over plain HTTP, JSON in and out:
//
//	GET, DELETE /log              pushes, newest last; see Push
//	GET         /devices          scripted tokens
//	PUT         /devices/{token}  {reason?, timestamp_ms?, retry_after_s?, count?, on_push_url?, on_push_headers?}; token * is every device
//	DELETE      /devices/{token}, /devices
//	GET         /connections      {open, total}
//
// The status follows from the reason. on_push_url is fetched at the instant a push for the token is accepted, before it is
// answered, as the fastest device would: what it gets must already be the new content.
package apns

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/dayof/dayof/devenv/sandbox/fault"
	"github.com/dayof/dayof/internal/chassis/clock"
)

// streamsMax is what Apple announces as the number of concurrent streams of a connection.
const streamsMax = 1000

// SigningKey is a key that a team made for token authentication (the public half of its .p8 file).
type SigningKey struct {
	TeamID string
	Public *ecdsa.PublicKey
}

// Config is what a push service needs.
type Config struct {
	Clock  clock.Clock
	Logger *slog.Logger
	Addr   string        // where to listen; empty is a free port on loopback
	Faults *fault.Faults // party fault.APNs; nil for none
	// ClientCAs are the issuers of the pass certificates that may push, intermediates included; nil accepts any
	// certificate that names a pass type and is not expired. The topic must be the certificate's own.
	ClientCAs *x509.CertPool
	// SigningKeys are the keys of token authentication by key id; none means that only certificates may push.
	SigningKeys map[string]SigningKey
	// Topics are the registered pass types for token authentication; empty takes any that begins with "pass.".
	Topics []string
}

// Server is a running push service.
type Server struct {
	cfg      Config
	listener net.Listener
	http     *http.Server
	caPEM    []byte
	served   chan error
	fetcher  *http.Client

	mu     sync.Mutex
	log    []Push
	script map[string]*Script
	open   map[net.Conn]bool
	total  int
}

// Start makes a certificate authority and a server certificate of its own, listens, and serves until Close.
func Start(cfg Config) (*Server, error) {
	if cfg.Addr == "" {
		cfg.Addr = "127.0.0.1:0"
	}
	caPEM, cert, err := newServerCertificate(cfg.Clock.Now())
	if err != nil {
		return nil, fmt.Errorf("make push server certificate: %w", err)
	}
	listener, err := net.Listen("tcp", cfg.Addr) //nolint:noctx // binding a port does not wait for anything
	if err != nil {
		return nil, fmt.Errorf("listen for pushes: %w", err)
	}
	s := &Server{
		cfg: cfg, listener: listener, caPEM: caPEM, served: make(chan error, 1),
		fetcher: &http.Client{Timeout: 10 * time.Second},
		script:  make(map[string]*Script), open: make(map[net.Conn]bool),
	}
	var handler http.Handler = http.HandlerFunc(s.push)
	if cfg.Faults != nil {
		handler = cfg.Faults.Wrap(fault.APNs, handler)
	}
	s.http = &http.Server{
		Handler: handler, ReadHeaderTimeout: 10 * time.Second, ConnState: s.count,
		ErrorLog: slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelDebug),
		HTTP2:    &http.HTTP2Config{MaxConcurrentStreams: streamsMax},
		TLSConfig: &tls.Config{
			MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2"},
			ClientAuth: tls.RequestClientCert, // checked per push, so that the refusal has Apple's words
		},
	}
	go func() { s.served <- s.http.ServeTLS(listener, "", "") }()
	return s, nil
}

// URL is the base address, https://host:port, to which clients append /3/device/<token>.
func (s *Server) URL() string { return "https://" + s.listener.Addr().String() }

// CAPEM is the root certificate that clients must trust, as PEM.
func (s *Server) CAPEM() []byte { return s.caPEM }

// Close ends all connections and stops.
func (s *Server) Close() error {
	err := s.http.Close()
	s.fetcher.CloseIdleConnections()
	if served := <-s.served; !errors.Is(served, http.ErrServerClosed) {
		return errors.Join(err, served)
	}
	return err
}

// Connections are how many are open now and how many there ever were: churn is what Apple punishes.
type Connections struct {
	Open  int `json:"open"`
	Total int `json:"total"`
}

// Connections counts the connections.
func (s *Server) Connections() Connections {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Connections{Open: len(s.open), Total: s.total}
}

func (s *Server) count(conn net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch state {
	case http.StateNew:
		s.open[conn] = true
		s.total++
	case http.StateClosed, http.StateHijacked:
		delete(s.open, conn)
	case http.StateActive, http.StateIdle:
	}
}

// fetch does what a device does on a push, and returns what it got.
func (s *Server) fetch(ctx context.Context, url string, headers map[string]string) *Fetched {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return &Fetched{Error: err.Error()}
	}
	for name, value := range headers {
		req.Header.Set(name, value)
	}
	res, err := s.fetcher.Do(req)
	if err != nil {
		return &Fetched{Error: err.Error()}
	}
	defer res.Body.Close()
	return readFetched(res)
}
