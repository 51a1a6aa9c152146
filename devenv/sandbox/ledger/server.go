package ledger

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/dayof/dayof/internal/chassis/clock"
)

// Version is the release that this package imitates.
const Version = "v2.4.12"

// Limits of the real server's default flags.
const (
	bulkSizeMax        = 100
	bulkParallel       = 10
	pageSizeDefault    = 15
	pageSizeMax        = 100
	idempotencyKeyMax  = 255
	requestBytesMax    = 32 << 20 // the real server has no limit; this one protects the test machine
	gatewayPathPrefix  = "/api/ledger"
	headerIdempotency  = "Idempotency-Key"
	headerHit          = "Idempotency-Hit"
	headerBigintString = "Formance-Bigint-As-String"
)

// Config says how a Server runs. The zero value is good.
type Config struct {
	// Clock gives insertion dates and the timestamp of a transaction that has
	// none. Default: the machine's.
	Clock clock.Clock
	// Logger gets internal errors. Default: none.
	Logger *slog.Logger
	// Version is what info answers. Default: Version.
	Version string
	// Gateway serves under /api/ledger and nowhere else, as the gateway of a stack
	// does. Default: bare, without a gateway, see face.go.
	Gateway bool
	// BucketDelay is how long the making of a new bucket takes: 0.9 to 3.5 s on
	// the real server. It is undone when the caller goes before. Default: none.
	BucketDelay time.Duration
}

// Server is the HTTP API. It is safe for concurrent use, and several servers
// may share a database.
type Server struct {
	pool    *pgxpool.Pool
	clock   clock.Clock
	logger  *slog.Logger
	version string
	routes  []route
	gateway bool
	delay   time.Duration // of a new bucket

	programs programCache

	mu      sync.RWMutex
	ledgers map[string]book // by name; ledgers are never removed
	// spoiled is until when the making of a further bucket fails, see face.go.
	spoiled time.Time
}

// New returns a server on a database that Migrate has brought up. The pool
// remains the caller's. A post holds one connection, so the pool's size is the
// number of posts that run at once; more wait.
func New(pool *pgxpool.Pool, config Config) *Server {
	s := &Server{
		pool: pool, clock: config.Clock, logger: config.Logger, version: config.Version, routes: routes(), ledgers: make(map[string]book),
		gateway: config.Gateway, delay: config.BucketDelay,
	}
	if s.clock == nil {
		s.clock = clock.System{}
	}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	if s.version == "" {
		s.version = Version
	}
	return s
}

// call is one request on its way through a handler.
type call struct {
	w      http.ResponseWriter
	r      *http.Request
	params map[string]string
	query  url.Values
	book   book // the ledger, for routes below one
}

func (c *call) ctx() context.Context { return c.r.Context() }

// flag reads a yes/no query parameter.
func (c *call) flag(name string) bool { return isTrue(c.query.Get(name)) }

func isTrue(text string) bool {
	switch strings.ToLower(text) {
	case "true", "yes", "y", "1":
		return true
	}
	return false
}

// body reads the whole request.
func (c *call) body() ([]byte, error) {
	data, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, requestBytesMax))
	if err != nil {
		return nil, invalid("%s", err)
	}
	return data, nil
}

// ServeHTTP answers one call of the API.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{w: w, r: r, query: r.URL.Query()}
	if err := s.serve(c); err != nil {
		answer := describe(err)
		if answer.status == http.StatusInternalServerError && !errors.Is(err, context.Canceled) {
			s.logger.LogAttrs(r.Context(), slog.LevelError, "ledger request failed",
				slog.String("method", r.Method), slog.String("path", r.URL.Path), slog.Any("error", err))
		}
		writeError(w, answer)
	}
}

func (s *Server) serve(c *call) error {
	given, status := s.face(c.r)
	var handler route
	switch {
	case status != 0:
	case len(given) > 0 && isVersion1(given):
		var err error
		if status, err = s.version1(c.ctx(), given[0]); err != nil {
			return err
		}
	default:
		handler, c.params, status = match(s.routes, c.r.Method, given)
	}
	if status != 0 {
		refuse(c.w, status)
		return nil
	}
	if handler.inLedger {
		b, err := s.open(c.ctx(), c.params["ledger"])
		if err != nil {
			return err
		}
		c.book = b
	}
	return handler.handle(s, c)
}

// refuse answers what the real router answers to a path or method it does not
// know.
func refuse(w http.ResponseWriter, status int) {
	if status == http.StatusNotFound {
		http.Error(w, "404 page not found", status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
}

// ok answers {"data": ...}.
func (c *call) ok(status int, data any) error {
	return c.render(status, map[string]any{"data": data})
}

// render writes the body; amounts become strings where the client asked for it.
func (c *call) render(status int, body any) error {
	if isTrue(c.r.Header.Get(headerBigintString)) {
		converted, err := bigintsAsStrings(body)
		if err != nil {
			return err
		}
		body = converted
	}
	writeJSON(c.w, status, body)
	return nil
}

func (c *call) noContent() error {
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}
