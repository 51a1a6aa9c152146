package pgdb_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/dayof/dayof/devenv/pgtest"
	"github.com/dayof/dayof/internal/chassis/pgdb"
)

// fillLog makes a table of rows, a second apart, up to an instant.
func fillLog(tb testing.TB, pool *pgxpool.Pool, rows int, until time.Time) {
	tb.Helper()
	if _, err := pool.Exec(tb.Context(), `insert into log (time, line) select $2::timestamptz - i * interval '1 second', repeat('x', 200)
		from generate_series($1::integer, 1, -1) i`, rows, until); err != nil {
		tb.Fatal(err)
	}
}

func migrateLog(ctx context.Context, pool *pgxpool.Pool) error {
	_, err := pool.Exec(ctx, `create table log (id bigint generated always as identity primary key, time timestamptz not null, line text not null);
		create index log_by_time on log using brin (time)`)
	return err
}

// TestPurge deletes what is old from two replicas at once: each row is deleted once, and no other one.
func TestPurge(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, migrateLog)
	until := time.Date(2026, 3, 8, 12, 0, 0, 0, time.UTC)
	fillLog(t, pool, 10_000, until)
	var deleted atomic.Int64
	var replicas sync.WaitGroup
	for range 2 {
		replicas.Go(func() {
			n, err := pgdb.Purge(t.Context(), pool, "log", "time < $1 and line <> $2", until.Add(-2500*time.Second), "kept")
			if err != nil {
				t.Error(err)
			}
			deleted.Add(n)
		})
	}
	replicas.Wait()
	var left int
	var oldest time.Time
	if err := pool.QueryRow(t.Context(), "select count(*), min(time) from log").Scan(&left, &oldest); err != nil {
		t.Fatal(err)
	}
	if deleted.Load() != 7500 || left != 2500 || oldest.Before(until.Add(-2500*time.Second)) {
		t.Errorf("%d rows are deleted, %d are left, the oldest of %v", deleted.Load(), left, oldest)
	}
}

// BenchmarkPurge deletes 500,000 rows:
//
//	go test ./internal/chassis/pgdb -run '^$' -bench Purge -benchtime 1x
func BenchmarkPurge(b *testing.B) {
	const rows = 500_000
	pool := pgtest.New(b, migrateLog)
	until := time.Date(2026, 3, 8, 12, 0, 0, 0, time.UTC)
	for b.Loop() {
		b.StopTimer()
		fillLog(b, pool, rows, until)
		b.StartTimer()
		if n, err := pgdb.Purge(b.Context(), pool, "log", "time < $1", until); err != nil || n != rows {
			b.Fatalf("%d rows, %v", n, err)
		}
	}
	b.ReportMetric(rows*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
