package postgres

import (
	"context"
	"crypto/sha1" //nolint:gosec // the checksum that every Maven repository has, beside TLS
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const (
	// fetchedVersion is what is fetched where the machine has no PostgreSQL: the
	// major version that the project is tested with.
	fetchedVersion = "15.13.0"
	fetchedMajor   = 15
	// repositoryDefault is Maven Central; DAYOF_POSTGRES_REPOSITORY names a
	// mirror of it.
	repositoryDefault = "https://repo1.maven.org/maven2"
	// fetchTimeout bounds the download of some 20 MB.
	fetchTimeout = 10 * time.Minute
	// archiveMax bounds what is downloaded.
	archiveMax = 256 << 20
)

// whatToDo ends the error when there are no binaries.
const whatToDo = "Set DAYOF_DATABASE_URL to a running server, or DAYOF_POSTGRES_BIN to a directory with initdb and postgres, " +
	"or install PostgreSQL (Debian: apt install postgresql), or set DAYOF_POSTGRES_REPOSITORY to a mirror of Maven Central"

// fetch returns the binaries of fetchedVersion, downloaded and unpacked once
// per machine and user. They are the "embedded-postgres-binaries" of zonky, as
// the library embedded-postgres uses them. That library has no way to fetch
// without also starting the server its own way (with pg_ctl, so not as root;
// deleting directories), hence this.
func (s *Server) fetch(ctx context.Context, found []binaries) (binaries, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	b, err := s.fetchOnce(ctx)
	if err != nil {
		var old strings.Builder
		for _, b := range found {
			fmt.Fprintf(&old, " (%s in %s is too old)", b.version, b.dir)
		}
		return binaries{}, fmt.Errorf("no PostgreSQL %d or newer found on this machine%s, and it cannot be fetched: %w. %s",
			majorMin, old.String(), err, whatToDo)
	}
	return b, nil
}

func (s *Server) fetchOnce(ctx context.Context) (binaries, error) {
	cache, err := s.cacheDirectory()
	if err != nil {
		return binaries{}, err
	}
	unlock, err := lockFile(ctx, filepath.Join(cache, "lock"))
	if err != nil {
		return binaries{}, err
	}
	defer unlock()
	platform := platform()
	target := filepath.Join(cache, fetchedVersion+"-"+platform)
	bin := filepath.Join(target, "bin")
	if b, err := inspect(ctx, bin); err == nil {
		return b, nil
	}
	repository := strings.TrimSuffix(s.options.Getenv("DAYOF_POSTGRES_REPOSITORY"), "/")
	if repository == "" {
		repository = repositoryDefault
	}
	artifact := "embedded-postgres-binaries-" + platform
	address := fmt.Sprintf("%s/io/zonky/test/postgres/%s/%s/%s-%s.jar", repository, artifact, fetchedVersion, artifact, fetchedVersion)
	archive, err := s.download(ctx, address, target)
	if err != nil {
		return binaries{}, err
	}
	defer func() { _ = os.Remove(archive) }()
	if err := verify(ctx, archive, address); err != nil {
		return binaries{}, err
	}
	if err := unpack(archive, target); err != nil {
		return binaries{}, fmt.Errorf("unpack %s: %w", address, err)
	}
	return inspect(ctx, bin)
}

// cacheDirectory is where fetched binaries are kept. Nobody cannot read our
// home, so its binaries lie with its data.
func (s *Server) cacheDirectory() (string, error) {
	base := s.options.Getenv("XDG_CACHE_HOME")
	switch home := s.options.Getenv("HOME"); {
	case s.identity == asNobody || base == "" && home == "":
		base = filepath.Join(nobodyBase, fmt.Sprintf("dayof-cache-%d", os.Geteuid()))
	case base == "" && runtime.GOOS == "darwin":
		base = filepath.Join(home, "Library", "Caches")
	case base == "":
		base = filepath.Join(home, ".cache")
	}
	cache := filepath.Join(base, "dayof", "postgres")
	if err := os.MkdirAll(cache, 0o755); err != nil { //nolint:gosec // nobody must be able to run what is in it
		return "", fmt.Errorf("make cache directory: %w", err)
	}
	info, err := os.Stat(base)
	if err != nil {
		return "", fmt.Errorf("cache directory: %w", err)
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && int(owner.Uid) != os.Geteuid() {
		return "", fmt.Errorf("cache directory %s belongs to user %d, not to us", base, owner.Uid)
	}
	return cache, nil
}

// platform is how the packages are named.
func platform() string {
	arch := runtime.GOARCH
	switch arch {
	case "arm64":
		arch = "arm64v8"
	case "386":
		arch = "i386"
	}
	if _, err := os.Stat("/etc/alpine-release"); err == nil {
		arch += "-alpine"
	}
	return runtime.GOOS + "-" + arch
}

// lockFile waits for an exclusive lock: test binaries that run at once fetch
// once.
func lockFile(ctx context.Context, path string) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = file.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.Join(err, file.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), file.Close())
		case <-time.After(readyPoll):
		}
	}
}

// download stores the archive in a temporary file beside target and says so.
func (s *Server) download(ctx context.Context, address, target string) (path string, err error) {
	response, err := get(ctx, address)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	// A warning, because it takes long and nobody asked for it.
	s.logger.LogAttrs(ctx, slog.LevelWarn, "no postgres on this machine, fetching it",
		slog.String("version", fetchedVersion), slog.Int64("size_bytes", response.ContentLength),
		slog.String("from", address), slog.String("to", target))
	file, err := os.CreateTemp(filepath.Dir(target), "download-")
	if err != nil {
		return "", err
	}
	defer func() {
		if err = errors.Join(err, file.Close()); err != nil {
			_ = os.Remove(file.Name())
		}
	}()
	size, err := io.Copy(file, io.LimitReader(response.Body, archiveMax+1))
	if err != nil {
		return "", fmt.Errorf("download %s: %w", address, err)
	}
	if size > archiveMax {
		return "", fmt.Errorf("download %s: larger than %d bytes", address, archiveMax)
	}
	return file.Name(), nil
}

// verify compares the archive with the checksum that the repository keeps
// beside it; without one, or with another one, it is not used.
func verify(ctx context.Context, archive, address string) error {
	sums := []struct {
		suffix string
		hash   hash.Hash
	}{{".sha256", sha256.New()}, {".sha1", sha1.New()}} //nolint:gosec // see the import
	for _, sum := range sums {
		response, err := get(ctx, address+sum.suffix)
		if err != nil {
			continue
		}
		contents, err := io.ReadAll(io.LimitReader(response.Body, 1024))
		if err = errors.Join(err, response.Body.Close()); err != nil {
			return fmt.Errorf("download %s%s: %w", address, sum.suffix, err)
		}
		file, err := os.Open(archive)
		if err != nil {
			return err
		}
		_, err = io.Copy(sum.hash, file)
		if err = errors.Join(err, file.Close()); err != nil {
			return err
		}
		// Some repositories write the file's name after the sum.
		want, _, _ := strings.Cut(strings.TrimSpace(string(contents)), " ")
		if got := hex.EncodeToString(sum.hash.Sum(nil)); !strings.EqualFold(got, want) {
			return fmt.Errorf("%s is damaged: its checksum is %s, not %s as in %s", address, got, want, sum.suffix)
		}
		return nil
	}
	return fmt.Errorf("%s has no checksum beside it", address)
}

func get(ctx context.Context, address string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err // names the method and the address
	}
	if response.StatusCode != http.StatusOK {
		_ = response.Body.Close()
		return nil, fmt.Errorf("GET %s: %s", address, response.Status)
	}
	return response, nil
}
