package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// majorMin is the oldest PostgreSQL that the project is tested with.
const majorMin = 15

// fetchOnly is the value of DAYOF_POSTGRES_BIN that passes over what the
// machine has.
const fetchOnly = "fetch"

// binaries is a directory with initdb and postgres of one version.
type binaries struct {
	dir     string
	version string // such as "15.18"
	major   int
}

func (b binaries) path(name string) string { return filepath.Join(b.dir, name) }

// places are where packagers put PostgreSQL without putting it on PATH.
func places() []string {
	return []string{
		"/usr/lib/postgresql/*/bin",          // Debian, Ubuntu
		"/usr/pgsql-*/bin",                   // Red Hat
		"/usr/libexec/postgresql*",           // Alpine
		"/opt/homebrew/opt/postgresql@*/bin", // macOS
		"/usr/local/opt/postgresql@*/bin",
		"/Applications/Postgres.app/Contents/Versions/*/bin",
	}
}

// findBinaries returns the binaries to use: those of DAYOF_POSTGRES_BIN, else
// the newest on this machine that fits the data directory, else fetched ones.
func (s *Server) findBinaries(ctx context.Context) (binaries, error) {
	want := s.directory.major
	given := s.options.Getenv("DAYOF_POSTGRES_BIN")
	if given != "" && given != fetchOnly {
		b, err := inspect(ctx, given)
		if err != nil {
			return binaries{}, fmt.Errorf("DAYOF_POSTGRES_BIN: %w", err)
		}
		if b.major < majorMin {
			return binaries{}, fmt.Errorf("DAYOF_POSTGRES_BIN: %s is PostgreSQL %s; %d or newer is needed", b.dir, b.version, majorMin)
		}
		if want != 0 && b.major != want {
			return binaries{}, s.otherMajor([]binaries{b})
		}
		return b, nil
	}
	var found []binaries
	if given != fetchOnly {
		found = s.onThisMachine(ctx)
	}
	for _, b := range found {
		if b.major == want || want == 0 && b.major >= majorMin {
			return b, nil
		}
	}
	if want != 0 && want != fetchedMajor {
		return binaries{}, s.otherMajor(found)
	}
	return s.fetch(ctx, found)
}

// otherMajor explains why a data directory cannot be started. PostgreSQL cannot
// read the files of another major version; deleting them is nobody's wish.
func (s *Server) otherMajor(found []binaries) error {
	have := make([]string, 0, len(found))
	for _, b := range found {
		have = append(have, fmt.Sprintf("%s in %s", b.version, b.dir))
	}
	if len(have) == 0 {
		have = []string{"none"}
	}
	return fmt.Errorf("data directory %s was made by PostgreSQL %d, but this machine has: %s. "+
		"Install PostgreSQL %d, or set DAYOF_POSTGRES_BIN to its bin directory, or use another data directory; nothing was changed",
		s.directory.path, s.directory.major, strings.Join(have, ", "), s.directory.major)
}

// onThisMachine lists usable installations, the newest version first.
func (s *Server) onThisMachine(ctx context.Context) []binaries {
	dirs := filepath.SplitList(s.options.Getenv("PATH"))
	for _, pattern := range places() {
		matches, _ := filepath.Glob(pattern)
		dirs = append(dirs, matches...)
	}
	var found []binaries
	for _, dir := range dirs {
		if dir == "" || slices.ContainsFunc(found, func(b binaries) bool { return b.dir == dir }) {
			continue
		}
		if b, err := inspect(ctx, dir); err == nil {
			found = append(found, b)
		} else if !errors.Is(err, os.ErrNotExist) {
			s.logger.LogAttrs(ctx, slog.LevelDebug, "passing over a postgres", slog.Any("error", err))
		}
	}
	slices.SortStableFunc(found, func(a, b binaries) int { return b.major - a.major })
	return found
}

var versionPattern = regexp.MustCompile(`^postgres \(PostgreSQL\) ((\d+)(?:\.\S+|\S*))`)

// inspect asks the postgres in dir for its version.
func inspect(ctx context.Context, dir string) (binaries, error) {
	for _, name := range []string{"initdb", "postgres"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return binaries{}, err
		}
	}
	output, err := run(ctx, asOurselves, filepath.Join(dir, "postgres"), "--version")
	if err != nil {
		return binaries{}, fmt.Errorf("%s --version: %w %s", filepath.Join(dir, "postgres"), err, output)
	}
	match := versionPattern.FindStringSubmatch(output)
	if match == nil {
		return binaries{}, fmt.Errorf("%s is not PostgreSQL: it says %q", filepath.Join(dir, "postgres"), output)
	}
	major, err := strconv.Atoi(match[2])
	return binaries{dir: dir, version: match[1], major: major}, err
}
