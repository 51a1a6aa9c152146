package idem_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/dayof/dayof/devenv/pgtest"
	"github.com/dayof/dayof/internal/chassis/idem"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/chassis/rpc/testpb"
)

// cutter breaks a connection to Postgres when it sends a commit.
type cutter struct {
	net.Conn
	armed  *atomic.Bool
	how    cut
	broken atomic.Bool
}

// cut says what becomes of a commit.
type cut int

// fatal is Postgres' last word: ErrorResponse with severity FATAL and SQLSTATE 57P01.
const fatal = "E\x00\x00\x00\x1fSFATAL\x00VFATAL\x00C57P01\x00Mbye\x00\x00"

func (c *cutter) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte("commit")) && c.armed.CompareAndSwap(true, false) {
		c.broken.Store(true)
		if c.how == lost {
			return 0, errors.Join(net.ErrClosed, c.Close())
		}
	}
	return c.Conn.Write(b)
}

func (c *cutter) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if !c.broken.Load() {
		return n, err
	}
	if err := c.Close(); err != nil {
		return 0, err
	}
	if c.how == shutDown {
		return copy(b, fatal), nil
	}
	return 0, io.ErrUnexpectedEOF
}

// A commit whose answer is lost is looked up: what was committed is answered, what was not is repeated by the caller.
func TestUnknownCommit(t *testing.T) {
	t.Parallel()
	for name, how := range map[string]cut{"lost": lost, "unheard": unheard, "shut down": shutDown} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := pgtest.New(t, migrate)
			var armed atomic.Bool
			config := pool.Config()
			config.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
				conn, err := new(net.Dialer).DialContext(ctx, network, addr)
				return &cutter{Conn: conn, armed: &armed, how: how}, err
			}
			// No prepared statements: each commit goes over the wire by its name.
			config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
			cutPool, err := pgxpool.NewWithConfig(t.Context(), config)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(cutPool.Close)
			if err := cutPool.Ping(t.Context()); err != nil {
				t.Fatal(err)
			}
			ctx := idem.WithScope(t.Context(), idem.Scope{Caller: "c", Method: "/x/A", Key: "k"})
			armed.Store(true)
			res, err := writing(cutPool, nil)(ctx, &testpb.WriteRequest{Text: "hello"})
			if armed.Load() {
				t.Fatal("the commit was not cut")
			}
			if how != lost {
				if err != nil || res.GetNumber() != 1 {
					t.Errorf("got %v, %v", res, err)
				}
				wantCounts(t, pool, 1, 1)
				return
			}
			wantProblem(t, err, connect.CodeUnavailable, problem.ReasonUnavailable)
			wantCounts(t, pool, 0, 0)
			if res, err := writing(cutPool, nil)(ctx, &testpb.WriteRequest{Text: "hello"}); err != nil || res.GetText() != "hello" {
				t.Errorf("the repeat: %v, %v", res, err)
			}
			wantCounts(t, pool, 1, 1)
		})
	}
}

// What a call costs besides its effect is three flushes to Postgres.
func TestRoundTrips(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, migrate)
	var flushes atomic.Int64
	config := pool.Config()
	config.MaxConns = 1
	config.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		return &flushCounter{Conn: conn, n: &flushes}, err
	}
	counted, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(counted.Close)
	do := func(key string) int64 {
		ctx := idem.WithScope(t.Context(), idem.Scope{Caller: "c", Method: "/x/A", Key: key})
		start := flushes.Load()
		if _, err := writing(counted, nil)(ctx, &testpb.WriteRequest{Text: "hello"}); err != nil {
			t.Fatal(err)
		}
		return flushes.Load() - start
	}
	do("warm") // prepares the statements
	if got := do("k"); got != 4 {
		t.Errorf("a call with an effect of one statement makes %d flushes, want 4", got)
	}
	if got := do("k"); got != 3 {
		t.Errorf("a replay makes %d flushes, want 3: begin, claim, rollback", got)
	}
}

type flushCounter struct {
	net.Conn
	n *atomic.Int64
}

func (c *flushCounter) Write(b []byte) (int, error) {
	c.n.Add(1)
	return c.Conn.Write(b)
}
