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
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/dayof/dayof/devenv/pgtest"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/pgdb"
)

// poolerPatience ends a test that hangs.
const poolerPatience = 3 * time.Minute

// newPooler starts Debian's PgBouncer in a mode before the database of an address, with at most size connections to the server,
// of which each transaction gets the one that was idle longest. It returns the address through it.
func newPooler(t *testing.T, mode string, size int, address string) string {
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
		"auth_type=any\npool_mode=%s\nunix_socket_dir=\ndefault_pool_size=%d\nserver_round_robin=1\nlogfile=\npidfile=\n",
		database.Hostname(), database.Port(), database.User.Username(), password, port, mode, size)
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

// locks counts the advisory locks in a database.
func locks(t *testing.T, pool *pgxpool.Pool) (n int) {
	t.Helper()
	err := pool.QueryRow(t.Context(), `select count(*) from pg_locks where locktype = 'advisory'
		and database = (select oid from pg_database where datname = current_database())`).Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// activity says what each session of a database does.
func activity(t *testing.T, pool *pgxpool.Pool) string {
	t.Helper()
	rows, err := pool.Query(t.Context(), `select concat_ws(' ', pid, state, wait_event, state_change, query) from pg_stat_activity
		where datname = current_database() order by state_change`)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}

// TestPoolersByTools migrates and works through PgBouncer in the modes that are documented, several replicas at once.
func TestPoolersByTools(t *testing.T) {
	t.Parallel()
	files := migrations(map[string]string{"001_seat.sql": createSeat, "002_index.sql": indexSeat, "003_sell.sql": sellSeat})
	const transaction = "default_query_exec_mode=cache_describe"
	for name, pooler := range map[string]struct {
		mode       string
		size       int // of connections to the server
		parameters string
	}{
		"session":     {mode: "session", size: 9}, // one for each pool, and one for the index
		"transaction": {mode: "transaction", size: 5, parameters: transaction},
		"transaction, as few connections as we say": {mode: "transaction", size: 2, parameters: transaction},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			direct, address := pgtest.NewNamed(t, "empty", nil)
			through := newPooler(t, pooler.mode, pooler.size, address)
			if pooler.parameters != "" {
				separator := "?"
				if strings.Contains(through, "?") {
					separator = "&"
				}
				through += separator + pooler.parameters
			}
			ctx, cancel := context.WithTimeout(t.Context(), poolerPatience)
			defer cancel()
			for range 2 { // the second time finds all done, and the lock free
				errs := make(chan error)
				for range 4 {
					go func() {
						pool, err := pgdb.Open(ctx, through, pgdb.Options{MaxConns: 1})
						if err == nil {
							err = pgdb.Migrate(ctx, pool, files)
							pool.Close()
						}
						errs <- err
					}()
				}
				for range 4 {
					if err := <-errs; err != nil {
						t.Fatalf("%v\n%s", err, activity(t, direct))
					}
				}
				if n := locks(t, direct); n != 0 {
					t.Errorf("%d advisory locks are left on the server\n%s", n, activity(t, direct))
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
