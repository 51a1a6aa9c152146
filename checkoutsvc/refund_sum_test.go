package checkoutsvc_test

import (
	"slices"
	"testing"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
)

// refundedSum reports how much of an order's charge went back in all, as charge.refunded does, while Stripe lists no refund.
func (w *harness) refundedSum(key string, o *checkoutv1.Order, minorUnits int64) {
	w.t.Helper()
	total := o.GetTotal().GetMinorUnits()
	if _, err := w.replicas[0].payments.RecordCharge(w.keyed("sum/"+key), &checkoutv1.RecordChargeRequest{
		PaymentIntentId: o.GetPayingIntentId(), OrderId: o.GetId(), ChargeId: "ch_sum", Succeeded: true, Captured: true,
		Amount: o.GetTotal(), CapturedMinorUnits: total, RefundedMinorUnits: minorUnits, ObservedTime: observedAt,
	}); err != nil {
		w.t.Fatalf("record charge: %v", err)
	}
}

// TestRefundReportedAsASum counts a refund of which only the sum is known, and matches it to the refund when that appears.
func TestRefundReportedAsASum(t *testing.T) {
	w := newHarness(t)
	o := w.bought("sum", 1)
	for range 2 { // reported twice
		w.refundedSum("sum", o, 8900)
	}
	got := w.order(o.GetId())
	if got.GetPaymentState() != checkoutv1.PaymentState_PAYMENT_STATE_REFUNDED || got.GetRefundedMinorUnits() != 8900 || len(got.GetRefunds()) != 1 {
		t.Fatalf("payment %v, %d refunded, refunds %v", got.GetPaymentState(), got.GetRefundedMinorUnits(), got.GetRefunds())
	}
	if ticketStates(got)[checkoutv1.TicketState_TICKET_STATE_VOID] != 1 {
		t.Errorf("tickets %v", ticketStates(got))
	}
	counted := got.GetRefunds()[0]
	if counted.GetReason() != checkoutv1.RefundReason_REFUND_REASON_UNMATCHED || counted.GetStripeRefundId() != "" {
		t.Errorf("counted as %v", counted)
	}
	w.waitForEntry("refund:"+counted.GetId(), ledgerv1.EntryKind_ENTRY_KIND_REFUND)

	made := field(w.api("POST", "/v1/refunds", "payment_intent="+o.GetPayingIntentId()), "id")
	w.exec("update river_job set scheduled_at = now() where kind = 'match_refunds'")
	w.idle("match_refunds")
	got = w.order(o.GetId())
	if got.GetPaymentState() != checkoutv1.PaymentState_PAYMENT_STATE_REFUNDED || got.GetRefundedMinorUnits() != 8900 {
		t.Errorf("once matched: payment %v, %d refunded, refunds %v", got.GetPaymentState(), got.GetRefundedMinorUnits(), got.GetRefunds())
	}
	w.waitForEntry("refund:"+made, ledgerv1.EntryKind_ENTRY_KIND_REFUND)
	w.waitForEntry("refund-fail:"+counted.GetId(), ledgerv1.EntryKind_ENTRY_KIND_REFUND_FAILURE)
	if items := w.items(o.GetId()); len(items) != 0 {
		t.Errorf("review cases %v", items)
	}
}

