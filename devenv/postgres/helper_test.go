package postgres_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/devenv/postgres"
)

// patience is how long a test waits for something that must happen.
const patience = 2 * time.Minute

// helperEnv makes the test binary run as a parent of a server instead of
// running tests: to be killed, or to be somebody else.
const helperEnv = "DAYOF_TEST_POSTGRES_HELPER"

// forbidEnv makes the helper forbid user namespaces to itself first.
const forbidEnv = "DAYOF_TEST_FORBID_USER_NAMESPACES"

func TestMain(m *testing.M) {
	if dir, ok := os.LookupEnv(helperEnv); ok {
		if err := help(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// report is what a helper says when its server is ready.
type report struct {
	URL     string
	DataDir string // Postgres's own
	Owner   uint32 // of it
}

// help starts a server, reports it, and stops it at the end of its input.
func help(dir string) error {
	ctx := context.Background()
	if os.Getenv(forbidEnv) != "" {
		if err := os.WriteFile("/proc/sys/user/max_user_namespaces", []byte("0"), 0o600); err != nil {
			return err
		}
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	server, err := postgres.Start(ctx, postgres.Options{DataDir: dir, Settings: quick(), Getenv: noDatabaseURL, Logger: logger})
	if err != nil {
		return err
	}
	r := report{URL: server.URL("")}
	conn, err := pgx.Connect(ctx, r.URL)
	if err != nil {
		return err
	}
	if err := conn.QueryRow(ctx, "SHOW data_directory").Scan(&r.DataDir); err != nil {
		return err
	}
	info, err := os.Stat(r.DataDir)
	if err != nil {
		return err
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		r.Owner = stat.Uid
	}
	if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	return server.Stop(ctx) // cuts conn off
}

// helper is a process of this test binary that runs a server.
type helper struct {
	report

	cmd   *exec.Cmd
	input io.WriteCloser
}

// startHelper starts binary as a helper on dir and waits for its report.
func startHelper(t *testing.T, binary, dir string, attributes *syscall.SysProcAttr, environ ...string) *helper {
	t.Helper()
	h := &helper{cmd: exec.Command(binary)}
	h.cmd.Dir = "/"
	h.cmd.Env = append(append(os.Environ(), helperEnv+"="+dir), environ...)
	h.cmd.SysProcAttr = attributes
	h.cmd.Stderr = os.Stderr
	var err error
	if h.input, err = h.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	output, err := h.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := h.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.cmd.Process.Kill() })
	line, err := bufio.NewReader(output).ReadBytes('\n')
	if err != nil {
		t.Fatalf("the helper ended: %v", err)
	}
	if err := json.Unmarshal(line, &h.report); err != nil {
		t.Fatal(err)
	}
	return h
}

// kill is kill -9.
func (h *helper) kill(t *testing.T) {
	t.Helper()
	if err := h.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = h.cmd.Wait() // says that it was killed
}

func (h *helper) stop(t *testing.T) {
	t.Helper()
	if err := h.input.Close(); err != nil {
		t.Fatal(err)
	}
	if err := h.cmd.Wait(); err != nil {
		t.Fatal(err)
	}
}

// testBinary is this program at a place where anybody can run it.
func testBinary(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("/var/tmp", "dayof-test-") //nolint:usetesting // other users cannot reach t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "postgres.test")
	// Another program copies it: a file that is open for writing here is so in each child that is forked meanwhile, and cannot be
	// run ("text file busy").
	if out, err := exec.CommandContext(t.Context(), "cp", self, path).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.Chmod(path, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// quick are settings for servers that nobody will miss.
func quick() map[string]string {
	return map[string]string{"fsync": "off", "shared_buffers": "16MB", "max_connections": "20"}
}

func noDatabaseURL(name string) string {
	if name == "DAYOF_DATABASE_URL" {
		return ""
	}
	return os.Getenv(name)
}

func environment(pairs map[string]string) func(string) string {
	return func(name string) string { return pairs[name] }
}

// start starts a server that stops with the test.
func start(t *testing.T, options postgres.Options) *postgres.Server {
	t.Helper()
	if options.Settings == nil {
		options.Settings = quick()
	}
	if options.Getenv == nil {
		options.Getenv = noDatabaseURL
	}
	server, err := postgres.Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, server) })
	return server
}

func stop(t *testing.T, server *postgres.Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := server.Stop(ctx); err != nil {
		t.Error(err)
	}
}

// query returns the one value that a query gives.
func query(t *testing.T, url, sql string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	var value string
	if err := conn.QueryRow(t.Context(), sql).Scan(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

// createKept makes the table whose one row the tests look for later.
func createKept(t *testing.T, url string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	if _, err := conn.Exec(t.Context(), "CREATE TABLE kept AS SELECT 1 AS x"); err != nil {
		t.Fatal(err)
	}
}
