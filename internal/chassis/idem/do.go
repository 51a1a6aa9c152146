package idem

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"google.golang.org/protobuf/proto"

	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// beginSQL opens a transaction that waits at most two seconds for a key in use elsewhere: a caller's patience is
// five seconds, and a one-transaction call takes milliseconds.
const beginSQL = `begin; set local lock_timeout = '2s'`

// endWaitSQL gives the effect the lock_timeout of its pool again.
const endWaitSQL = `set local lock_timeout to default`

const storeSQL = `UPDATE idempotency_keys SET response_type = $4, response = $5 WHERE caller = $1 AND method = $2 AND key = $3`

// Do runs effect in one transaction together with the idempotency key of the incoming call, stores its answer and
// commits. A repeat of the call gets the stored answer, marked as replayed, and effect does not run. An error of
// effect rolls everything back, the key included, and is returned as it is: a refused call stores nothing.
//
// It costs three round trips besides those of effect: begin, claim, and the answer with the commit. effect must not
// commit, nor keep tx. It may run a second time in a later call if the first did not commit.
//
// Problems: IDEMPOTENCY_KEY_REUSED; IDEMPOTENCY_KEY_IN_FLIGHT after two seconds of waiting for a call with the same
// key; DEPENDENCY_UNAVAILABLE if the commit failed. If the outcome of the commit is unknown it is found out first.
func Do[T proto.Message](
	ctx context.Context, pool *pgxpool.Pool, now time.Time, fingerprint []byte,
	effect func(ctx context.Context, tx pgx.Tx) (T, error),
) (T, error) {
	var none T
	scope, err := ScopeFrom(ctx)
	if err != nil {
		return none, err
	}
	answer, replay, err := attempt(ctx, pool, scope, now, fingerprint, effect)
	if _, unknown := errors.AsType[*unknownOutcome](err); unknown && ctx.Err() == nil {
		answer, replay, err = settle[T](ctx, pool, scope, now, fingerprint, err)
	}
	if err != nil {
		return none, err
	}
	if replay {
		rpc.SetReplayed(ctx)
	}
	return answer, nil
}

// attempt is one transaction of Do.
func attempt[T proto.Message](
	ctx context.Context, pool *pgxpool.Pool, scope Scope, now time.Time, fingerprint []byte,
	effect func(ctx context.Context, tx pgx.Tx) (T, error),
) (answer T, replay bool, err error) {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return answer, false, fmt.Errorf("acquire connection: %w", err)
	}
	defer conn.Release()
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{BeginQuery: beginSQL})
	if err != nil {
		return answer, false, fmt.Errorf("begin: %w", err)
	}
	committed := false
	defer func() {
		if !committed {
			rollback(ctx, tx)
		}
	}()
	c, err := claimFirst(ctx, tx, scope, now, fingerprint)
	if err != nil {
		return answer, false, err
	}
	if c.replay {
		answer, err = decode[T](c)
		return answer, true, err
	}
	answer, err = effect(ctx, tx)
	if err != nil {
		return answer, false, err
	}
	if err := storeAndCommit(ctx, conn.Conn(), scope, answer); err != nil {
		return answer, false, err
	}
	committed = true // by storeAndCommit: tx is over on the server, and there is nothing left to roll back
	return answer, false, nil
}

// claimFirst claims the key and lifts the limit on waiting, in one round trip.
func claimFirst(ctx context.Context, tx pgx.Tx, scope Scope, now time.Time, fingerprint []byte) (claim, error) {
	var c claim
	batch := &pgx.Batch{}
	batch.Queue(ClaimSQL, ClaimArgs(scope, now, fingerprint, "")...).QueryRow(func(row pgx.Row) error {
		var err error
		c, err = scanClaim(row, fingerprint)
		return err
	})
	batch.Queue(endWaitSQL)
	return c, tx.SendBatch(ctx, batch).Close()
}

// storeAndCommit writes the answer and commits, in one round trip.
func storeAndCommit(ctx context.Context, conn *pgx.Conn, scope Scope, answer proto.Message) error {
	response, err := proto.Marshal(answer)
	if err != nil {
		return fmt.Errorf("marshal answer: %w", err)
	}
	batch := &pgx.Batch{}
	batch.Queue(storeSQL, scope.Caller, scope.Method, scope.Key, typeName(answer), response)
	batch.Queue("commit")
	results := conn.SendBatch(ctx, batch)
	stored, storeErr := results.Exec()
	committed, commitErr := results.Exec()
	if err := errors.Join(storeErr, commitErr, results.Close()); err != nil {
		return commitError(err)
	}
	if stored.RowsAffected() != 1 || committed.String() != "COMMIT" {
		panic("idem: the effect ended its transaction or removed its key")
	}
	return nil
}

// unknownOutcome is a commit that may have happened.
type unknownOutcome struct{ err error }

func (u *unknownOutcome) Error() string { return "outcome of commit unknown: " + u.err.Error() }

func (u *unknownOutcome) Unwrap() error { return u.err }

// commitError distinguishes a commit that was refused from one whose answer was lost. Only an ERROR from the server proves
// that nothing was written; a FATAL one may follow a commit.
func commitError(err error) error {
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok && pgErr.SeverityUnlocalized == "ERROR" {
		return fmt.Errorf("commit: %w", err)
	}
	return &unknownOutcome{err: err}
}

// settle finds out how a commit ended. It claims the key again: that waits for the lost transaction if it still runs,
// finds its row if it committed, and succeeds only if it did not; then the claim is undone and the caller retries.
func settle[T proto.Message](
	ctx context.Context, pool *pgxpool.Pool, scope Scope, now time.Time, fingerprint []byte, cause error,
) (answer T, replay bool, err error) {
	return attempt(ctx, pool, scope, now, fingerprint, func(context.Context, pgx.Tx) (T, error) {
		var none T
		p := problem.New(connect.CodeUnavailable, problem.ReasonUnavailable, "the change was not made, retry with the same key")
		return none, p.Because(cause)
	})
}

// rollback undoes tx, also when ctx has ended. A connection that cannot roll back is closed by its Release.
func rollback(ctx context.Context, tx pgx.Tx) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = tx.Rollback(ctx) // the caller has the error that matters
}

func typeName(m proto.Message) string { return string(m.ProtoReflect().Descriptor().FullName()) }

// decode returns the stored answer of an earlier call.
func decode[T proto.Message](c claim) (T, error) {
	var none T
	if c.responseType != typeName(none) {
		return none, fmt.Errorf("stored answer is a %q, not a %s", c.responseType, typeName(none))
	}
	m, ok := none.ProtoReflect().New().Interface().(T)
	if !ok {
		panic(fmt.Sprintf("idem: a new %s is no %T", typeName(none), none))
	}
	if err := proto.Unmarshal(c.response, m); err != nil {
		return none, fmt.Errorf("unmarshal stored answer: %w", err)
	}
	return m, nil
}
