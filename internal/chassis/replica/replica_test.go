package replica_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/dayof/dayof/devenv/pgtest"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/replica"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func migrate(ctx context.Context, pool *pgxpool.Pool) error {
	_, err := pool.Exec(ctx, replica.Schema)
	return err
}

// TestCount starts three replicas, ends one, and lets the database forget it.
func TestCount(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, migrate)
	fake := clock.NewFake(time.Date(2026, 7, 1, 20, 0, 0, 0, time.UTC))
	var replicas []*replica.Counter
	for n := 1; n <= 3; n++ {
		replicas = append(replicas, replica.NewCounter(pool, fake))
		if got := replicas[n-1].Count(t.Context()); got != n {
			t.Errorf("the replica that starts as number %d counts %d", n, got)
		}
	}
	if got := replicas[0].Count(t.Context()); got != 1 {
		t.Errorf("the first asks again at once: %d", got)
	}
	fake.Advance(10 * time.Second)
	if got := replicas[0].Count(t.Context()); got != 3 {
		t.Errorf("the first counts %d after ten seconds", got)
	}
	rows := func() (n int) {
		if err := pool.QueryRow(t.Context(), "SELECT count(*) FROM replicas").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, tc := range []struct {
		age        string
		count, row int
	}{{"29 seconds", 3, 3}, {"31 seconds", 1, 3}, {"11 minutes", 1, 1}} {
		if _, err := pool.Exec(t.Context(), "UPDATE replicas SET seen_time = now() - $1::text::interval", tc.age); err != nil {
			t.Fatal(err)
		}
		fake.Advance(10 * time.Second)
		if got := replicas[1].Count(t.Context()); got != tc.count || rows() != tc.row {
			t.Errorf("%s after the others lived: %d are counted, %d rows", tc.age, got, rows())
		}
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	fake.Advance(10 * time.Second)
	if got := replicas[2].Count(canceled); got != 2 {
		t.Errorf("a caller that has left makes it %d", got)
	}
	pool.Close()
	fake.Advance(10 * time.Second)
	if got := replicas[2].Count(t.Context()); got != 2 {
		t.Errorf("without a database %d", got)
	}
}
