package checkoutsvc_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/checkoutsvc"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/internal/chassis/clock"
)

// shortHold ends holds as soon as they are made.
func shortHold(c *checkoutsvc.Config) { c.HoldDuration = time.Millisecond }

func holdIs(state checkoutv1.HoldState) func(*checkoutv1.Order) bool {
	return func(o *checkoutv1.Order) bool { return o.GetHoldState() == state }
}

func TestHoldThatRanOutReturnsStockAndCancelsTheIntent(t *testing.T) {
	w := newHarness(t, shortHold)
	s := w.start("slow", 2)
	o := w.waitFor(s.GetOrder().GetId(), "expired", func(o *checkoutv1.Order) bool {
		return o.GetHoldState() == checkoutv1.HoldState_HOLD_STATE_EXPIRED &&
			o.GetPaymentIntents()[0].GetStatus() == checkoutv1.PaymentIntentStatus_PAYMENT_INTENT_STATUS_CANCELED
	})
	if o.GetPaymentState() != checkoutv1.PaymentState_PAYMENT_STATE_EXPIRED {
		t.Errorf("payment %v", o.GetPaymentState())
	}
	if n := w.count("select sum(taken) from stock where variant_id = $1", w.variant.GetId()); n != 0 {
		t.Errorf("%d tickets are still taken", n)
	}
	if got := w.api("GET", "/v1/payment_intents/"+s.GetPaymentIntentId(), ""); got["status"] != "canceled" {
		t.Errorf("the intent is %v at Stripe", got["status"])
	}
}

func TestLateMoneyTakesFreeStock(t *testing.T) {
	w := newHarness(t, shortHold)
	o := w.start("late", 1).GetOrder()
	w.waitFor(o.GetId(), "expired", holdIs(checkoutv1.HoldState_HOLD_STATE_EXPIRED))
	if _, err := w.replicas[0].payments.RecordPayment(w.keyed("evt"), paid(o)); err != nil {
		t.Fatal(err)
	}
	w.waitFor(o.GetId(), "completed", fulfilmentIs(checkoutv1.FulfilmentState_FULFILMENT_STATE_COMPLETED))
	if n := w.count("select sum(taken) from stock where variant_id = $1", w.variant.GetId()); n != 1 {
		t.Errorf("%d tickets are taken, want 1", n)
	}
}

// TestOneSeatManyLateBuyers lets the holds of one seat run out one after the other while the money of all is on its way:
// one ticket at most, all other money refunded, never neither.
func TestOneSeatManyLateBuyers(t *testing.T) {
	w := newHarness(t, shortHold)
	w.addReplica(shortHold)
	one := w.sell(4500, 1)
	const buyers = 12
	orders := make([]*checkoutv1.Order, buyers)
	for i := range orders {
		for orders[i] == nil { // the seat comes back when the hold before has run out
			res, err := w.replicas[0].checkout.StartCheckout(w.keyed(fmt.Sprintf("seat/%d", i)), one.cart(1))
			if err == nil {
				orders[i] = res.GetOrder()
			}
		}
	}
	var wg sync.WaitGroup
	for i, o := range orders {
		wg.Go(func() {
			intent := o.GetPaymentIntents()[0].GetId()
			w.control("PUT", "/_sandbox/objects/"+intent, map[string]any{
				"id": intent, "object": "payment_intent", "status": "succeeded", "amount": 4500, "amount_received": 4500, "currency": "eur",
				"latest_charge": "ch_late" + o.GetId(), "metadata": map[string]string{"order_id": o.GetId()}, "created": 1764000000,
			})
			w.control("PUT", "/_sandbox/objects/ch_late"+o.GetId(), map[string]any{
				"id": "ch_late" + o.GetId(), "object": "charge", "status": "succeeded", "paid": true, "captured": true, "amount": 4500,
				"amount_captured": 4500, "currency": "eur", "payment_intent": intent, "created": 1764000000,
			})
			if _, err := w.replicas[i%2].payments.RecordPayment(w.keyed("evt/"+o.GetId()), paid(o)); err != nil {
				t.Errorf("record payment: %v", err)
			}
		})
	}
	wg.Wait()
	completed := 0
	for _, o := range orders {
		got := w.waitFor(o.GetId(), "ended", func(o *checkoutv1.Order) bool {
			return o.GetFulfilmentState() == checkoutv1.FulfilmentState_FULFILMENT_STATE_COMPLETED ||
				o.GetPaymentState() == checkoutv1.PaymentState_PAYMENT_STATE_REFUNDED
		})
		if got.GetFulfilmentState() == checkoutv1.FulfilmentState_FULFILMENT_STATE_COMPLETED {
			completed++
			continue
		}
		if got.GetFulfilmentState() != checkoutv1.FulfilmentState_FULFILMENT_STATE_UNFULFILLABLE || len(got.GetTickets()) != 0 {
			t.Errorf("refunded order is %v", got)
		}
		w.waitForEntry("capture:"+got.GetPayingIntentId(), ledgerv1.EntryKind_ENTRY_KIND_RECEIPT)
		if items := w.items(o.GetId()); !slices.Contains(items, "order_unfulfillable") {
			t.Errorf("review cases %v", items)
		}
	}
	if completed != 1 {
		t.Errorf("%d buyers got the one seat, want 1", completed)
	}
	if n := w.count("select sum(taken) from stock where variant_id = $1", one.variant.GetId()); n != 1 {
		t.Errorf("%d tickets are taken, want 1", n)
	}
}