// TestMatchedRefundIsPostedAfterItsCount has the books give nothing away twice: what was counted as a sum is reversed before the
// refund behind it leaves, even where the job of the reversal is late. The ledger would refuse the second for lack of funds.
func TestMatchedRefundIsPostedAfterItsCount(t *testing.T) {
	w := newHarness(t)
	o := w.bought("late reversal", 1)
	w.refundedSum("late reversal", o, 8900)
	counted := w.order(o.GetId()).GetRefunds()[0]
	w.waitForEntry("refund:"+counted.GetId(), ledgerv1.EntryKind_ENTRY_KIND_REFUND)
	w.exec(`
		create function put_off() returns trigger language plpgsql as $$
		begin
			if new.kind = 'post_refund' and exists (select from refunds r where r.id = new.args ->> 'refund_id' and r.state = 'canceled') then
				new.state = 'scheduled'; new.scheduled_at = now() + interval '1 hour';
			end if;
			return new;
		end $$`)
	w.exec(`create trigger put_off before insert on river_job for each row execute function put_off()`)
	made := field(w.api("POST", "/v1/refunds", "payment_intent="+o.GetPayingIntentId()), "id")
	w.exec("update river_job set scheduled_at = now() where kind = 'match_refunds'")
	w.waitForEntry("refund:"+made, ledgerv1.EntryKind_ENTRY_KIND_REFUND)
	w.waitForEntry("refund-fail:"+counted.GetId(), ledgerv1.EntryKind_ENTRY_KIND_REFUND_FAILURE)
}

// TestPartOfARefundReportedAsASum counts only what no known refund explains, whichever is reported first.
func TestPartOfARefundReportedAsASum(t *testing.T) {
	w := newHarness(t)
	o := w.bought("part", 2)
	first := field(w.api("POST", "/v1/refunds", "payment_intent="+o.GetPayingIntentId()+"&amount=100"), "id")
	w.refundedSum("part", o, 5000) // 4900 more than Stripe lists
	got := w.order(o.GetId())
	if got.GetRefundedMinorUnits() != 5000 || len(got.GetRefunds()) != 2 || ticketStates(got)[checkoutv1.TicketState_TICKET_STATE_VALID] != 2 {
		t.Fatalf("%d refunded, refunds %v, tickets %v", got.GetRefundedMinorUnits(), got.GetRefunds(), ticketStates(got))
	}
	for i, id := range []string{first, "re_second", "re_third"} {
		amount := []int64{100, 900, 4000}[i]
		if _, err := w.replicas[0].payments.RecordRefund(w.keyed(id), &checkoutv1.RecordRefundRequest{
			StripeRefundId: id, PaymentIntentId: o.GetPayingIntentId(), Amount: money(amount),
			State: checkoutv1.RefundState_REFUND_STATE_SUCCEEDED, RefundTime: observedAt,
		}); err != nil {
			t.Fatal(err)
		}
		if got := w.order(o.GetId()); got.GetRefundedMinorUnits() != 5000 {
			t.Errorf("once %s is known, %d is refunded, want 5000 all the time: %v", id, got.GetRefundedMinorUnits(), got.GetRefunds())
		}
	}
	for _, r := range w.order(o.GetId()).GetRefunds() {
		if r.GetReason() == checkoutv1.RefundReason_REFUND_REASON_UNMATCHED && r.GetState() != checkoutv1.RefundState_REFUND_STATE_CANCELED {
			t.Errorf("still unmatched: %v", r)
		}
	}
}

// TestRefundThatStaysASum is left to a person after an hour, until its refund appears.
func TestRefundThatStaysASum(t *testing.T) {
	w := newHarness(t)
	o := w.bought("stays", 1)
	w.refundedSum("stays", o, 8900)
	w.exec("update river_job set created_at = now() - interval '61 minutes', scheduled_at = now() where kind = 'match_refunds'")
	w.idle("match_refunds")
	if items := w.items(o.GetId()); !slices.Equal(items, []string{"refund_unmatched"}) {
		t.Fatalf("review cases %v, want refund_unmatched", items)
	}
	if _, err := w.replicas[0].payments.RecordRefund(w.keyed("late"), &checkoutv1.RecordRefundRequest{
		StripeRefundId: "re_late", PaymentIntentId: o.GetPayingIntentId(), Amount: o.GetTotal(),
		State: checkoutv1.RefundState_REFUND_STATE_SUCCEEDED, RefundTime: observedAt,
	}); err != nil {
		t.Fatal(err)
	}
	if items := w.items(o.GetId()); len(items) != 0 {
		t.Errorf("review cases %v are open once the refund is known", items)
	}
}
