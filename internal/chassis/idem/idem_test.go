package idem_test

import (
	"context"
	"encoding/hex"
	"errors"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/devenv/pgtest"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/idem"
	"github.com/dayof/dayof/internal/chassis/problem"
)

// A claim is in the first transaction of a fulfilment attempt, with the claim queued or on its own.
func TestClaim(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, migrate)
	errJoin := errors.New("roll back: the key was used before")
	claims := map[string]func(key, body, subject string) (string, bool, error){
		"alone": func(key, body, subject string) (existing string, replay bool, err error) {
			ctx := idem.WithScope(t.Context(), idem.Scope{Caller: "c", Method: "/x/A", Key: key})
			err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
				existing, replay, err = idem.Claim(ctx, tx, clock.System{}.Now(), idem.Fingerprint(1, body), subject)
				return err
			})
			return existing, replay, err
		},
		"queued": func(key, body, subject string) (string, bool, error) {
			ctx := idem.WithScope(t.Context(), idem.Scope{Caller: "c", Method: "/x/B", Key: key})
			var claimed *idem.Claimed
			err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
				var err error
				batch := &pgx.Batch{}
				if claimed, err = idem.QueueClaim(ctx, batch, clock.System{}.Now(), idem.Fingerprint(1, body), subject); err != nil {
					return err
				}
				batch.Queue("INSERT INTO notes (text) VALUES ($1)", subject)
				if err := tx.SendBatch(ctx, batch).Close(); err != nil {
					return err
				}
				if claimed.Replay {
					return errJoin
				}
				return nil
			})
			if errors.Is(err, errJoin) {
				err = nil
			}
			return claimed.Subject, claimed.Replay, err
		},
	}
	for name, claim := range claims {
		if subject, replay, err := claim("k", "hello", "order-1"); err != nil || replay || subject != "order-1" {
			t.Errorf("%s, first: %q, replay %v, %v", name, subject, replay, err)
		}
		if subject, replay, err := claim("k", "hello", "order-2"); err != nil || !replay || subject != "order-1" {
			t.Errorf("%s, again: %q, replay %v, %v; want order-1", name, subject, replay, err)
		}
		_, _, err := claim("k", "bye", "order-3")
		if problem.Code(err) != connect.CodeAlreadyExists || problem.Reason(err) != problem.ReasonIdempotencyKeyReused {
			t.Errorf("%s, other body: %v", name, err)
		}
	}
	wantCounts(t, pool, 1, 2)
}

func TestClaimIsUndoneWithItsTransaction(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, migrate)
	ctx := idem.WithScope(t.Context(), idem.Scope{Caller: "c", Method: "/x/A", Key: "k"})
	refused := errors.New("refused")
	for range 2 {
		err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			if _, replay, err := idem.Claim(ctx, tx, clock.System{}.Now(), []byte("f"), "order-1"); err != nil || replay {
				t.Errorf("replay %v, %v", replay, err)
			}
			return refused
		})
		if !errors.Is(err, refused) {
			t.Error(err)
		}
	}
	wantCounts(t, pool, 0, 0)
}

func TestDeleteExpired(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, migrate)
	now := time.Date(2026, 3, 8, 12, 0, 0, 0, time.UTC)
	if _, err := pool.Exec(t.Context(), `INSERT INTO idempotency_keys (caller, method, key, fingerprint, created_time)
		SELECT 'c', 'm', 'old' || n, ''::bytea, $1::timestamptz FROM generate_series(1, 2500) n
		UNION ALL SELECT 'c', 'm', 'young', '', $2`, now.Add(-idem.Lifetime-time.Microsecond), now.Add(-idem.Lifetime)); err != nil {
		t.Fatal(err)
	}
	if n, err := idem.DeleteExpired(t.Context(), pool, now); err != nil || n != 2500 {
		t.Errorf("deleted %d, %v", n, err)
	}
	wantCounts(t, pool, 0, 1)
	if n, err := idem.DeleteExpired(t.Context(), pool, now); err != nil || n != 0 {
		t.Errorf("deleted %d again, %v", n, err)
	}
}

// ticks runs the work of a scheduler by hand.
type ticks map[string]func(ctx context.Context) error

func (t ticks) Periodic(name string, _ time.Duration, f func(ctx context.Context) error) { t[name] = f }

func TestScheduleExpiry(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, migrate)
	now := clock.NewFake(time.Date(2026, 3, 8, 12, 0, 0, 0, time.UTC))
	if _, err := pool.Exec(t.Context(), `INSERT INTO idempotency_keys (caller, method, key, fingerprint, created_time)
		VALUES ('c', 'm', 'k', '', $1)`, now.Now()); err != nil {
		t.Fatal(err)
	}
	scheduled := ticks{}
	idem.ScheduleExpiry(scheduled, pool, now)
	for left := range []int{1, 0} {
		if err := scheduled["delete_expired_idempotency_keys"](t.Context()); err != nil {
			t.Fatal(err)
		}
		wantCounts(t, pool, 0, 1-left)
		now.Advance(idem.Lifetime + time.Second)
	}
}

// The form is pinned: rows written by this release are compared by the next one.
func TestFingerprintForm(t *testing.T) {
	t.Parallel()
	got := hex.EncodeToString(idem.Fingerprint(3, "héllo", []byte{0, 1}, true, false, 7, int32(-7), int64(1)<<40, uint64(1)<<63,
		nil, []string{"a", ""}, []any{1, "x", nil},
		time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.FixedZone("x", 3600))))
	const want = "8698a77a3fc01a35a3185c98a6e464a420666ee396d5bc97bf31d25c9ab96cef"
	if got != want {
		t.Errorf("fingerprint %s, want %s", got, want)
	}
}

func TestFingerprintsDiffer(t *testing.T) {
	t.Parallel()
	type kind int32
	requests := map[string][]byte{
		"nothing":       idem.Fingerprint(1),
		"version":       idem.Fingerprint(2),
		"nil":           idem.Fingerprint(1, nil),
		"empty":         idem.Fingerprint(1, ""),
		"empty bytes":   idem.Fingerprint(1, []byte{}),
		"two empty":     idem.Fingerprint(1, "", ""),
		"ab c":          idem.Fingerprint(1, "ab", "c"),
		"a bc":          idem.Fingerprint(1, "a", "bc"),
		"list ab c":     idem.Fingerprint(1, []string{"ab", "c"}),
		"list ab, c":    idem.Fingerprint(1, []string{"ab"}, "c"),
		"1":             idem.Fingerprint(1, 1),
		"unsigned 1":    idem.Fingerprint(1, uint(1)),
		"text 1":        idem.Fingerprint(1, "1"),
		"true":          idem.Fingerprint(1, true),
		"false":         idem.Fingerprint(1, false),
		"0":             idem.Fingerprint(1, 0),
		"time":          idem.Fingerprint(1, time.UnixMicro(0)),
		"time and 1 us": idem.Fingerprint(1, time.UnixMicro(1)),
	}
	seen := make(map[string]string)
	for name, f := range requests {
		if other, ok := seen[string(f)]; ok {
			t.Errorf("%q and %q have one fingerprint", name, other)
		}
		seen[string(f)] = name
	}
	if string(idem.Fingerprint(1, kind(1))) != string(requests["1"]) {
		t.Error("an enum is not its number")
	}
	defer func() {
		if recover() == nil {
			t.Error("a map has a fingerprint")
		}
	}()
	idem.Fingerprint(1, map[string]int{})
}
