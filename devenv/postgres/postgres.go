// Package postgres runs a private Postgres server as a child of this process.
//
// It is what `dayof up`, `dayof demo` and the tests stand on, so that nobody
// has to set up a database first. Real deployments name their own server with
// DAYOF_DATABASE_URL; then nothing is started here.
//
// Where the server comes from, in this order:
//
//	DAYOF_DATABASE_URL     a running server; its role must be allowed to create databases
//	DAYOF_POSTGRES_BIN     a directory with initdb and postgres
//	this machine           PATH, /usr/lib/postgresql/*/bin and their like
//	fetched, once          PostgreSQL's binaries as packed by zonky, see fetch.go
//
// initdb and postgres run directly as children, without pg_ctl, without unix
// sockets, listening on 127.0.0.1 only and asking for a password, because any
// user of the machine can reach a loopback port. They die with this process,
// however it dies. Postgres refuses to run as root; user_linux.go describes
// what happens then.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/dayof/dayof/internal/chassis/pgdb"
)

const (
	// superuser is the only role of a server that we start.
	superuser = "dayof"
	// startTimeout bounds initdb and the wait for the first connection; crash
	// recovery of a large database happens within it.
	startTimeout = 2 * time.Minute
	// portTries is how many free ports are tried when others take them between
	// our choice and the server's bind.
	portTries = 10
	// readyPoll is how often a starting server is asked whether it is ready.
	readyPoll = 20 * time.Millisecond
)

// Options say where and how to run the server. The zero value runs one on a
// free port in a temporary directory.
type Options struct {
	// DataDir keeps the databases, the password and a lock; it is made if
	// absent. Empty means a temporary directory that Stop removes.
	DataDir string
	// Template is the DataDir of another server, one that was stopped: a data
	// directory without databases begins as a copy of it, instead of by initdb.
	// Empty means none.
	Template string
	// Port on 127.0.0.1; 0 takes a free one.
	Port int
	// Logger gets a line when the server is ready (info), one before binaries
	// are fetched (warn), and the server's own messages (debug; fatal ones
	// info). Nil logs nothing.
	Logger *slog.Logger
	// Settings are server settings ("fsync": "off") on top of ours.
	Settings map[string]string
	// Getenv reads DAYOF_DATABASE_URL, DAYOF_POSTGRES_BIN,
	// DAYOF_POSTGRES_REPOSITORY, PATH and HOME. Nil means os.Getenv.
	Getenv func(string) string
}

// Server is a running Postgres server: a child of ours, or the one of
// DAYOF_DATABASE_URL. Its methods may not be called at once, but for URL,
// Version and CreateDatabase.
type Server struct {
	options  Options
	logger   *slog.Logger
	base     *url.URL // of database "postgres", or DAYOF_DATABASE_URL as given
	version  string
	external bool

	binaries  binaries
	directory *directory
	identity  identity
	child     *process // nil while stopped
}

// Start returns when the server accepts connections. An error says what to do.
// The caller stops the server; if it dies instead, the server dies too.
func Start(ctx context.Context, options Options) (*Server, error) {
	pgdb.DropEnvironment()
	if options.Getenv == nil {
		options.Getenv = os.Getenv
	}
	s := &Server{options: options, logger: options.Logger}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	if given := options.Getenv("DAYOF_DATABASE_URL"); given != "" {
		if err := s.useExternal(ctx, given); err != nil {
			return nil, err
		}
		return s, nil
	}
	if err := s.startOwn(ctx); err != nil {
		return nil, errors.Join(err, s.directory.release())
	}
	return s, nil
}

func (s *Server) useExternal(ctx context.Context, given string) error {
	base, err := url.Parse(given)
	if err != nil || base.Scheme != "postgres" && base.Scheme != "postgresql" {
		return errors.New("DAYOF_DATABASE_URL is not a URL such as postgres://user:password@host:5432/postgres")
	}
	s.base, s.external = base, true
	if err := s.readVersion(ctx); err != nil {
		return fmt.Errorf("reach the server of DAYOF_DATABASE_URL: %w", err)
	}
	s.logger.LogAttrs(ctx, slog.LevelInfo, "using running postgres",
		slog.String("version", s.version), slog.String("host", base.Host))
	return nil
}

