package checkoutsvc_test

import (
	"testing"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/problem"
)

// TestKnownFactCostsOneRead reports a payment that the order knows: nothing is written, no lock is taken, and the key is not kept.
func TestKnownFactCostsOneRead(t *testing.T) {
	w := newHarness(t)
	o := w.bought("known", 1)
	r, m := w.metered()
	report := paid(o)
	report.ChargeId = o.GetPaymentIntents()[0].GetChargeId()
	for _, key := range []string{"first", "first", "second"} { // the first time statements are prepared
		m.reset()
		if _, err := r.payments.RecordPayment(w.keyed("known/"+key), report); err != nil {
			t.Fatal(err)
		}
	}
	if m.roundTrips != 1 || m.commits != 0 {
		t.Errorf("%d round trips, %d commits: %v", m.roundTrips, m.commits, m.statements)
	}
	if n := w.count("select count(*) from idempotency_keys where key like '%known/%'"); n != 0 {
		t.Errorf("%d keys are kept", n)
	}
}

// TestKnownFactWithAUsedKey refuses a key that was used for another report, also where the order knows what is reported.
func TestKnownFactWithAUsedKey(t *testing.T) {
	w := newHarness(t)
	o := w.start("reused", 1).GetOrder()
	if _, err := w.replicas[0].payments.RecordPayment(w.keyed("reused"), paid(o)); err != nil { // has an effect
		t.Fatal(err)
	}
	w.waitFor(o.GetId(), "completed", fulfilmentIs(checkoutv1.FulfilmentState_FULFILMENT_STATE_COMPLETED))
	other := paid(o)
	other.Status = checkoutv1.PaymentIntentStatus_PAYMENT_INTENT_STATUS_PROCESSING
	other.ReceivedMinorUnits = 0 // older than what is known
	_, err := w.replicas[0].payments.RecordPayment(w.keyed("reused"), other)
	if problem.Reason(err) != "IDEMPOTENCY_KEY_REUSED" {
		t.Errorf("another report with the key: %v", err)
	}
	if _, err := w.replicas[0].payments.RecordPayment(w.keyed("other"), other); err != nil {
		t.Errorf("with a key of its own: %v", err)
	}
}
