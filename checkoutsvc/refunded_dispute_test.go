package checkoutsvc_test

import (
	"slices"
	"testing"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
)

// TestDisputeOfARefundedOrder has a bank ask for money that went back: a person hears of it, and the loss is booked.
func TestDisputeOfARefundedOrder(t *testing.T) {
	w := newHarness(t)
	o := w.bought("refunded", 1)
	if reason := w.refund("whole", &checkoutv1.RefundOrderRequest{OrderId: o.GetId()}); reason != "" {
		t.Fatal(reason)
	}
	w.waitFor(o.GetId(), "refunded", func(o *checkoutv1.Order) bool {
		return o.GetPaymentState() == checkoutv1.PaymentState_PAYMENT_STATE_REFUNDED
	})
	report := func(status checkoutv1.DisputeStatus) {
		t.Helper()
		if _, err := w.replicas[0].payments.RecordDispute(w.keyed(status.String()), &checkoutv1.RecordDisputeRequest{
			DisputeId: "du_refunded", PaymentIntentId: o.GetPayingIntentId(), Amount: o.GetTotal(), Status: status, ObservedTime: observedAt,
			Funds: []*checkoutv1.DisputeFunds{{BalanceTransactionId: "txn_dispute", MinorUnits: -8900, FeeMinorUnits: 1500, Time: observedAt}},
		}); err != nil {
			t.Fatal(err)
		}
	}
	report(checkoutv1.DisputeStatus_DISPUTE_STATUS_NEEDS_RESPONSE)
	report(checkoutv1.DisputeStatus_DISPUTE_STATUS_LOST)
	items := w.items(o.GetId())
	slices.Sort(items)
	if !slices.Equal(items, []string{"dispute", "refunded_dispute"}) {
		t.Errorf("review cases %v", items)
	}
	w.waitForEntry("dispute-w:txn_dispute", ledgerv1.EntryKind_ENTRY_KIND_DISPUTE_WITHDRAWAL)
	w.waitForEntry("dispute-lost:du_refunded", ledgerv1.EntryKind_ENTRY_KIND_DISPUTE_LOSS)
	if got := w.order(o.GetId()); got.GetPaymentState() != checkoutv1.PaymentState_PAYMENT_STATE_CHARGED_BACK {
		t.Errorf("the order is %v", got.GetPaymentState())
	}
}
