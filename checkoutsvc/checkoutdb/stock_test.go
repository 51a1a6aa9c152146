package checkoutdb_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	"github.com/dayof/dayof/devenv/pgtest"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/pgdb"
)

// variantWithStock makes a variant's stock alone.
func variantWithStock(t *testing.T, pool *pgxpool.Pool, id string, capacity int64, shards int32) {
	t.Helper()
	var q checkoutdb.Queries
	if err := q.InsertStock(t.Context(), pool, id, capacity, shards); err != nil {
		t.Fatalf("insert stock: %v", err)
	}
}

// stockOf returns how many tickets of a variant exist, and how many are taken.
func stockOf(t *testing.T, pool *pgxpool.Pool, id string) (capacity, taken int64) {
	t.Helper()
	err := pool.QueryRow(t.Context(), "select sum(capacity)::bigint, sum(taken)::bigint from stock where variant_id = $1", id).Scan(&capacity, &taken)
	if err != nil {
		t.Fatalf("read stock of %s: %v", id, err)
	}
	return capacity, taken
}

// migrate makes the tables; stock needs no variants here.
func migrate(ctx context.Context, pool *pgxpool.Pool) error {
	if err := pgdb.Migrate(ctx, pool, checkoutdb.Migrations()); err != nil {
		return err
	}
	_, err := pool.Exec(ctx, "alter table stock drop constraint stock_variant_id_fkey")
	return err
}

// However its tickets are divided among shards, a variant sells them all, to the last, and not one more.
func TestStockShards(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, migrate)
	var q checkoutdb.Queries
	for _, shape := range []struct {
		id       string
		capacity int64
		shards   int32
	}{{"one", 7, 1}, {"uneven", 101, 4}, {"fewer_tickets_than_shards", 5, 16}, {"many", 1000, 16}} {
		t.Run(shape.id, func(t *testing.T) {
			t.Parallel()
			seed := uint64(clock.System{}.Now().UnixNano())
			t.Logf("seed %d", seed)
			random := rand.New(rand.NewPCG(seed, 0))
			variantWithStock(t, pool, shape.id, shape.capacity, shape.shards)
			var sold []int64 // quantities
			var total int64
			for range 400 {
				switch {
				case random.IntN(10) == 0:
					capacity := 1 + random.Int64N(2*shape.capacity)
					rows, err := q.SetCapacity(t.Context(), pool, shape.id, capacity, shape.shards+random.Int32N(3))
					if err != nil {
						t.Fatalf("set capacity to %d: %v", capacity, err)
					}
					if got, want := rows == 1, capacity >= total; got != want {
						t.Fatalf("set capacity to %d where %d are taken: got %v, want %v", capacity, total, got, want)
					}
					if rows == 1 {
						shape.capacity = capacity
					}
				case len(sold) > 0 && random.IntN(3) == 0:
					i := random.IntN(len(sold))
					if err := q.ReturnStock(t.Context(), pool, shape.id, sold[i]); err != nil {
						t.Fatalf("return %d of %d: %v", sold[i], total, err)
					}
					total -= sold[i]
					sold[i] = sold[len(sold)-1]
					sold = sold[:len(sold)-1]
				default:
					quantity := 1 + random.Int64N(min(shape.capacity, 40))
					rows, err := q.TakeStock(t.Context(), pool, shape.id, quantity)
					if err != nil {
						t.Fatalf("take %d of %d: %v", quantity, shape.capacity-total, err)
					}
					if got, want := rows == 1, total+quantity <= shape.capacity; got != want {
						t.Fatalf("take %d where %d of %d are taken: got %v, want %v", quantity, total, shape.capacity, got, want)
					}
					if rows == 1 {
						sold, total = append(sold, quantity), total+quantity
					}
				}
				if capacity, taken := stockOf(t, pool, shape.id); capacity != shape.capacity || taken != total {
					t.Fatalf("the shards have %d of %d taken, want %d of %d", taken, capacity, total, shape.capacity)
				}
			}
			if err := q.ReturnStock(t.Context(), pool, shape.id, total+1); pgdb.ConstraintName(err) != "stock_is_never_negative" {
				t.Errorf("returning one more than is taken: got %v, want stock_is_never_negative", err)
			}
		})
	}
}

// Buyers of one variant are spread over its shards, so that who has not committed keeps few others waiting.
func TestTakingStockIsSpread(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, migrate)
	var q checkoutdb.Queries
	variantWithStock(t, pool, "hot", 1000, 16)
	slow, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = slow.Rollback(context.WithoutCancel(t.Context())) }()
	if _, err := slow.Exec(t.Context(), "select from stock where variant_id = 'hot' and shard % 2 = 0 for update"); err != nil {
		t.Fatal(err)
	}
	served := 0
	for range 60 { // all of them meet one of the eight shards that are locked by chance in one of 10^18 runs
		err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(t.Context(), "set local lock_timeout = '1ms'"); err != nil {
				return err
			}
			rows, err := q.TakeStock(t.Context(), tx, "hot", 5)
			if err == nil && rows == 1 {
				served++
			}
			return err
		})
		if refused, ok := errors.AsType[*pgconn.PgError](err); err != nil && (!ok || refused.Code != "55P03") { // lock_not_available
			t.Fatal(err)
		}
	}
	if served == 0 {
		t.Error("everybody waits for one buyer who has not committed")
	}
	if _, taken := stockOf(t, pool, "hot"); taken != int64(5*served) {
		t.Errorf("%d are taken, want %d", taken, 5*served)
	}
}

// At once, with transactions that are rolled back among them, all tickets are sold and none twice. Who was refused was refused because
// there was not enough.
func TestManyTakeStockAtOnce(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, migrate)
	var q checkoutdb.Queries
	seed := uint64(clock.System{}.Now().UnixNano())
	t.Logf("seed %d", seed)
	const capacity, buyers = 500, 16
	variantWithStock(t, pool, "rush", capacity, 7)
	errRollback := errors.New("rolled back")
	var sold [buyers]int64
	var wg sync.WaitGroup
	for i := range buyers {
		random := rand.New(rand.NewPCG(seed, uint64(i)))
		wg.Go(func() {
			for {
				quantity, keep, enough := 1+random.Int64N(3), random.IntN(4) > 0, false
				err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
					rows, err := q.TakeStock(t.Context(), tx, "rush", quantity)
					if enough = rows == 1; err == nil && enough && !keep {
						return errRollback
					}
					return err
				})
				switch {
				case err != nil && !errors.Is(err, errRollback):
					t.Errorf("take stock: %v", err)
					return
				case err == nil && enough:
					sold[i] += quantity
				case err == nil && quantity == 1:
					return // sold out
				}
			}
		})
	}
	wg.Wait()
	var total int64
	for _, n := range sold {
		total += n
	}
	if got, taken := stockOf(t, pool, "rush"); got != capacity || taken != capacity || total != capacity {
		t.Errorf("%d of %d are taken, buyers have %d, want all %d", taken, got, total, capacity)
	}
}
