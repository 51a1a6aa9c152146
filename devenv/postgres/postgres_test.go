package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/dayof/dayof/devenv/postgres"
)

func TestStart(t *testing.T) {
	t.Parallel()

	t.Run("a temporary server goes away without a trace", func(t *testing.T) {
		t.Parallel()
		server, err := postgres.Start(t.Context(), postgres.Options{Settings: quick(), Getenv: noDatabaseURL})
		if err != nil {
			t.Fatal(err)
		}
		address := server.URL("")
		if got, want := server.Version(), query(t, address, "SHOW server_version"); got != want || got == "" {
			t.Errorf("version %q, want %q", got, want)
		}
		if got := query(t, address, "SELECT current_setting('listen_addresses') || '|' || current_setting('unix_socket_directories')"); got != "127.0.0.1|" {
			t.Errorf("listens on %q", got)
		}
		if got := query(t, address, "SHOW max_connections"); got != "20" {
			t.Errorf("the option's setting is %q, want 20", got)
		}
		dir := query(t, address, "SHOW data_directory")
		stop(t, server)
		stop(t, server)
		if _, err := os.Stat(filepath.Dir(dir)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", filepath.Dir(dir), err)
		}
		if conn, err := pgx.Connect(t.Context(), address); err == nil {
			t.Error("the server is still there", conn.Close(t.Context()))
		}
	})

	t.Run("asks for its password", func(t *testing.T) {
		t.Parallel()
		server := start(t, postgres.Options{})
		address, err := url.Parse(server.URL("postgres"))
		if err != nil {
			t.Fatal(err)
		}
		address.User = url.UserPassword(address.User.Username(), "guess")
		_, err = pgx.Connect(t.Context(), address.String())
		var pgErr *pgconn.PgError
		if !errors.As(err, &pgErr) || pgErr.Code != "28P01" {
			t.Errorf("got %v, want a refused password", err)
		}
	})

	t.Run("keeps its data, and one parent at a time", func(t *testing.T) {
		t.Parallel()
		dir := filepath.Join(t.TempDir(), "a", "b")
		server := start(t, postgres.Options{DataDir: dir})
		createKept(t, server.URL(""))
		_, err := postgres.Start(t.Context(), postgres.Options{DataDir: dir, Getenv: noDatabaseURL})
		if err == nil || !strings.Contains(err.Error(), "in use by another running dayof") {
			t.Errorf("second start: %v", err)
		}
		stop(t, server)
		server = start(t, postgres.Options{DataDir: dir})
		if got := query(t, server.URL(""), "SELECT x::text FROM kept"); got != "1" {
			t.Errorf("kept %q", got)
		}
	})

	t.Run("a crash loses nothing that was committed", func(t *testing.T) {
		t.Parallel()
		settings := quick()
		settings["fsync"] = "on"
		server := start(t, postgres.Options{Settings: settings})
		address := server.URL("")
		createKept(t, address)
		if err := server.Crash(); err != nil {
			t.Fatal(err)
		}
		if conn, err := pgx.Connect(t.Context(), address); err == nil {
			t.Error("the server is still there", conn.Close(t.Context()))
		}
		for range 2 { // restarting what runs is fine
			if err := server.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if server.URL("") != address {
			t.Errorf("clients look for %s, but it is at %s", address, server.URL(""))
		}
		if got := query(t, address, "SELECT x::text FROM kept"); got != "1" {
			t.Errorf("kept %q", got)
		}
	})

	t.Run("stops under open connections, also without patience", func(t *testing.T) {
		t.Parallel()
		server := start(t, postgres.Options{})
		conn, err := pgx.Connect(t.Context(), server.URL(""))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close(t.Context()) }()
		if _, err := conn.Exec(t.Context(), "BEGIN"); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := server.Stop(ctx); err != nil {
			t.Error(err)
		}
		if err := conn.Ping(t.Context()); err == nil {
			t.Error("the connection still works")
		}
	})

	t.Run("a port that is taken", func(t *testing.T) {
		t.Parallel()
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = listener.Close() }()
		port := portOf(t, "tcp://"+listener.Addr().String())
		_, err = postgres.Start(t.Context(), postgres.Options{Port: port, Settings: quick(), Getenv: noDatabaseURL})
		if err == nil || !strings.Contains(err.Error(), fmt.Sprint(port)+": the port is taken") {
			t.Errorf("got %v", err)
		}
		other := start(t, postgres.Options{})
		_, err = postgres.Start(t.Context(), postgres.Options{Port: portOf(t, other.URL("")), Settings: quick(), Getenv: noDatabaseURL})
		if err == nil || !strings.Contains(err.Error(), "the port is taken") {
			t.Errorf("by another Postgres: got %v", err)
		}
	})

	t.Run("a setting that Postgres refuses is reported", func(t *testing.T) {
		t.Parallel()
		_, err := postgres.Start(t.Context(), postgres.Options{Settings: map[string]string{"no_such_setting": "1"}, Getenv: noDatabaseURL})
		if err == nil || !strings.Contains(err.Error(), "no_such_setting") {
			t.Errorf("got %v", err)
		}
	})
}

