package idem_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/dayof/dayof/devenv/pgtest"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/idem"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/chassis/rpc"
	"github.com/dayof/dayof/internal/chassis/rpc/testpb"
)

// insertNote is the effect of these tests.
func insertNote(ctx context.Context, tx pgx.Tx, text string) (*testpb.WriteResponse, error) {
	res := &testpb.WriteResponse{Text: text}
	return res, tx.QueryRow(ctx, "INSERT INTO notes (text) VALUES ($1) RETURNING number", text).Scan(&res.Number)
}

// writing is a handler that inserts a note under its key; before runs inside the transaction.
func writing(pool *pgxpool.Pool, before func(ctx context.Context, tx pgx.Tx) error) handler {
	return func(ctx context.Context, req *testpb.WriteRequest) (*testpb.WriteResponse, error) {
		return idem.Do(ctx, pool, clock.System{}.Now(), fingerprint(req), func(ctx context.Context, tx pgx.Tx) (*testpb.WriteResponse, error) {
			if before != nil {
				if err := before(ctx, tx); err != nil {
					return nil, err
				}
			}
			return insertNote(ctx, tx, req.GetText())
		})
	}
}

func TestDo(t *testing.T) {
	t.Parallel()

	t.Run("same key and body is answered from the store", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.New(t, migrate)
		client := newService(t, writing(pool, nil))
		first, replayed, err := write(t.Context(), client, "k", "hello")
		if err != nil || replayed {
			t.Fatal(first, replayed, err)
		}
		again, replayed, err := write(t.Context(), client, "k", "hello")
		if err != nil || !replayed || !proto.Equal(first, again) {
			t.Errorf("got %v, replayed %v, %v; want %v", again, replayed, err, first)
		}
		if other, replayed, err := write(t.Context(), client, "k2", "hello"); err != nil || replayed || other.GetNumber() == first.GetNumber() {
			t.Errorf("another key: %v, replayed %v, %v", other, replayed, err)
		}
		wantCounts(t, pool, 2, 2)
	})

	t.Run("same key concurrently has one effect", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.New(t, migrate)
		client := newService(t, writing(pool, nil))
		const callers = 50
		answers := make(chan *testpb.WriteResponse, callers)
		var fresh atomic.Int64
		var wg sync.WaitGroup
		for range callers {
			wg.Go(func() {
				res, replayed, err := write(t.Context(), client, "k", "hello")
				if err != nil {
					t.Error(err)
					return
				}
				if !replayed {
					fresh.Add(1)
				}
				answers <- res
			})
		}
		wg.Wait()
		close(answers)
		for res := range answers {
			if res.GetNumber() != 1 || res.GetText() != "hello" {
				t.Errorf("answer %v", res)
			}
		}
		if fresh.Load() != 1 {
			t.Errorf("%d answers are not marked as replayed", fresh.Load())
		}
		wantCounts(t, pool, 1, 1)
	})

	t.Run("same key and other body is refused", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.New(t, migrate)
		client := newService(t, writing(pool, nil))
		if _, _, err := write(t.Context(), client, "k", "hello"); err != nil {
			t.Fatal(err)
		}
		_, _, err := write(t.Context(), client, "k", "bye")
		wantProblem(t, err, connect.CodeAlreadyExists, problem.ReasonIdempotencyKeyReused)
		wantCounts(t, pool, 1, 1)
	})

	t.Run("other callers and methods have keys of their own", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.New(t, migrate)
		client := newService(t, writing(pool, nil))
		for _, token := range []string{"carl", "anna", "bert"} {
			ctx := rpc.WithBearerToken(t.Context(), token)
			if _, replayed, err := write(ctx, client, "k", "hello"); err != nil || replayed {
				t.Errorf("caller %q: replayed %v, %v", token, replayed, err)
			}
		}
		for _, method := range []string{"/x/A", "/x/B"} {
			ctx := idem.WithScope(t.Context(), idem.Scope{Caller: "operator", Method: method, Key: "k"})
			if _, err := writing(pool, nil)(ctx, &testpb.WriteRequest{Text: "hello"}); err != nil {
				t.Error(err)
			}
		}
		wantCounts(t, pool, 5, 5)
	})

	t.Run("a refused call stores nothing and is decided anew", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.New(t, migrate)
		var soldOut atomic.Bool
		soldOut.Store(true)
		client := newService(t, writing(pool, func(context.Context, pgx.Tx) error {
			if soldOut.Load() {
				return problem.New(connect.CodeResourceExhausted, "SOLD_OUT", "choose another seat")
			}
			return nil
		}))
		_, _, err := write(t.Context(), client, "k", "hello")
		wantProblem(t, err, connect.CodeResourceExhausted, "SOLD_OUT")
		wantCounts(t, pool, 0, 0)
		soldOut.Store(false)
		if _, replayed, err := write(t.Context(), client, "k", "other body"); err != nil || replayed {
			t.Errorf("replayed %v, %v", replayed, err)
		}
		wantCounts(t, pool, 1, 1)
	})

	t.Run("a panic stores nothing", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.New(t, migrate)
		client := newService(t, writing(pool, func(ctx context.Context, tx pgx.Tx) error {
			if _, err := insertNote(ctx, tx, "half"); err != nil {
				return err
			}
			panic("half way")
		}))
		_, _, err := write(t.Context(), client, "k", "hello")
		wantProblem(t, err, connect.CodeInternal, problem.ReasonInternal)
		wantCounts(t, pool, 0, 0)
		if idle := pool.Stat().AcquiredConns(); idle != 0 {
			t.Errorf("%d connections are lost", idle)
		}
	})

	t.Run("crash between effect and reply", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.New(t, migrate)
		var crash atomic.Bool
		crash.Store(true)
		do := writing(pool, nil)
		client := newService(t, func(ctx context.Context, req *testpb.WriteRequest) (*testpb.WriteResponse, error) {
			res, err := do(ctx, req)
			if err == nil && crash.Swap(false) {
				panic("crash with the answer in hand")
			}
			return res, err
		})
		if _, _, err := write(t.Context(), client, "k", "hello"); err == nil {
			t.Fatal("no crash")
		}
		res, replayed, err := write(t.Context(), client, "k", "hello")
		if err != nil || !replayed || res.GetNumber() != 1 {
			t.Errorf("got %v, replayed %v, %v", res, replayed, err)
		}
		wantCounts(t, pool, 1, 1)
	})

	t.Run("crash between effect and commit", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.New(t, migrate)
		var crash atomic.Bool
		crash.Store(true)
		client := newService(t, writing(pool, func(ctx context.Context, tx pgx.Tx) error {
			if !crash.Swap(false) {
				return nil
			}
			if _, err := insertNote(ctx, tx, "half"); err != nil {
				return err
			}
			_, _ = tx.Exec(ctx, "SELECT pg_terminate_backend(pg_backend_pid())") // the backend is gone
			return nil
		}))
		// The first try ends in unavailable, and the client itself repeats it.
		res, replayed, err := write(t.Context(), client, "k", "hello")
		if err != nil || replayed || res.GetText() != "hello" {
			t.Errorf("got %v, replayed %v, %v", res, replayed, err)
		}
		wantCounts(t, pool, 1, 1)
	})

	t.Run("a key in use elsewhere is waited for and then refused", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.New(t, migrate)
		inside, leave := make(chan struct{}), make(chan struct{})
		var once sync.Once
		client := newService(t, writing(pool, func(context.Context, pgx.Tx) error {
			once.Do(func() { close(inside); <-leave })
			return nil
		}))
		first := make(chan error, 1)
		go func() {
			_, _, err := write(t.Context(), client, "k", "hello")
			first <- err
		}()
		<-inside
		_, _, err := write(t.Context(), client, "k", "hello")
		wantProblem(t, err, connect.CodeAborted, problem.ReasonIdempotencyKeyInFlight)
		if problem.RetryAfter(err) <= 0 {
			t.Error("no RetryInfo")
		}
		close(leave)
		if err := <-first; err != nil {
			t.Fatal(err)
		}
		if _, replayed, err := write(t.Context(), client, "k", "hello"); err != nil || !replayed {
			t.Errorf("replayed %v, %v", replayed, err)
		}
		wantCounts(t, pool, 1, 1)
	})

	t.Run("a second call takes over when the first fails", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.New(t, migrate)
		inside, leave := make(chan struct{}), make(chan struct{})
		var once sync.Once
		client := newService(t, writing(pool, func(context.Context, pgx.Tx) error {
			var err error
			once.Do(func() {
				close(inside)
				<-leave
				err = problem.New(connect.CodeFailedPrecondition, "NOT_YET", "later")
			})
			return err
		}))
		first, second := make(chan error, 1), make(chan error, 1)
		go func() { _, _, err := write(t.Context(), client, "k", "hello"); first <- err }()
		<-inside
		go func() { _, _, err := write(t.Context(), client, "k", "hello"); second <- err }()
		eventually(t, "the second call waits for the key", func() bool {
			var waiting int
			err := pool.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity
				WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&waiting)
			return err == nil && waiting == 1
		})
		close(leave)
		wantProblem(t, <-first, connect.CodeFailedPrecondition, "NOT_YET")
		if err := <-second; err != nil {
			t.Error(err)
		}
		wantCounts(t, pool, 1, 1)
	})

	t.Run("the limit on waiting does not hold for the effect", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.New(t, migrate)
		var inEffect, before string
		client := newService(t, writing(pool, func(ctx context.Context, tx pgx.Tx) error {
			return tx.QueryRow(ctx, "SHOW lock_timeout").Scan(&inEffect)
		}))
		if err := pool.QueryRow(t.Context(), "SHOW lock_timeout").Scan(&before); err != nil {
			t.Fatal(err)
		}
		if _, _, err := write(t.Context(), client, "k", "hello"); err != nil || inEffect != before {
			t.Errorf("lock_timeout is %s in the effect, %s outside, %v", inEffect, before, err)
		}
	})

	t.Run("a conflict at commit is aborted", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.New(t, migrate)
		if _, err := pool.Exec(t.Context(), `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
			$$ BEGIN RAISE EXCEPTION 'conflict' USING ERRCODE = '40001'; END $$;
			CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON notes DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()`); err != nil {
			t.Fatal(err)
		}
		_, _, err := write(t.Context(), newService(t, writing(pool, nil)), "k", "hello")
		wantProblem(t, err, connect.CodeAborted, problem.ReasonConcurrentChange)
		wantCounts(t, pool, 0, 0)
	})

	t.Run("a stored answer of another type is our bug", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.New(t, migrate)
		ctx := idem.WithScope(t.Context(), idem.Scope{Caller: "c", Method: "/x/A", Key: "k"})
		now := clock.System{}.Now()
		if _, err := idem.Do(ctx, pool, now, []byte("f"), func(context.Context, pgx.Tx) (*emptypb.Empty, error) {
			return &emptypb.Empty{}, nil
		}); err != nil {
			t.Fatal(err)
		}
		if _, err := idem.Do(ctx, pool, now, []byte("f"), func(ctx context.Context, tx pgx.Tx) (*testpb.WriteResponse, error) {
			return insertNote(ctx, tx, "x")
		}); problem.Code(err) != connect.CodeUnknown {
			t.Errorf("got %v", err)
		}
		wantCounts(t, pool, 0, 1)
	})

	t.Run("outside of a call there is no key", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.New(t, migrate)
		if _, err := writing(pool, nil)(t.Context(), &testpb.WriteRequest{Text: "x"}); err == nil {
			t.Error("an effect without a key")
		}
		wantCounts(t, pool, 0, 0)
	})
}

const (
	lost     cut = iota // it does not arrive
	unheard             // it arrives, its answer does not
	shutDown            // it arrives, and the server shuts down before it answers
)
