package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// attemptsMax bounds how often a write is run again after Postgres undid it to
// resolve a deadlock. Posts lock in one order and cannot deadlock; atomic bulks
// may.
const attemptsMax = 10

// advisoryClass is the first key of the advisory locks on a ledger's log: shared
// by writers from their begin, exclusive for the barrier in logchain.go.
const advisoryClass = 0x1ed6e7

// work is one SQL transaction on one ledger. Statements are queued and sent
// together by flush; BEGIN and COMMIT travel with them, so that a post is two
// round trips. After an error the work is dead: run rolls it back.
type work struct {
	conn  *pgxpool.Conn
	book  book
	now   time.Time // when the work began: insertion date of all it writes
	batch *pgx.Batch
	open  bool // BEGIN was sent, COMMIT was not
	done  bool // committed
	// rows holds the volumes rows locked so far, as they are now.
	rows holdingRows
	// priors holds, in an atomic bulk, what the keys of its elements stood for
	// before it; a key is taken out when an element uses it.
	priors map[string]*prior
	// leftBehind is what the real ledger writes outside of the transaction;
	// see dryRun.
	leftBehind []accountUpsert
}

// run does f in one SQL transaction and commits, unless f returned an error or
// committed itself. After a deadlock it does f again from the start.
func (s *Server) run(ctx context.Context, b book, f func(ctx context.Context, w *work) error) error {
	var err error
	for range attemptsMax {
		if err = s.attempt(ctx, b, f); !retryable(err) {
			return err
		}
	}
	return err
}

// errRollback ends a work without an error of its own.
var errRollback = errors.New("roll back")

func (s *Server) attempt(ctx context.Context, b book, f func(ctx context.Context, w *work) error) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("acquire connection: %w", err)
	}
	defer conn.Release()
	w := &work{conn: conn, book: b, now: s.clock.Now(), batch: newBatch(), rows: make(holdingRows)}
	w.batch.Queue("begin")
	w.batch.Queue("select pg_advisory_xact_lock_shared($1::int, $2::int)", advisoryClass, b.id)
	if err := f(ctx, w); err != nil {
		w.rollback(ctx)
		if errors.Is(err, errRollback) {
			return nil
		}
		return err
	}
	if err := w.commit(ctx); err != nil {
		w.rollback(ctx)
		return err
	}
	return nil
}

func newBatch() *pgx.Batch { return &pgx.Batch{} }

// flush sends what is queued and runs the callbacks of the statements.
func (w *work) flush(ctx context.Context) error {
	if w.batch.Len() == 0 {
		return nil
	}
	batch := w.batch
	w.batch = newBatch()
	w.open = true
	return w.conn.SendBatch(ctx, batch).Close()
}

// commit sends what is queued with a COMMIT behind it. It does nothing when the
// work has been committed.
func (w *work) commit(ctx context.Context) error {
	if w.done {
		return nil
	}
	w.batch.Queue("commit")
	if err := w.flush(ctx); err != nil {
		return err
	}
	w.open, w.done = false, true
	return nil
}

// rollback also serves when ctx has ended. A connection that cannot roll back
// is closed by Release, which undoes the transaction as well.
func (w *work) rollback(ctx context.Context) {
	if !w.open || w.conn.Conn().IsClosed() {
		return
	}
	w.open = false
	_, _ = w.conn.Exec(context.WithoutCancel(ctx), "rollback")
}
