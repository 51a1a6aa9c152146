package ledgersvc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/dayof/dayof/devenv/sandbox/fault"
	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/idem"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/ledgersvc"
)

// impatient gives up on single requests soon, so that faults which hang do not hold up the tests.
func impatient() ledgersvc.Config {
	var c ledgersvc.Config
	c.Formance.AttemptTimeout = 500 * time.Millisecond
	c.Formance.BreakerOpenFor = 20 * time.Millisecond
	return c
}

// resigned is impatient and gives up on a call by itself, so that a caller without a deadline is answered: one who comes with a
// short deadline may not hear the answer of a busy machine.
func resigned() ledgersvc.Config {
	c := impatient()
	c.CallTimeout = 3 * time.Second
	return c
}

func TestPostSurvives(t *testing.T) {
	t.Parallel()
	const write, read = "POST ", "GET "
	for name, f := range map[string]fault.Fault{
		"refused writes":            {Mode: fault.Refuse, Count: 2, Match: write},
		"server errors on writes":   {Mode: fault.ServerError, Count: 2, Match: write},
		"status 500":                {Mode: fault.ServerError, Status: 500, Count: 1, Match: write},
		"too many requests":         {Mode: fault.TooMany, Count: 1, Match: write},
		"a hanging write":           {Mode: fault.Hang, Count: 1, Match: write},
		"a write that comes late":   {Mode: fault.Slow, LatencyMS: 700, Count: 1, Match: write},
		"a lost reply":              {Mode: fault.LostReply, Count: 1, Match: write},
		"half a reply":              {Mode: fault.HalfBody, Count: 1, Match: write},
		"a lost reply and reading":  {Mode: fault.LostReply, Count: 4},
		"half replies to all":       {Mode: fault.HalfBody, Count: 3},
		"hanging write and reading": {Mode: fault.Hang, Count: 2},
		"errors on all":             {Mode: fault.ServerError, Count: 4},
		"faults of reading only":    {Mode: fault.ServerError, Count: 4, Match: read},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newHarnessOn(t, newBooks(t), impatient())
			w.books.fail(t, f)
			res := must[*ledgerv1.RecordSaleResponse](t)(w.client.RecordSale(w.fresh(), sale(1)))
			if hits := w.books.faults.List()[fault.Ledger].Hits; hits == 0 && f.Match != read {
				t.Error("the fault did not strike")
			}
			w.books.faults.ClearAll()
			again := must[*ledgerv1.RecordSaleResponse](t)(w.client.RecordSale(w.fresh(), sale(1)))
			if diff := cmp.Diff(res, again, protocmp.Transform()); diff != "" {
				t.Errorf("a repeat answers otherwise: %s", diff)
			}
			if got := w.balance("organizers:" + organizer + ":payable"); got != "9100" {
				t.Errorf("payable %s", got)
			}
			if all := w.entries(); len(all) != 1 {
				t.Errorf("%d entries", len(all))
			}
		})
	}
}

// A 409 for an entry that an earlier attempt of ours has posted: the ledger itself gives it, since the attempt before
// came with another key.
func TestConflictIsReadBack(t *testing.T) {
	t.Parallel()
	b := newBooks(t)
	direct := b.gate.next
	var conflicts atomic.Int64
	b.gate.next = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/transactions") && conflicts.Load() == 0 {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			early := r.Clone(r.Context())
			early.Body = io.NopCloser(bytes.NewReader(body))
			early.Header.Set("Idempotency-Key", "of somebody else")
			direct.ServeHTTP(httptest.NewRecorder(), early)
			r.Body = io.NopCloser(bytes.NewReader(body))
			answer := httptest.NewRecorder()
			direct.ServeHTTP(answer, r)
			if answer.Code != http.StatusConflict {
				t.Errorf("the ledger answers %d", answer.Code)
			}
			conflicts.Add(1)
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(answer.Code)
			_, _ = w.Write(answer.Body.Bytes())
			return
		}
		direct.ServeHTTP(w, r)
	})
	w := newHarnessOn(t, b, ledgersvc.Config{})
	res := must[*ledgerv1.RecordSaleResponse](t)(w.client.RecordSale(w.fresh(), sale(1)))
	if conflicts.Load() != 1 || res.GetEntry().GetReference() != "capture:"+intent(1) || len(w.entries()) != 1 {
		t.Errorf("%d conflicts, %v", conflicts.Load(), res)
	}
	if n := w.books.gate.count("POST", "/transactions"); n != 1 {
		t.Errorf("%d writes, want one and then a reading", n)
	}
}