func (s *Server) startOwn(ctx context.Context) (err error) {
	s.identity = chooseIdentity(ctx)
	s.directory, err = openDirectory(s.options.DataDir, s.identity)
	if err != nil {
		return err
	}
	s.binaries, err = s.findBinaries(ctx)
	if err != nil {
		return err
	}
	if s.options.Template != "" && s.directory.major == 0 {
		if err := s.directory.copyOf(s.options.Template); err != nil {
			return err
		}
	}
	password, err := s.directory.password()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	s.base = &url.URL{
		Scheme: "postgres", User: url.UserPassword(superuser, password),
		Path: "/postgres", RawQuery: "sslmode=disable",
	}
	if s.directory.major == 0 {
		if err := s.initialise(ctx); err != nil {
			return err
		}
	}
	if err := s.Restart(ctx); err != nil {
		return err
	}
	s.logger.LogAttrs(ctx, slog.LevelInfo, "postgres is ready",
		slog.String("version", s.version), slog.String("address", s.base.Host),
		slog.String("binaries", s.binaries.dir), slog.String("data_dir", s.directory.path))
	return nil
}

// initialise runs initdb into a directory beside the final one and renames it,
// so that a half-made cluster is never taken for a whole one.
func (s *Server) initialise(ctx context.Context) error {
	fresh, err := s.directory.freshCluster()
	if err != nil {
		return err
	}
	args := []string{
		"--pgdata=" + fresh, "--username=" + superuser, "--pwfile=" + s.directory.passwordFile(),
		"--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-instructions",
	}
	if s.options.DataDir == "" || s.options.Settings["fsync"] == "off" {
		args = append(args, "--no-sync")
	}
	output, err := run(ctx, s.identity, s.binaries.path("initdb"), args...)
	if err != nil {
		return fmt.Errorf("initdb: %s (%w)", causeOf(output), err)
	}
	return s.directory.adopt(fresh)
}

// causeOf is the line of initdb's output that says why it failed: its error or, where it names none, what it said last.
func causeOf(output string) string {
	cause := "it says nothing"
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		if rest, ok := strings.CutPrefix(line, "initdb: error: "); ok {
			return rest
		}
		if _, fatal, ok := strings.Cut(line, "FATAL:"); ok {
			return strings.TrimSpace(fatal)
		}
		if line != "" && !strings.HasPrefix(line, "initdb: ") {
			cause = line
		}
	}
	return cause
}

// Restart starts the server again after Crash or Stop, over the same data and
// on the same port. A server that runs is left alone.
func (s *Server) Restart(ctx context.Context) error {
	if s.external {
		return errors.New("the server of DAYOF_DATABASE_URL is not ours to restart")
	}
	if s.child != nil && !s.child.exited() {
		return nil
	}
	if err := s.directory.endPredecessor(ctx); err != nil {
		return err
	}
	for try := 1; ; try++ {
		port, err := s.port(ctx)
		if err != nil {
			return err
		}
		err = s.startChild(ctx, port)
		if err == nil {
			return nil
		}
		if s.options.Port == 0 && s.base.Host == "" && try < portTries && errors.Is(err, errPortTaken) {
			continue
		}
		return err
	}
}

func (s *Server) startChild(ctx context.Context, port int) error {
	child, err := start(s.identity, s.logger, s.binaries.path("postgres"), s.arguments(port)...)
	if err != nil {
		return fmt.Errorf("start postgres: %w", err)
	}
	previous := s.base.Host
	s.base.Host = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	if err := s.awaitReady(ctx, child); err != nil {
		s.base.Host = previous
		child.stop(context.WithoutCancel(ctx), immediateShutdown)
		return fmt.Errorf("start postgres on port %d: %w", port, err)
	}
	s.child = child
	return nil
}

