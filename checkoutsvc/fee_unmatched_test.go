package checkoutsvc_test

import (
	"slices"
	"testing"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
)

// paidWithout sells a ticket whose payment Stripe shows without its balance transaction, or even without its charge.
func (w *harness) paidWithout(key string, charge bool) *checkoutv1.Order {
	w.t.Helper()
	o := w.start(key, 1).GetOrder()
	intent := o.GetPaymentIntents()[0].GetId()
	object := map[string]any{
		"id": intent, "object": "payment_intent", "status": "succeeded", "amount": 8900, "amount_received": 8900, "currency": "eur",
		"metadata": map[string]string{"order_id": o.GetId()}, "created": 1764000000,
	}
	if charge {
		object["latest_charge"] = "ch_fee" + o.GetId()
		w.control("PUT", "/_sandbox/objects/ch_fee"+o.GetId(), map[string]any{
			"id": "ch_fee" + o.GetId(), "object": "charge", "status": "succeeded", "paid": true, "captured": true, "amount": 8900,
			"amount_captured": 8900, "currency": "eur", "payment_intent": intent, "created": 1764000000,
		})
	}
	w.control("PUT", "/_sandbox/objects/"+intent, object)
	if _, err := w.replicas[0].payments.RecordPayment(w.keyed("paid/"+key), paid(o)); err != nil {
		w.t.Fatal(err)
	}
	return w.waitFor(o.GetId(), "completed", fulfilmentIs(checkoutv1.FulfilmentState_FULFILMENT_STATE_COMPLETED))
}

// TestMoneyWithoutItsObjectIsLeftToAPerson asks Stripe for an hour for the balance transaction, or the charge, of a capture.
func TestMoneyWithoutItsObjectIsLeftToAPerson(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		charge bool
		want   string
	}{"a fee without balance transaction": {true, "fee_unmatched"}, "a capture without charge": {false, "capture_unmatched"}} {
		t.Run(name, func(t *testing.T) {
			w := newHarness(t)
			o := w.paidWithout("fee", c.charge)
			w.exec("update river_job set created_at = now() - interval '10 minutes', scheduled_at = now() where kind = 'record_fee'")
			w.awaitSnoozed("record_fee")
			if items := w.items(o.GetId()); len(items) != 0 {
				t.Errorf("review cases %v after ten minutes", items)
			}
			w.exec("update river_job set created_at = now() - interval '61 minutes', scheduled_at = now() where kind = 'record_fee'")
			w.idle("record_fee")
			if items := w.items(o.GetId()); !slices.Equal(items, []string{c.want}) {
				t.Fatalf("review cases %v after an hour, want %s", items, c.want)
			}
			w.control("PUT", "/_sandbox/objects/txn_late", map[string]any{
				"id": "txn_late", "object": "balance_transaction", "amount": 8900, "currency": "eur", "fee": 92, "net": 8808, "created": 1764000000,
				"type": "charge", "status": "available", "source": "ch_late", "fee_details": []any{},
			})
			if _, err := w.replicas[0].payments.RecordCharge(w.keyed("late"), &checkoutv1.RecordChargeRequest{
				PaymentIntentId: o.GetPayingIntentId(), OrderId: o.GetId(), ChargeId: "ch_late", Succeeded: true, Captured: true,
				Amount: o.GetTotal(), CapturedMinorUnits: 8900, BalanceTransactionId: "txn_late", ObservedTime: observedAt,
			}); err != nil {
				t.Fatal(err)
			}
			w.waitForEntry("fee:txn_late", ledgerv1.EntryKind_ENTRY_KIND_STRIPE_FEE)
			if items := w.items(o.GetId()); len(items) != 0 {
				t.Errorf("review cases %v are open once the charge is known", items)
			}
		})
	}
}

// awaitSnoozed waits until a job of a kind has run and sleeps again.
func (w *harness) awaitSnoozed(kind string) {
	w.t.Helper()
	w.until("a job of kind "+kind+" sleeps", func() bool {
		return w.count("select count(*) from river_job where kind = $1 and state = 'scheduled' and scheduled_at > now() + interval '10 seconds'", kind) > 0
	})
}

// TestDisputeReportedByItsCharge finds the order of a dispute that names only a charge.
func TestDisputeReportedByItsCharge(t *testing.T) {
	w := newHarness(t)
	o := w.paidWithout("dispute", true)
	charged := paid(o)
	charged.ChargeId = "ch_fee" + o.GetId()
	if _, err := w.replicas[0].payments.RecordPayment(w.keyed("charged"), charged); err != nil {
		t.Fatal(err)
	}
	if _, err := w.replicas[0].payments.RecordDispute(w.keyed("dispute"), &checkoutv1.RecordDisputeRequest{
		DisputeId: "du_charge", ChargeId: "ch_fee" + o.GetId(), Status: checkoutv1.DisputeStatus_DISPUTE_STATUS_NEEDS_RESPONSE,
		Amount: o.GetTotal(), ObservedTime: observedAt,
	}); err != nil {
		t.Fatal(err)
	}
	if got := w.order(o.GetId()); got.GetPaymentState() != checkoutv1.PaymentState_PAYMENT_STATE_DISPUTED {
		t.Errorf("payment %v, want disputed", got.GetPaymentState())
	}
}
