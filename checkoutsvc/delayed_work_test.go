package checkoutsvc_test

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"connectrpc.com/connect"

	"github.com/dayof/dayof/checkoutsvc"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/internal/chassis/problem"
)

// TestMoneyIsBookedHoweverLateTheLedgerIs takes the ledger away from a refund, or has it refuse, for more attempts than postings once had:
// one review case with one alert says so, and the refund is booked when the ledger is back; then both close.
func TestMoneyIsBookedHoweverLateTheLedgerIs(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		failure  error
		failures int // before anybody is told
	}{
		"the ledger is away": {failure: errLedgerAway, failures: checkoutsvc.MoneyAttempts},
		"the ledger refuses": {failure: problem.New(connect.CodeFailedPrecondition, "INSUFFICIENT_FUNDS", "an account lacks"), failures: 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := newHarness(t)
			o := w.bought("late", 1)
			var failures atomic.Int64
			var back atomic.Bool
			w.ledger.fail(func(_ context.Context, reference string) error {
				if back.Load() || !strings.HasPrefix(reference, "refund:") {
					return nil
				}
				failures.Add(1)
				return c.failure
			})
			if reason := w.refund("late", &checkoutv1.RefundOrderRequest{OrderId: o.GetId()}); reason != "" {
				t.Fatalf("refused: %s", reason)
			}
			hurry := func() {
				w.exec("update river_job set state = 'available', scheduled_at = now() where kind = 'post_refund' and state in ('scheduled', 'retryable')")
			}
			w.until("told that the refund is not booked", func() bool { hurry(); return w.openAlerts("work_delayed") == 1 })
			if n := failures.Load(); n < int64(c.failures) {
				t.Errorf("told after %d failures, want %d", n, c.failures)
			}
			w.until("tried longer than its former attempts", func() bool { hurry(); return failures.Load() > checkoutsvc.MoneyAttempts+5 })
			if n := w.count("select count(*) from dead_letters"); n != 0 {
				t.Errorf("%d dead letters", n)
			}
			if n := w.count("select count(*) from alerts where kind = 'work_delayed'"); n != 1 {
				t.Errorf("%d alerts", n)
			}
			if items := w.items(o.GetId()); !slices.Contains(items, "work_delayed") {
				t.Errorf("review cases %v", items)
			}
			back.Store(true)
			refundID := w.order(o.GetId()).GetRefunds()[0].GetStripeRefundId()
			w.until("booked", func() bool {
				hurry()
				return w.ledger.has("refund:"+refundID) == ledgerv1.EntryKind_ENTRY_KIND_REFUND
			})
			w.until("closed", func() bool { hurry(); return w.openAlerts("work_delayed") == 0 })
			if items := w.items(o.GetId()); slices.Contains(items, "work_delayed") {
				t.Errorf("review cases %v of work that is done", items)
			}
		})
	}
}