// A ledger that is away is reported in time, and the same request succeeds when it is back.
func TestLedgerAway(t *testing.T) {
	t.Parallel()
	for name, mode := range map[string]fault.Mode{"refuses": fault.Refuse, "hangs": fault.Hang, "errs": fault.ServerError} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newHarnessOn(t, newBooks(t), resigned())
			must[*ledgerv1.RecordSaleResponse](t)(w.client.RecordSale(w.fresh(), sale(1)))
			w.books.fail(t, fault.Fault{Mode: mode})
			_, err := w.client.RecordSale(keyed(t.Context(), "sale-2"), sale(2))
			wantProblem(t, err, connect.CodeUnavailable, "LEDGER_UNAVAILABLE")
			if problem.RetryAfter(err) <= 0 {
				t.Error("nothing is said about when to retry")
			}
			// What was posted is answered from our copy, statements of balances are not.
			must[*ledgerv1.RecordSaleResponse](t)(w.client.RecordSale(w.fresh(), sale(1)))
			must[*ledgerv1.GetOrderStatementResponse](t)(w.statements.GetOrderStatement(t.Context(), &ledgerv1.GetOrderStatementRequest{OrderId: order(1)}))
			_, err = w.statements.GetTrialBalance(t.Context(), &ledgerv1.GetTrialBalanceRequest{})
			wantProblem(t, err, connect.CodeUnavailable, "LEDGER_UNAVAILABLE")
			w.books.faults.ClearAll()
			eventually(t, func() error {
				_, err := w.client.RecordSale(keyed(t.Context(), "sale-2"), sale(2))
				return err
			})
			if all := w.entries(); len(all) != 2 {
				t.Errorf("%d entries", len(all))
			}
		})
	}
}

// The entry is booked and copied although its caller has gone.
func TestCallerHangsUp(t *testing.T) {
	t.Parallel()
	w := newHarness(t)
	w.books.fail(t, fault.Fault{Mode: fault.Slow, LatencyMS: 300, Match: "POST "})
	ctx, cancel := context.WithCancel(w.fresh())
	go func() {
		eventually(t, func() error {
			if w.books.faults.List()[fault.Ledger].Hits == 0 {
				return errors.New("nothing has reached the ledger")
			}
			return nil
		})
		cancel()
	}()
	if _, err := w.client.RecordSale(ctx, sale(1)); problem.Code(err) != connect.CodeCanceled {
		t.Fatalf("got %v", err)
	}
	eventually(t, func() error {
		_, err := w.statements.GetEntry(t.Context(), &ledgerv1.GetEntryRequest{Reference: "capture:" + intent(1)})
		return err
	})
}

// The service that booked an entry died before it kept a copy; a replica with no copy is asked again.
func TestCopyIsMadeUpFor(t *testing.T) {
	t.Parallel()
	b := newBooks(t)
	died, w := newHarnessOn(t, b, ledgersvc.Config{}), newHarnessOn(t, b, ledgersvc.Config{})
	first := must[*ledgerv1.RecordSaleResponse](t)(died.client.RecordSale(died.fresh(), sale(1)))
	// A refund builds on a sale that has no copy here.
	must[*ledgerv1.RecordRefundResponse](t)(w.client.RecordRefund(w.fresh(), refund(1, "re_1", 100)))
	kept := must[*ledgerv1.GetEntryResponse](t)(w.statements.GetEntry(t.Context(), &ledgerv1.GetEntryRequest{Reference: "capture:" + intent(1)}))
	if diff := cmp.Diff(first.GetEntry(), kept.GetEntry(), protocmp.Transform()); diff != "" {
		t.Errorf("the copy differs: %s", diff)
	}
	second := must[*ledgerv1.RecordSaleResponse](t)(died.client.RecordSale(died.fresh(), sale(2)))
	again := must[*ledgerv1.RecordSaleResponse](t)(w.client.RecordSale(w.fresh(), sale(2)))
	if diff := cmp.Diff(second, again, protocmp.Transform()); diff != "" {
		t.Errorf("a repeat answers otherwise: %s", diff)
	}
	if len(w.entries()) != 3 {
		t.Error("a copy is missing")
	}
}

