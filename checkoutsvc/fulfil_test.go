package checkoutsvc_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/dayof/dayof/checkoutsvc"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/internal/chassis/clock"
)

// impatient shortens every wait of a fulfilment attempt.
func impatient(c *checkoutsvc.Config) {
	c.AttemptDeadline, c.AttemptLease, c.CallerWait = 300*time.Millisecond, 500*time.Millisecond, 50*time.Millisecond
	c.BackoffMin, c.BackoffMax = 20*time.Millisecond, 50*time.Millisecond
}

var errLedgerAway = connect.NewError(connect.CodeUnavailable, errors.New("the ledger is away"))

func TestTicketIsNotValidBeforeTheLedgerHasTheSale(t *testing.T) {
	w := newHarness(t, func(c *checkoutsvc.Config) {
		c.AttemptDeadline, c.AttemptLease = 2*patience, 3*patience // the call hangs for as long as the test looks
	})
	w.peerTimeout = 2 * patience
	r := w.addReplica() // whose calls have that timeout
	thaw, asked := make(chan struct{}), make(chan struct{})
	var once sync.Once
	w.ledger.fail(func(ctx context.Context, _ string) error {
		once.Do(func() { close(asked) })
		select {
		case <-thaw:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	o := w.start("frozen", 1).GetOrder()
	res, err := r.payments.RecordPayment(w.keyed("evt"), paid(o))
	if err != nil {
		t.Fatalf("record payment: %v", err)
	}
	if res.GetFulfilmentState() != checkoutv1.FulfilmentState_FULFILMENT_STATE_IN_PROGRESS {
		t.Fatalf("the caller got %v", res)
	}
	<-asked
	got := w.order(o.GetId())
	if admission := w.admission(got.GetTickets()[0]); admission != checkoutv1.Admission_ADMISSION_NOT_VALID_YET {
		t.Errorf("the door says %v", admission)
	}
	if n := w.count("select count(*) from river_job where kind = 'send_receipt'"); n != 0 {
		t.Errorf("%d receipts are on their way", n)
	}
	// Sweeps and jobs have transactions of their own, for a moment. One that is open across the call is open as long as it hangs, or until
	// Postgres ends it, which ends the attempt.
	w.until("without a transaction that is open across a call", func() bool {
		return w.count("select count(*) from pg_stat_activity where datname = current_database() and state like 'idle in transaction%'") == 0
	})
	close(thaw)
	got = w.waitFor(o.GetId(), "completed", fulfilmentIs(checkoutv1.FulfilmentState_FULFILMENT_STATE_COMPLETED))
	if admission := w.admission(got.GetTickets()[0]); admission != checkoutv1.Admission_ADMISSION_ADMIT {
		t.Errorf("the door says %v", admission)
	}
	if n := w.count("select count(*) from orders where attempt > 1"); n != 0 {
		t.Error("it took another attempt: a transaction was open across a call")
	}
}

func TestFulfilmentSurvivesFailuresOfBothCalls(t *testing.T) {
	w := newHarness(t, impatient)
	var sales, issues atomic.Int32
	w.ledger.fail(func(context.Context, string) error {
		if sales.Add(1) <= 3 {
			return errLedgerAway
		}
		return nil
	})
	w.ledger.after = func(string) error {
		if sales.Load() <= 5 {
			return errLedgerAway // the posting is there, the reply is lost
		}
		return nil
	}
	w.passes.before = func(context.Context) error {
		if issues.Add(1)%2 == 1 {
			return connect.NewError(connect.CodeInternal, errors.New("no"))
		}
		return nil
	}
	o := w.start("bumpy", 2).GetOrder()
	if _, err := w.replicas[0].payments.RecordPayment(w.keyed("evt"), paid(o)); err != nil {
		t.Fatalf("record payment: %v", err)
	}
	w.waitFor(o.GetId(), "completed", fulfilmentIs(checkoutv1.FulfilmentState_FULFILMENT_STATE_COMPLETED))
	if n := w.count("select count(*) from tickets where state = 'valid'"); n != 2 || len(w.passes.serials) != 2 {
		t.Errorf("%d valid tickets, %d passes", n, len(w.passes.serials))
	}
}

func TestOrphanedOrderIsTakenUpByAnotherReplica(t *testing.T) {
	w := newHarness(t, impatient)
	o := w.start("orphan", 1).GetOrder()
	// The attempt ends with the process: the row stays as tx 1 left it, and the lease runs out.
	w.ledger.fail(func(context.Context, string) error { return errLedgerAway })
	if _, err := w.replicas[0].payments.RecordPayment(w.keyed("evt"), paid(o)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := w.replicas[0].service.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	w.ledger.fail(nil)
	w.addReplica()
	w.waitFor(o.GetId(), "completed", fulfilmentIs(checkoutv1.FulfilmentState_FULFILMENT_STATE_COMPLETED))
}

// TestOvertakenAttemptChangesNothing stops an attempt in its ledger call until another one has completed the order, and
// lets it go on then.
func TestOvertakenAttemptChangesNothing(t *testing.T) {
	w := newHarness(t, func(c *checkoutsvc.Config) {
		impatient(c)
		c.AttemptDeadline, c.AttemptLease = 20*time.Second, 21*time.Second // the attempt does not notice its own age
	})
	first := make(chan struct{})
	release := make(chan struct{})
	var once sync.Once
	w.ledger.fail(func(ctx context.Context, _ string) error {
		slow := false
		once.Do(func() { slow = true })
		if slow {
			close(first)
			<-release
		}
		return nil
	})
	o := w.start("overtaken", 1).GetOrder()
	if _, err := w.replicas[0].payments.RecordPayment(w.keyed("evt"), paid(o)); err != nil {
		t.Fatal(err)
	}
	<-first
	// The lease runs out as if the process had been stopped: another replica takes the order up.
	if _, err := w.pool.Exec(t.Context(), "update orders set next_attempt_time = now() where id = $1", o.GetId()); err != nil {
		t.Fatal(err)
	}
	done := w.waitFor(o.GetId(), "completed", fulfilmentIs(checkoutv1.FulfilmentState_FULFILMENT_STATE_COMPLETED))
	before := w.count("select count(*) from river_job")
	close(release)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := w.replicas[0].service.Stop(ctx); err != nil { // waits for the attempt
		t.Fatal(err)
	}
	after := w.order(o.GetId())
	if !after.GetCompleteTime().AsTime().Equal(done.GetCompleteTime().AsTime()) {
		t.Errorf("completed again at %v", after.GetCompleteTime().AsTime())
	}
	if n := w.count("select count(*) from river_job where kind in ('send_receipt', 'record_fee')"); n != 2 {
		t.Errorf("%d jobs follow from one completion (%d in all before), want 2", n, before)
	}
}

func TestLedgerAwayAlertsOnceThenResumes(t *testing.T) {
	w := newHarness(t, impatient, func(c *checkoutsvc.Config) { c.BlockedAfter = 30 * time.Millisecond })
	w.ledger.fail(func(context.Context, string) error { return errLedgerAway })
	o := w.start("blocked", 1).GetOrder()
	if _, err := w.replicas[0].payments.RecordPayment(w.keyed("evt"), paid(o)); err != nil {
		t.Fatal(err)
	}
	w.waitFor(o.GetId(), "blocked", fulfilmentIs(checkoutv1.FulfilmentState_FULFILMENT_STATE_LEDGER_BLOCKED))
	for w.count("select attempt from orders where id = $1", o.GetId()) < 5 {
		<-time.After(10 * time.Millisecond)
	}
	if n := w.count("select count(*) from alerts where kind = 'order_blocked' and subject = $1 and link <> '' and facts ->> 'payment_intent_id' = $2", o.GetId(), o.GetPaymentIntents()[0].GetId()); n != 1 {
		t.Errorf("%d alerts, want 1", n)
	}
	w.ledger.fail(nil)
	w.waitFor(o.GetId(), "completed", fulfilmentIs(checkoutv1.FulfilmentState_FULFILMENT_STATE_COMPLETED))
	if n := w.count("select count(*) from alerts where resolved_time is null"); n != 0 {
		t.Errorf("%d alerts are open", n)
	}
}

func TestOrderIsGivenUpAndRefundedPastTheDeadline(t *testing.T) {
	t.Parallel()
	landed := map[string]bool{"the posting never lands": false, "the posting lands at that very moment": true}
	for name, lands := range landed {
		t.Run(name, func(t *testing.T) {
			w := newHarness(t, impatient, func(c *checkoutsvc.Config) {
				c.BlockedAfter, c.GiveUpAfter = 30*time.Millisecond, 200*time.Millisecond
			})
			s := w.start("doomed", 2)
			o := s.GetOrder()
			w.confirm(s.GetPaymentIntentId())
			reference := "capture:" + s.GetPaymentIntentId()
			w.ledger.fail(func(_ context.Context, ref string) error {
				if ref == reference && !w.givenUp() {
					if lands { // the sale is posted, and nobody hears of it
						w.ledger.mu.Lock()
						w.ledger.entries[ref] = ledgerv1.EntryKind_ENTRY_KIND_SALE
						w.ledger.mu.Unlock()
					}
					return errLedgerAway
				}
				return nil
			})
			if _, err := w.replicas[0].payments.RecordPayment(w.keyed("evt"), paid(o)); err != nil {
				t.Fatal(err)
			}
			got := w.waitFor(o.GetId(), "refunded", func(o *checkoutv1.Order) bool {
				return o.GetPaymentState() == checkoutv1.PaymentState_PAYMENT_STATE_REFUNDED
			})
			if got.GetFulfilmentState() != checkoutv1.FulfilmentState_FULFILMENT_STATE_UNFULFILLABLE {
				t.Errorf("fulfilment %v", got.GetFulfilmentState())
			}
			for _, ticket := range got.GetTickets() {
				if ticket.GetState() != checkoutv1.TicketState_TICKET_STATE_VOID || w.admission(ticket) != checkoutv1.Admission_ADMISSION_VOID {
					t.Errorf("ticket %v", ticket)
				}
			}
			want := ledgerv1.EntryKind_ENTRY_KIND_RECEIPT
			if lands {
				want = ledgerv1.EntryKind_ENTRY_KIND_SALE
			}
			w.waitForEntry(reference, want) // the refund does not wait for it
			if intent := w.api("GET", "/v1/payment_intents/"+s.GetPaymentIntentId()+"?expand[]=latest_charge", ""); field(intent, "latest_charge", "refunded") != "true" {
				t.Errorf("Stripe has %v", intent)
			}
			if n := w.count("select sum(taken) from stock where variant_id = $1", w.variant.GetId()); n != 0 {
				t.Errorf("%d tickets are still taken", n)
			}
			if items := w.items(o.GetId()); !slices.Contains(items, "order_unfulfillable") {
				t.Errorf("review cases %v", items)
			}
			for deadline := (clock.System{}).Now().Add(patience); ; <-time.After(10 * time.Millisecond) {
				w.passes.mu.Lock()
				voided := len(w.passes.voided)
				w.passes.mu.Unlock()
				if voided == 2 && w.ledger.has("refund:"+got.GetRefunds()[0].GetStripeRefundId()) != 0 {
					break
				}
				if (clock.System{}).Now().After(deadline) {
					t.Fatalf("%d of 2 passes are void, ledger %v", voided, w.ledger.entries)
				}
			}
		})
	}
}

func TestDatabaseKeepsTheTicketStateMachine(t *testing.T) {
	w := newHarness(t)
	w.bought("machine", 1)
	states := []string{"reserved", "valid", "used", "suspended", "void"}
	legal := map[string][]string{
		"reserved": {"valid", "suspended", "void"}, "valid": {"used", "suspended", "void"}, "used": {"valid", "suspended", "void"}, "suspended": {"valid", "void"},
	}
	for _, from := range states {
		for _, to := range states {
			if from == to {
				continue
			}
			t.Run(from+" to "+to, func(t *testing.T) {
				tx, err := w.pool.Begin(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
				// Put the row into its state behind the machine's back, then move it as anybody would.
				if _, err := tx.Exec(t.Context(), fmt.Sprintf("alter table tickets disable trigger user; update tickets set state = '%s'; alter table tickets enable trigger user", from)); err != nil {
					t.Fatal(err)
				}
				_, err = tx.Exec(t.Context(), "update tickets set state = $1", to)
				var refused *pgconn.PgError
				if slices.Contains(legal[from], to) {
					if err != nil {
						t.Errorf("refused: %v", err)
					}
				} else if !errors.As(err, &refused) || refused.ConstraintName != "ticket_state_moves_forward" {
					t.Errorf("not refused: %v", err)
				}
			})
		}
	}
}
