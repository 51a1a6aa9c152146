package checkoutsvc_test

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/clock"
)

// TestDisputeReminders follows a dispute to the end of its time for evidence.
func TestDisputeReminders(t *testing.T) {
	w := newHarness(t)
	r := w.replicas[0]
	now := clock.System{}.Now()
	dispute := func(key string, due time.Duration, status checkoutv1.DisputeStatus) {
		o := w.bought(key, 1)
		if _, err := r.payments.RecordDispute(w.keyed("dispute/"+key), &checkoutv1.RecordDisputeRequest{
			DisputeId: "du_" + key, PaymentIntentId: o.GetPayingIntentId(), Amount: o.GetTotal(), ObservedTime: observedAt,
			Status: status, EvidenceDueTime: timestamppb.New(now.Add(due)),
		}); err != nil {
			t.Fatal(err)
		}
	}
	const needs = checkoutv1.DisputeStatus_DISPUTE_STATUS_NEEDS_RESPONSE
	dispute("far", 100*time.Hour, needs)
	dispute("three", 70*time.Hour, needs)
	dispute("one", 20*time.Hour, needs)
	dispute("over", -time.Hour, needs)
	dispute("answered", 20*time.Hour, checkoutv1.DisputeStatus_DISPUTE_STATUS_UNDER_REVIEW)
	for range 3 {
		if err := r.service.RemindOfDisputes(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	reminders := func() int { return w.count("select count(*) from alerts where kind = 'dispute_evidence_due'") }
	if reminders() != 2 || w.openAlerts("dispute_evidence_due") != 2 {
		t.Fatalf("%d alerts, %d of them open; want 2: three and one", reminders(), w.openAlerts("dispute_evidence_due"))
	}
	// Two days pass for the first: its second reminder, and no more than that.
	w.exec("update disputes set evidence_due_time = $1 where id = 'du_three'", now.Add(22*time.Hour))
	for range 2 {
		if err := r.service.RemindOfDisputes(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if reminders() != 3 || w.openAlerts("dispute_evidence_due") != 2 {
		t.Errorf("%d alerts, %d of them open; want 3 and 2", reminders(), w.openAlerts("dispute_evidence_due"))
	}
	// One is answered, the other's time runs out.
	if _, err := r.payments.RecordDispute(w.keyed("won"), &checkoutv1.RecordDisputeRequest{
		DisputeId: "du_one", PaymentIntentId: w.intentOf("du_one"), Amount: money(8900), ObservedTime: observedAt,
		Status: checkoutv1.DisputeStatus_DISPUTE_STATUS_WON,
	}); err != nil {
		t.Fatal(err)
	}
	if n := w.openAlerts("dispute_evidence_due"); n != 1 {
		t.Errorf("%d alerts are open after one dispute was won, want 1", n)
	}
	w.exec("update disputes set evidence_due_time = $1 where id = 'du_three'", now.Add(-time.Minute))
	if err := r.service.RemindOfDisputes(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := w.openAlerts("dispute_evidence_due"); n != 0 {
		t.Errorf("%d alerts outlive their disputes", n)
	}
}

func (w *harness) intentOf(disputeID string) string {
	w.t.Helper()
	var id string
	if err := w.pool.QueryRow(w.t.Context(), "select payment_intent from disputes where id = $1", disputeID).Scan(&id); err != nil {
		w.t.Fatal(err)
	}
	return id
}

// TestDisputeInAnotherCurrency has the balance lose euro for a dispute in another currency: a conversion and the
// withdrawal, both once.
func TestDisputeInAnotherCurrency(t *testing.T) {
	w := newHarness(t)
	o := w.bought("fx", 1)
	for i := range 2 {
		if _, err := w.replicas[0].payments.RecordDispute(w.keyed(fmt.Sprintf("evt-%d", i)), &checkoutv1.RecordDisputeRequest{
			DisputeId: "du_fx", PaymentIntentId: o.GetPayingIntentId(), Amount: o.GetTotal(), ObservedTime: observedAt,
			Status: checkoutv1.DisputeStatus_DISPUTE_STATUS_NEEDS_RESPONSE,
			Funds: []*checkoutv1.DisputeFunds{
				{BalanceTransactionId: "txn_usd", MinorUnits: -9700, FeeMinorUnits: 1500, Time: observedAt, Currency: "USD"},
				{BalanceTransactionId: "txn_eur", MinorUnits: 8900, Time: observedAt},
			},
		}); err != nil {
			t.Fatal(err)
		}
	}
	w.idle("post_dispute_funds")
	for reference, want := range map[string]bool{"fx:txn_usd": true, "dispute-w:txn_usd": true, "dispute-w:txn_eur": true, "fx:txn_eur": false} {
		if got := w.ledger.has(reference) != 0; got != want {
			t.Errorf("%s is posted: %v, want %v", reference, got, want)
		}
	}
	w.ledger.mu.Lock()
	defer w.ledger.mu.Unlock()
	if got := w.ledger.funds["txn_usd"]; got.GetAmount().GetMinorUnits() != -8900 || got.GetAmount().GetCurrency() != "EUR" || got.GetFeeCurrency() != "USD" {
		t.Errorf("posted %v; want the disputed amount in its own currency, the fee in that of the balance", got)
	}
}
