package pgtest_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/dayof/dayof/devenv/pgtest"
	"github.com/dayof/dayof/devenv/postgres"
)

// withoutMain makes this test binary forget what each package must say.
const withoutMain = "DAYOF_TEST_WITHOUT_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(withoutMain) != "" {
		os.Exit(m.Run())
	}
	pgtest.Main(m)
}

func migrate(ctx context.Context, pool *pgxpool.Pool) error {
	_, err := pool.Exec(ctx, "CREATE TABLE seat (id int PRIMARY KEY)")
	return err
}

func TestNew(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a", "b", "c", "d"} {
		t.Run("tests do not see each other's rows "+name, func(t *testing.T) {
			t.Parallel()
			pool := pgtest.New(t, migrate)
			if _, err := pool.Exec(t.Context(), "INSERT INTO seat VALUES (1)"); err != nil {
				t.Fatal(err)
			}
		})
	}

	t.Run("templates are made once per name", func(t *testing.T) {
		t.Parallel()
		made := 0
		for range 3 {
			pool, address := pgtest.NewNamed(t, "counted", func(ctx context.Context, pool *pgxpool.Pool) error {
				made++
				return migrate(ctx, pool)
			})
			conn, err := pgx.Connect(t.Context(), address)
			if err != nil {
				t.Fatal(err)
			}
			var database string
			if err := conn.QueryRow(t.Context(), "SELECT current_database()").Scan(&database); err != nil {
				t.Fatal(err)
			}
			if database != pool.Config().ConnConfig.Database {
				t.Errorf("the address is of %s, the pool on %s", database, pool.Config().ConnConfig.Database)
			}
			if err := conn.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if made != 1 {
			t.Errorf("migrated %d times, want once", made)
		}
	})
}

func TestServer(t *testing.T) {
	t.Parallel()
	server, err := postgres.Start(t.Context(), postgres.Options{Settings: pgtest.Settings()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})

	t.Run("DAYOF_TEST_DATABASE_URL is used and left clean", func(t *testing.T) {
		t.Parallel()
		before := commits(t, server.URL(""))
		output, err := runTests(t, "^TestNew$", "DAYOF_TEST_DATABASE_URL="+server.URL(""))
		if err != nil {
			t.Fatalf("%v\n%s", err, output)
		}
		if commits(t, server.URL("")) == before {
			t.Error("the tests ran elsewhere")
		}
		conn, err := pgx.Connect(t.Context(), server.URL(""))
		if err != nil {
			t.Fatal(err)
		}
		var databases string
		err = conn.QueryRow(t.Context(), `SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database`).Scan(&databases)
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if databases != "postgres template0 template1" {
			t.Errorf("left behind: %s", databases)
		}
	})

	t.Run("a package without Main gets an error that names what it needs", func(t *testing.T) {
		t.Parallel()
		output, err := runTests(t, "^TestNew$", withoutMain+"=1")
		if err == nil || !strings.Contains(output, "func TestMain(m *testing.M) { pgtest.Main(m) }") {
			t.Errorf("%v\n%s", err, output)
		}
	})
}

// runTests runs tests of this package in another process.
func runTests(t *testing.T, pattern, environ string) (string, error) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run="+pattern)
	cmd.Env = append(os.Environ(), environ)
	output, err := cmd.CombinedOutput()
	return string(output), err
}

// commits reports whether somebody wrote to a server.
func commits(t *testing.T, address string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	var id string
	if err := conn.QueryRow(t.Context(), "SELECT pg_snapshot_xmax(pg_current_snapshot())::text").Scan(&id); err != nil {
		t.Fatal(err)
	}
	return id
}
