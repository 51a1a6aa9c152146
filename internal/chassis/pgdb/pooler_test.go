//go:build tools

package pgdb_test

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/devenv/pgtest"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/pgdb"
)

// poolerPatience ends a test that hangs.
const poolerPatience = time.Minute

// newPooler starts Debian's PgBouncer in a mode before the database of an address, and returns the address through it.
func newPooler(t *testing.T, mode, address string) string {
	t.Helper()
	database, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(free.Addr().String())
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("/tmp", "pgbouncer") // readable for nobody, as t.TempDir is not
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	password, _ := database.User.Password()
	config := fmt.Sprintf("[databases]\n* = host=%s port=%s user=%s password=%s\n[pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port=%s\n"+
		"auth_type=any\npool_mode=%s\nunix_socket_dir=\ndefault_pool_size=5\nlogfile=\npidfile=\n",
		database.Hostname(), database.Port(), database.User.Username(), password, port, mode)
	file := filepath.Join(dir, "pgbouncer.ini")
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // nobody reads it
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil { //nolint:gosec // nobody reads it
		t.Fatal(err)
	}
	args := []string{file}
	if os.Geteuid() == 0 {
		args = []string{"-u", "nobody", file}
	}
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		program = "/usr/sbin/pgbouncer"
	}
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatalf("start PgBouncer, which Debian has in the package pgbouncer: %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	through := *database
	through.Host = "127.0.0.1:" + port
	deadline := (clock.System{}).Now().Add(poolerPatience)
	for {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", through.Host)
		if err == nil {
			_ = conn.Close()
			return through.String()
		}
		if (clock.System{}).Now().After(deadline) {
			t.Fatal(err)
		}
		<-time.After(10 * time.Millisecond)
	}
}

// TestPoolersByTools migrates and works through PgBouncer in the modes that are documented, several replicas at once.
func TestPoolersByTools(t *testing.T) {
	t.Parallel()
	files := migrations(map[string]string{"001_seat.sql": createSeat, "002_index.sql": indexSeat, "003_sell.sql": sellSeat})
	for mode, parameters := range map[string]string{"session": "", "transaction": "default_query_exec_mode=cache_describe"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			_, address := pgtest.NewNamed(t, "empty", nil)
			through := newPooler(t, mode, address)
			if parameters != "" {
				separator := "?"
				if strings.Contains(through, "?") {
					separator = "&"
				}
				through += separator + parameters
			}
			ctx, cancel := context.WithTimeout(t.Context(), poolerPatience)
			defer cancel()
			for range 2 { // the second time finds all done, and the lock free
				errs := make(chan error)
				for range 2 {
					go func() {
						pool, err := pgdb.Open(ctx, through, pgdb.Options{MaxConns: 1})
						if err == nil {
							err = pgdb.Migrate(ctx, pool, files)
							pool.Close()
						}
						errs <- err
					}()
				}
				for range 2 {
					if err := <-errs; err != nil {
						t.Fatal(err)
					}
				}
			}
			pool, err := pgdb.Open(ctx, through, pgdb.Options{MaxConns: 4})
			if err != nil {
				t.Fatal(err)
			}
			defer pool.Close()
			for i := range 50 { // the same statements on whatever connection of the server
				err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
					_, err := tx.Exec(ctx, "insert into seat values ($1)", 10+i)
					return err
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			if n := seats(t, pool); n != 52 {
				t.Errorf("%d seats", n)
			}
			if err := pgdb.CheckWritable(ctx, pool); err != nil {
				t.Error(err)
			}
		})
	}
}
