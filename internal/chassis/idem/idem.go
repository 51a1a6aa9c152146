// Package idem makes a repeated call have one effect: it stores the idempotency key, a fingerprint of the request and
// the answer in the transaction of the effect, and gives the stored answer to a repeat.
//
// The key row is written first. A second call with the same key waits on the unique constraint until the first one has
// committed or not, so there is no instant at which both believe to be first, and no read before the write.
// Source of the rules: docs/style.md, "Idempotency"; docs/design.md, "Idempotency keys".
package idem

import (
	"bytes"
	"context"
	_ "embed" // the schema
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// Schema is the table that this package needs in the service's own database. A service copies it into its first
// migration.
//
//go:embed schema.sql
var Schema string

// Lifetime is how long a key is remembered. After it, a repeat is a new call; only business keys stop it then.
const Lifetime = 7 * 24 * time.Hour

// inFlightRetryAfter is how long a caller waits whose key is in use by a call that is still running.
const inFlightRetryAfter = time.Second

// ClaimSQL inserts a key, or finds the row that has it, in one statement. Arguments are those of ClaimArgs; the row it
// returns is (fingerprint, subject, response_type, response, replay).
//
// While another transaction holds the key it waits for that transaction to end; bound the wait by lock_timeout. A
// conflict rewrites the row with itself: DO NOTHING would return no row, and a separate SELECT in the same statement
// would not see a row that was committed after the statement began. xmax is 0 only in a row that was just inserted.
const ClaimSQL = `INSERT INTO idempotency_keys (caller, method, key, fingerprint, subject, created_time)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT ON CONSTRAINT idempotency_key_is_used_once DO UPDATE SET key = excluded.key
RETURNING fingerprint, subject, response_type, coalesce(response, ''), xmax <> 0`

// Scope is what a key belongs to. Keys of different callers or methods never meet.
type Scope struct {
	Caller string // rpc.Caller.Name
	Method string // full procedure name
	Key    string
}

type scopeKey struct{}

// WithScope returns a context whose key is s, for work that is not an incoming RPC: a job that does what a call would.
func WithScope(ctx context.Context, s Scope) context.Context {
	return context.WithValue(ctx, scopeKey{}, s)
}

// ScopeFrom returns the scope of the incoming call, or that of WithScope.
func ScopeFrom(ctx context.Context) (Scope, error) {
	if s, ok := ctx.Value(scopeKey{}).(Scope); ok {
		return s, nil
	}
	info, ok := connect.CallInfoForHandlerContext(ctx)
	if !ok {
		return Scope{}, errors.New("idempotency key asked for outside of a call")
	}
	s := Scope{Caller: rpc.CallerFrom(ctx).Name, Method: info.Spec().Procedure, Key: rpc.IdempotencyKey(ctx)}
	if s.Key == "" {
		return Scope{}, problem.New(connect.CodeInvalidArgument, problem.ReasonIdempotencyKeyRequired,
			"send a header Idempotency-Key that is new for each intention and the same for its retries")
	}
	return s, nil
}

// ClaimArgs returns the arguments of ClaimSQL in their order.
func ClaimArgs(s Scope, now time.Time, fingerprint []byte, subject string) []any {
	return []any{s.Caller, s.Method, s.Key, fingerprint, subject, now}
}

// claim is the row that a key has after ClaimSQL.
type claim struct {
	fingerprint  []byte
	subject      string
	responseType string
	response     []byte
	replay       bool
}

// scanClaim reads the row of ClaimSQL and refuses a key that was used for another request.
func scanClaim(row pgx.Row, fingerprint []byte) (claim, error) {
	var c claim
	if err := row.Scan(&c.fingerprint, &c.subject, &c.responseType, &c.response, &c.replay); err != nil {
		return claim{}, claimError(err)
	}
	if !bytes.Equal(c.fingerprint, fingerprint) {
		return claim{}, errReused
	}
	return c, nil
}

var errReused = problem.New(connect.CodeAlreadyExists, problem.ReasonIdempotencyKeyReused,
	"this Idempotency-Key was used for a different request, use a new key")

// claimError says that the key is in use, where the wait for it ran out.
func claimError(err error) error {
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok && pgErr.Code == lockNotAvailable {
		p := problem.New(connect.CodeAborted, problem.ReasonIdempotencyKeyInFlight,
			"a call with this Idempotency-Key is still running, retry with the same key")
		p.RetryAfter = inFlightRetryAfter
		return p.Because(err)
	}
	return fmt.Errorf("claim idempotency key: %w", err)
}

// lockNotAvailable is the SQLSTATE of a lock_timeout.
const lockNotAvailable = "55P03"

// Claim stores the key of the incoming call with the business id subject, in tx. If an earlier call has the key and
// made the same request, it returns that call's subject and replay = true; the caller answers from that row and need
// not commit. tx decides: rolled back, the key was never used.
//
// Problems: IDEMPOTENCY_KEY_REUSED, IDEMPOTENCY_KEY_IN_FLIGHT (only under a lock_timeout). After an error tx is dead
// or must be rolled back.
func Claim(ctx context.Context, tx pgx.Tx, now time.Time, fingerprint []byte, subject string) (existing string, replay bool, err error) {
	scope, err := ScopeFrom(ctx)
	if err != nil {
		return "", false, err
	}
	c, err := scanClaim(tx.QueryRow(ctx, ClaimSQL, ClaimArgs(scope, now, fingerprint, subject)...), fingerprint)
	if err != nil {
		return "", false, err
	}
	if c.replay {
		rpc.SetReplayed(ctx)
	}
	return c.subject, c.replay, nil
}

// Claimed is the outcome of a queued claim. It is set when the batch's results have been read up to it.
type Claimed struct {
	Subject string // of the first call with this key: ours, or that of an earlier call
	Replay  bool   // an earlier call has the key
}

// QueueClaim is Claim as one statement of a batch, to save a round trip. The problems of Claim come out of the batch's
// results (Close, or Exec of later statements). Statements queued behind it run also when the key was used before, so
// whoever queues writes checks Replay and rolls back.
func QueueClaim(ctx context.Context, batch *pgx.Batch, now time.Time, fingerprint []byte, subject string) (*Claimed, error) {
	scope, err := ScopeFrom(ctx)
	if err != nil {
		return nil, err
	}
	out := &Claimed{}
	batch.Queue(ClaimSQL, ClaimArgs(scope, now, fingerprint, subject)...).QueryRow(func(row pgx.Row) error {
		c, err := scanClaim(row, fingerprint)
		if err != nil {
			return err
		}
		out.Subject, out.Replay = c.subject, c.replay
		if c.replay {
			rpc.SetReplayed(ctx)
		}
		return nil
	})
	return out, nil
}

// reusedSQL finds the request that a key was used for. Arguments are the first three of ClaimArgs.
const reusedSQL = `SELECT fingerprint FROM idempotency_keys WHERE caller = $1 AND method = $2 AND key = $3`

// QueueCheck refuses the key of the incoming call where an earlier call used it for another request, as one statement of a batch. It
// is for a call that turns out to change nothing: the key is not stored, so that nothing is written, and a repeat finds out the
// same.
//
// Problems, out of the batch's results: IDEMPOTENCY_KEY_REUSED.
func QueueCheck(ctx context.Context, batch *pgx.Batch, fingerprint []byte) error {
	scope, err := ScopeFrom(ctx)
	if err != nil {
		return err
	}
	batch.Queue(reusedSQL, scope.Caller, scope.Method, scope.Key).Query(func(rows pgx.Rows) error {
		used, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
		if err != nil || len(used) == 0 {
			return err
		}
		if !bytes.Equal(used[0], fingerprint) {
			return errReused
		}
		rpc.SetReplayed(ctx)
		return nil
	})
	return nil
}