func TestIdempotencyKeys(t *testing.T) {
	t.Parallel()
	w := newHarness(t)
	ctx := keyed(t.Context(), "key-1")
	must[*ledgerv1.RecordSaleResponse](t)(w.client.RecordSale(ctx, sale(1)))
	t.Run("a repeat is a replay", func(t *testing.T) {
		t.Parallel()
		replayed, info := connect.NewClientContext(ctx)
		must[*ledgerv1.RecordSaleResponse](t)(w.client.RecordSale(replayed, sale(1)))
		if info.ResponseHeader().Get("Idempotency-Replayed") != "true" {
			t.Error("the answer is not marked as a replay")
		}
	})
	t.Run("another body is refused", func(t *testing.T) {
		t.Parallel()
		other := sale(1)
		other.ApplicationFeeMinorUnits++
		_, err := w.client.RecordSale(ctx, other)
		wantProblem(t, err, connect.CodeAlreadyExists, problem.ReasonIdempotencyKeyReused)
	})
	t.Run("another fact is refused", func(t *testing.T) {
		t.Parallel()
		_, err := w.client.RecordSale(ctx, sale(2))
		wantProblem(t, err, connect.CodeAlreadyExists, problem.ReasonIdempotencyKeyReused)
		_, err = w.statements.GetEntry(t.Context(), &ledgerv1.GetEntryRequest{Reference: "capture:" + intent(2)})
		wantProblem(t, err, connect.CodeNotFound, "ENTRY_NOT_FOUND")
	})
	t.Run("none is refused", func(t *testing.T) {
		t.Parallel()
		_, err := w.client.RecordSale(t.Context(), sale(3))
		wantProblem(t, err, connect.CodeInvalidArgument, problem.ReasonIdempotencyKeyRequired)
	})
}

// Keys are forgotten after a week, references never.
func TestOldKeysAreDeleted(t *testing.T) {
	t.Parallel()
	w := newHarness(t)
	must[*ledgerv1.RecordSaleResponse](t)(w.client.RecordSale(keyed(t.Context(), "old"), sale(1)))
	must[*ledgerv1.RecordSaleResponse](t)(w.client.RecordSale(keyed(t.Context(), "young"), sale(2)))
	if _, err := w.pool.Exec(t.Context(), `UPDATE idempotency_keys SET created_time = created_time - interval '8 days' WHERE key = 'old'`); err != nil {
		t.Fatal(err)
	}
	if _, err := idem.DeleteExpired(t.Context(), w.pool, clock.System{}.Now()); err != nil {
		t.Fatal(err)
	}
	var keys string
	if err := w.pool.QueryRow(t.Context(), `SELECT string_agg(key, ' ') FROM idempotency_keys`).Scan(&keys); err != nil || keys != "young" {
		t.Errorf("keys %q, %v", keys, err)
	}
	must[*ledgerv1.RecordSaleResponse](t)(w.client.RecordSale(keyed(t.Context(), "old"), sale(1)))
	if len(w.entries()) != 2 {
		t.Error("an old fact was booked again")
	}
	eventually(t, func() error {
		var scheduled int
		err := w.pool.QueryRow(t.Context(), `SELECT count(*) FROM river_job WHERE kind LIKE '%delete_expired_idempotency_keys'`).Scan(&scheduled)
		if err == nil && scheduled == 0 {
			err = errors.New("nothing deletes old keys")
		}
		return err
	})
}

// The ledger server hangs when writes fill its connection pool, so they are capped.
func TestWritesInFlightAreCapped(t *testing.T) {
	t.Parallel()
	var c ledgersvc.Config
	c.Formance.WritesInFlightMax = 3
	w := newHarnessOn(t, newBooks(t), c)
	w.books.fail(t, fault.Fault{Mode: fault.Slow, LatencyMS: 50, Match: "POST "})
	var wg sync.WaitGroup
	errs := make([]error, 24)
	for n := range errs {
		wg.Go(func() { // receipts, since sales that meet go together
			_, errs[n] = w.client.RecordReceipt(keyed(t.Context(), fmt.Sprintf("receipt-%d", n)), &ledgerv1.RecordReceiptRequest{Capture: capture(n)})
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if most := w.books.gate.most.Load(); most != 3 {
		t.Errorf("%d writes in flight at once", most)
	}
}

// While the ledger hangs, nothing is open in our database: other calls use it freely.
func TestNoTransactionIsOpenAcrossTheCall(t *testing.T) {
	t.Parallel()
	w := newHarness(t)
	w.books.fail(t, fault.Fault{Mode: fault.Hang, Match: "POST "})
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(w.fresh())
	defer cancel()
	go func() {
		_, err := w.client.RecordSale(ctx, sale(1))
		done <- err
	}()
	eventually(t, func() error {
		if w.books.faults.List()[fault.Ledger].Hits == 0 {
			return errors.New("nothing has reached the ledger")
		}
		return nil
	})
	eventually(t, func() error { // background work has short ones
		var open int
		err := w.pool.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL`).Scan(&open)
		if err == nil && open != 0 {
			err = fmt.Errorf("%d transactions are open", open)
		}
		return err
	})
	cancel()
	if err := <-done; problem.Code(err) != connect.CodeCanceled {
		t.Errorf("got %v", err)
	}
}
