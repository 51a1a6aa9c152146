package postgres_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/dayof/dayof/devenv/postgres"
)

// repository is a local HTTP server with one package in it, as Maven Central
// has it.
type repository struct {
	*httptest.Server

	mu        sync.Mutex
	downloads int
}

// newRepository serves archive with the given checksum file; "" has none.
func newRepository(t *testing.T, archive []byte, checksum string) *repository {
	t.Helper()
	r := new(repository)
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		name := path.Base(request.URL.Path)
		inPlace := strings.HasPrefix(request.URL.Path, "/maven/io/zonky/test/postgres/embedded-postgres-binaries-") &&
			strings.HasPrefix(name, "embedded-postgres-binaries-")
		switch {
		case inPlace && strings.HasSuffix(name, ".jar"):
			r.mu.Lock()
			r.downloads++
			r.mu.Unlock()
			_, _ = w.Write(archive)
		case inPlace && strings.HasSuffix(name, ".jar.sha256") && checksum != "":
			_, _ = w.Write([]byte(checksum + "  " + name + "\n"))
		default:
			http.NotFound(w, request)
		}
	}))
	t.Cleanup(r.Close)
	return r
}

// newPackage packs scripts that run this machine's binaries, in the packers'
// layout: a jar with a .txz with bin/.
func newPackage(t *testing.T) []byte {
	t.Helper()
	bin := binaries(t)
	var archive bytes.Buffer
	entries := tar.NewWriter(&archive)
	for _, name := range []string{"initdb", "postgres"} {
		script := []byte("#!/bin/sh\nexec " + filepath.Join(bin, name) + " \"$@\"\n")
		header := &tar.Header{Typeflag: tar.TypeReg, Name: "./bin/" + name, Mode: 0o755, Size: int64(len(script))}
		if err := entries.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := entries.Write(script); err != nil {
			t.Fatal(err)
		}
	}
	if err := entries.Close(); err != nil {
		t.Fatal(err)
	}
	var jar bytes.Buffer
	files := zip.NewWriter(&jar)
	file, err := files.Create("postgres-linux-x86_64.txz")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.Write(xzStored(archive.Bytes())); err != nil {
		t.Fatal(err)
	}
	if err := files.Close(); err != nil {
		t.Fatal(err)
	}
	return jar.Bytes()
}

func sum(data []byte) string {
	s := sha256.Sum256(data)
	return hex.EncodeToString(s[:])
}

// onlyFetched is an environment without a PostgreSQL on the machine.
func onlyFetched(home, repository string) func(string) string {
	return environment(map[string]string{
		"DAYOF_POSTGRES_BIN": "fetch", "DAYOF_POSTGRES_REPOSITORY": repository, "HOME": home,
	})
}

func TestFetch(t *testing.T) {
	t.Parallel()

	t.Run("once, and says what, from where and to where", func(t *testing.T) {
		t.Parallel()
		archive := newPackage(t)
		repository := newRepository(t, archive, sum(archive))
		home := t.TempDir()
		var log messages
		errs := make(chan error)
		for range 3 { // test binaries that start at once
			go func() {
				server, err := postgres.Start(t.Context(), postgres.Options{
					Settings: quick(), Getenv: onlyFetched(home, repository.URL+"/maven/"), Logger: slog.New(&log),
				})
				if err == nil {
					err = server.Stop(t.Context())
				}
				errs <- err
			}()
		}
		for range 3 {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		if repository.downloads != 1 {
			t.Errorf("%d downloads, want 1", repository.downloads)
		}
		logged := log.with("no postgres on this machine, fetching it")
		if len(logged) != 1 {
			t.Fatalf("logged %d times, want once", len(logged))
		}
		for name, part := range map[string]string{
			"version": "15.", "from": repository.URL + "/maven/io/zonky/test/postgres/embedded-postgres-binaries-", "to": home,
		} {
			if !strings.Contains(logged[0][name], part) {
				t.Errorf("%s is %q, without %q", name, logged[0][name], part)
			}
		}
		if got := logged[0]["size_bytes"]; got == "-1" || got == "0" || got == "" {
			t.Errorf("size_bytes is %q", got)
		}
		leftovers, err := filepath.Glob(filepath.Join(home, ".cache/dayof/postgres/*-*"))
		if err != nil || len(leftovers) != 1 {
			t.Errorf("the cache holds %v, %v; want one version", leftovers, err)
		}
	})

	t.Run("what cannot be used is refused, with what to set", func(t *testing.T) {
		t.Parallel()
		archive := newPackage(t)
		nowhere := httptest.NewServer(http.NotFoundHandler())
		closed := httptest.NewServer(http.NotFoundHandler())
		closed.Close()
		t.Cleanup(nowhere.Close)
		cases := map[string]struct{ repository, says string }{
			"damaged":          {newRepository(t, archive, sum(nil)).URL + "/maven", "is damaged"},
			"no checksum":      {newRepository(t, archive, "").URL + "/maven", "has no checksum"},
			"not an archive":   {newRepository(t, []byte("<html>"), sum([]byte("<html>"))).URL + "/maven", "unpack"},
			"not there":        {nowhere.URL, "404 Not Found"},
			"nobody listens":   {closed.URL, "connection refused"},
			"not a URL at all": {"maven", "unsupported protocol"},
		}
		for name, tc := range cases {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				home := t.TempDir()
				_, err := postgres.Start(t.Context(), postgres.Options{Getenv: onlyFetched(home, tc.repository)})
				if err == nil {
					t.Fatal("no error")
				}
				for _, part := range []string{
					tc.says, "DAYOF_DATABASE_URL", "DAYOF_POSTGRES_BIN", "install PostgreSQL", "DAYOF_POSTGRES_REPOSITORY",
				} {
					if !strings.Contains(err.Error(), part) {
						t.Errorf("the error does not say %q: %v", part, err)
					}
				}
				err = filepath.WalkDir(home, func(path string, entry fs.DirEntry, err error) error {
					if err == nil && !entry.IsDir() && entry.Name() != "lock" {
						t.Errorf("left behind: %s", path)
					}
					return err
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
	})

	t.Run("DAYOF_POSTGRES_BIN names the directory or is an error", func(t *testing.T) {
		t.Parallel()
		server := start(t, postgres.Options{Getenv: environment(map[string]string{"DAYOF_POSTGRES_BIN": binaries(t)})})
		if got := query(t, server.URL(""), "SELECT 'up'"); got != "up" {
			t.Error(got)
		}
		_, err := postgres.Start(t.Context(), postgres.Options{
			Getenv: environment(map[string]string{"DAYOF_POSTGRES_BIN": t.TempDir()}),
		})
		if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "DAYOF_POSTGRES_BIN") {
			t.Errorf("got %v", err)
		}
	})
}

// messages is a slog handler that keeps what it gets.
type messages struct {
	mu   sync.Mutex
	kept []map[string]string
}

func (m *messages) Enabled(context.Context, slog.Level) bool { return true }
func (m *messages) WithAttrs([]slog.Attr) slog.Handler       { return m }
func (m *messages) WithGroup(string) slog.Handler            { return m }

func (m *messages) Handle(_ context.Context, record slog.Record) error {
	message := map[string]string{slog.MessageKey: record.Message}
	record.Attrs(func(attr slog.Attr) bool {
		message[attr.Key] = attr.Value.String()
		return true
	})
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kept = append(m.kept, message)
	return nil
}

func (m *messages) with(text string) []map[string]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []map[string]string
	for _, message := range m.kept {
		if message[slog.MessageKey] == text {
			found = append(found, message)
		}
	}
	return found
}