// arguments are the server's settings: ours, then those of the options.
func (s *Server) arguments(port int) []string {
	settings := map[string]string{
		"listen_addresses":        "127.0.0.1",
		"port":                    strconv.Itoa(port),
		"unix_socket_directories": "",
		"max_connections":         "300",
		"shared_buffers":          "64MB",
		"timezone":                "UTC",
		"log_timezone":            "UTC",
		"lc_messages":             "C",
		"logging_collector":       "off",
		"log_destination":         "stderr",
		"log_line_prefix":         "",
		// JIT costs more than it gains on small rows.
		"jit": "off",
	}
	maps.Copy(settings, s.options.Settings)
	args := []string{"-D", s.directory.cluster()}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		args = append(args, "-c", name+"="+settings[name])
	}
	return args
}

func (s *Server) port(ctx context.Context) (int, error) {
	if s.options.Port != 0 {
		return s.options.Port, nil
	}
	if s.base.Port() != "" { // a restart stays where clients look for it
		return strconv.Atoi(s.base.Port())
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err = errors.Join(err, listener.Close()); err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	return strconv.Atoi(port)
}

// awaitReady polls until the server answers a query, exits, or ctx ends.
func (s *Server) awaitReady(ctx context.Context, child *process) error {
	for {
		attempt, cancel := context.WithTimeout(ctx, time.Second)
		err := s.readVersion(attempt)
		cancel()
		if err == nil {
			return nil
		}
		var pgErr *pgconn.PgError
		if errors.As(err, &pgErr) && strings.HasPrefix(pgErr.Code, "28") {
			// Not a server of ours that listens there: it refuses our password.
			return fmt.Errorf("%w by another Postgres", errPortTaken)
		}
		select {
		case <-child.done:
			return child.explain()
		case <-ctx.Done():
			return fmt.Errorf("postgres is not ready: %w (last answer: %w)", ctx.Err(), err)
		case <-time.After(readyPoll):
		}
	}
}

func (s *Server) readVersion(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, s.base.String())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	return conn.QueryRow(ctx, "SHOW server_version").Scan(&s.version)
}

// Version is what the server calls itself, such as "15.18 (Debian ...)".
func (s *Server) Version() string { return s.version }

// URL returns the address of a database of this server, password included.
// "" and "postgres" are the database that always exists.
func (s *Server) URL(database string) string {
	address := *s.base
	if database != "" && (database != "postgres" || !s.external) {
		address.Path = "/" + database
	}
	return address.String()
}

// CreateDatabase makes a database; one that exists is left as it is.
func (s *Server) CreateDatabase(ctx context.Context, name string) error {
	conn, err := pgx.Connect(ctx, s.base.String())
	if err != nil {
		return fmt.Errorf("create database %s: %w", name, err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	_, err = conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize())
	var pgErr *pgconn.PgError
	// 42P04: it exists. 23505: another one is creating it at this moment.
	if errors.As(err, &pgErr) && (pgErr.Code == "42P04" || pgErr.Code == "23505") {
		return nil
	}
	if err != nil {
		return fmt.Errorf("create database %s: %w", name, err)
	}
	return nil
}

// Stop disconnects all clients, writes a checkpoint and ends the server; when
// ctx ends first, it is killed, which loses nothing that was committed. A
// temporary directory is removed, without a checkpoint. A server that is not ours is left alone.
// Stopping twice is fine; Restart is not possible after a temporary directory
// is gone.
func (s *Server) Stop(ctx context.Context) error {
	if s.external {
		return nil
	}
	if s.child != nil {
		signal := fastShutdown
		if s.directory.temporary {
			signal = immediateShutdown
		}
		s.child.stop(ctx, signal)
		s.child = nil
	}
	return s.directory.release()
}

// Crash ends the server the hard way, as a power cut would: no checkpoint,
// every connection cut. Restart recovers.
func (s *Server) Crash() error {
	if s.external {
		return errors.New("the server of DAYOF_DATABASE_URL is not ours to crash")
	}
	if s.child != nil {
		s.child.stop(context.Background(), immediateShutdown)
		s.child = nil
	}
	return nil
}
