package pgtest_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/dayof/dayof/internal/chassis/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

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
}