// TestPaymentOnItsWayKeepsItsHold has the holds of three orders run out: one without a payment, one whose bank debit began today, and
// one whose bank debit began too long ago. A pending charge that is reported after the debit takes nothing back.
func TestPaymentOnItsWayKeepsItsHold(t *testing.T) {
	w := newHarness(t, func(c *checkoutsvc.Config) { c.ProcessingHoldMax = 14 * 24 * time.Hour })
	report := func(key string, o *checkoutv1.Order, status checkoutv1.PaymentIntentStatus, at time.Time) {
		t.Helper()
		req := paid(o)
		req.Status, req.ReceivedMinorUnits, req.ObservedTime = status, 0, timestamppb.New(at)
		if _, err := w.replicas[0].payments.RecordPayment(w.keyed(key), req); err != nil {
			t.Fatal(err)
		}
	}
	now := clock.System{}.Now()
	debit, stale, unpaid := w.start("debit", 1).GetOrder(), w.start("stale", 1).GetOrder(), w.start("unpaid", 1).GetOrder()
	report("debit", debit, checkoutv1.PaymentIntentStatus_PAYMENT_INTENT_STATUS_PROCESSING, now.Add(-time.Minute))
	report("stale", stale, checkoutv1.PaymentIntentStatus_PAYMENT_INTENT_STATUS_PROCESSING, now.AddDate(0, 0, -15))
	if _, err := w.replicas[0].payments.RecordCharge(w.keyed("pending"), &checkoutv1.RecordChargeRequest{
		PaymentIntentId: debit.GetPaymentIntents()[0].GetId(), OrderId: debit.GetId(), ChargeId: "ch_pending",
		Amount: debit.GetTotal(), ObservedTime: timestamppb.New(now.Add(-time.Second)),
	}); err != nil {
		t.Fatal(err)
	}
	w.exec("update holds set expire_time = now() - interval '1 second'")
	for _, o := range []*checkoutv1.Order{unpaid, stale} {
		w.waitFor(o.GetId(), "expired", holdIs(checkoutv1.HoldState_HOLD_STATE_EXPIRED))
	}
	got := w.order(debit.GetId())
	if got.GetHoldState() != checkoutv1.HoldState_HOLD_STATE_ACTIVE || got.GetPaymentState() != checkoutv1.PaymentState_PAYMENT_STATE_PROCESSING {
		t.Errorf("the order of the debit has its hold %v and its payment %v", got.GetHoldState(), got.GetPaymentState())
	}
	report("failed", debit, checkoutv1.PaymentIntentStatus_PAYMENT_INTENT_STATUS_FAILED, now)
	w.waitFor(debit.GetId(), "expired once the debit has failed", holdIs(checkoutv1.HoldState_HOLD_STATE_EXPIRED))
}