func TestStartOverForeignData(t *testing.T) {
	t.Parallel()

	t.Run("another major version is left alone", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		server := start(t, postgres.Options{DataDir: dir})
		cluster := query(t, server.URL(""), "SHOW data_directory")
		stop(t, server)
		version := filepath.Join(cluster, "PG_VERSION")
		if err := os.WriteFile(version, []byte("9\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		before := files(t, dir)
		for _, bin := range []string{"", binaries(t)} {
			getenv := func(name string) string {
				if name == "DAYOF_POSTGRES_BIN" {
					return bin
				}
				return noDatabaseURL(name)
			}
			_, err := postgres.Start(t.Context(), postgres.Options{DataDir: dir, Getenv: getenv})
			if err == nil || !strings.Contains(err.Error(), "was made by PostgreSQL 9") || !strings.Contains(err.Error(), "nothing was changed") {
				t.Errorf("got %v", err)
			}
		}
		if after := files(t, dir); after != before {
			t.Errorf("the files changed from %s to %s", before, after)
		}
	})

	t.Run("a stale postmaster.pid that names a living process", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		server := start(t, postgres.Options{DataDir: dir})
		cluster := query(t, server.URL(""), "SHOW data_directory")
		stop(t, server)
		stale := strconv.Itoa(os.Getpid()) + "\n" + cluster + "\n1700000000\n5432\n\n127.0.0.1\n"
		if err := os.WriteFile(filepath.Join(cluster, "postmaster.pid"), []byte(stale), 0o600); err != nil {
			t.Fatal(err)
		}
		server = start(t, postgres.Options{DataDir: dir})
		if got := query(t, server.URL(""), "SELECT 'up'"); got != "up" {
			t.Error(got)
		}
	})

	t.Run("a half-made cluster is made again", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		if err := os.MkdirAll(filepath.Join(dir, "initdb", "base"), 0o700); err != nil {
			t.Fatal(err)
		}
		server := start(t, postgres.Options{DataDir: dir})
		if got := query(t, server.URL(""), "SELECT 'up'"); got != "up" {
			t.Error(got)
		}
	})
}

func TestCreateDatabase(t *testing.T) {
	t.Parallel()
	server := start(t, postgres.Options{})
	errs := make(chan error)
	for range 4 {
		go func() { errs <- server.CreateDatabase(t.Context(), `checkout "x"`) }()
	}
	for range 4 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if got := query(t, server.URL(`checkout "x"`), "SELECT current_database()"); got != `checkout "x"` {
		t.Errorf("connected to %q", got)
	}
}

func TestExternalServer(t *testing.T) {
	t.Parallel()
	own := start(t, postgres.Options{})
	server, err := postgres.Start(t.Context(), postgres.Options{
		Getenv: environment(map[string]string{"DAYOF_DATABASE_URL": own.URL("")}),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := server.CreateDatabase(t.Context(), "pass"); err != nil {
		t.Fatal(err)
	}
	if got := query(t, server.URL("pass"), "SELECT current_database()"); got != "pass" {
		t.Errorf("connected to %q", got)
	}
	if server.Version() != own.Version() {
		t.Errorf("version %q, want %q", server.Version(), own.Version())
	}
	stop(t, server)
	if got := query(t, own.URL(""), "SELECT 'up'"); got != "up" {
		t.Error("stopped a server that is not ours")
	}
	if server.Crash() == nil || server.Restart(t.Context()) == nil {
		t.Error("crashed or restarted a server that is not ours")
	}
	for _, address := range []string{"localhost:5432", "postgres://dayof:geheim@127.0.0.1:1/postgres"} {
		_, err := postgres.Start(t.Context(), postgres.Options{Getenv: environment(map[string]string{"DAYOF_DATABASE_URL": address})})
		if err == nil || !strings.Contains(err.Error(), "DAYOF_DATABASE_URL") || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func portOf(t *testing.T, address string) int {
	t.Helper()
	parsed, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(parsed.Port())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// binaries is the directory of the binaries that this machine's servers run.
func binaries(t *testing.T) string {
	t.Helper()
	server := start(t, postgres.Options{})
	return query(t, server.URL(""), "SELECT setting FROM pg_config WHERE name = 'BINDIR'")
}

// files lists what is below a directory.
func files(t *testing.T, dir string) string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		names = append(names, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(names, "\n")
}
