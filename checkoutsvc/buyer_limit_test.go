package checkoutsvc_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/dayof/dayof/checkoutsvc"
	"github.com/dayof/dayof/checkoutsvc/order"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/personal"
)

// limitEvent limits what one mail address may have of the event.
func (w *harness) limitEvent(key string, tickets int32) {
	w.t.Helper()
	_, err := w.replicas[0].catalog.UpdateEvent(w.keyed("limit/"+key), &checkoutv1.UpdateEventRequest{
		EventId: w.event.GetId(), Event: &checkoutv1.EventFields{BuyerTicketLimit: tickets}, UpdateMask: mask("buyer_ticket_limit"),
	})
	if err != nil {
		w.t.Fatalf("limit event: %v", err)
	}
}

// by is a cart of a buyer with another address.
func (s seller) by(email string, quantity int32) *checkoutv1.StartCheckoutRequest {
	req := s.cart(quantity)
	req.Buyer.Email = email
	return req
}

// triesBy starts a checkout of an address and returns the reason of a refusal; empty when there is none.
func (w *harness) triesBy(key string, s seller, email string, quantity int32) string {
	w.t.Helper()
	_, err := w.replicas[0].checkout.StartCheckout(w.keyed("start/"+key), s.by(email, quantity))
	if err != nil && problem.Reason(err) == "" {
		w.t.Fatalf("start checkout: %v", err)
	}
	return problem.Reason(err)
}

// What counts against a limit: tickets that are held and tickets that were bought, of all variants; not what has expired, was given back or
// was refunded; and also what was sold before there was a limit.
func TestBuyerTicketLimit(t *testing.T) {
	w := newHarness(t)
	other := w.sellOf(w.event, &checkoutv1.CreateVariantRequest{Name: "Sitzplatz", BuyerTicketLimit: 2})
	o := w.bought("unlimited", 2) // by erika@example.test
	w.limitEvent("four", 4)
	for _, c := range []struct {
		key, email string
		s          seller
		quantity   int32
		want       string
	}{
		{"3 more", "erika@example.test", w.seller, 3, "BUYER_TICKET_LIMIT"},
		{"3 more in capitals", "Erika@EXAMPLE.test", w.seller, 3, "BUYER_TICKET_LIMIT"},
		{"3 of another variant", "erika@example.test", other, 3, "BUYER_TICKET_LIMIT"},
		{"1 more", "ERIKA@example.test", other, 1, ""},
		{"the last one", "erika@example.test", w.seller, 1, ""},
		{"one above", "erika@example.test", other, 1, "BUYER_TICKET_LIMIT"},
		{"somebody else", "otto@example.test", w.seller, 4, ""},
		{"somebody else's variant", "ida@example.test", other, 3, "BUYER_TICKET_LIMIT"},
		{"somebody else's variant at its limit", "ida@example.test", other, 2, ""},
		{"and the rest of the event", "ida@example.test", w.seller, 2, ""},
	} {
		if got := w.triesBy(c.key, c.s, c.email, c.quantity); got != c.want {
			t.Errorf("%s: %q, want %q", c.key, got, c.want)
		}
	}
	refused, err := w.replicas[0].checkout.StartCheckout(w.keyed("words"), w.cart(1))
	if err == nil || !strings.Contains(err.Error(), "at most 4 tickets") || !strings.Contains(err.Error(), "has 4 already") {
		t.Errorf("the refusal: %v, %v", refused, err)
	}
	if reason := w.refund("one", &checkoutv1.RefundOrderRequest{OrderId: o.GetId(), TicketIds: []string{o.GetTickets()[0].GetId()}}); reason != "" {
		t.Fatalf("refund: %s", reason)
	}
	w.waitFor(o.GetId(), "partially refunded", func(o *checkoutv1.Order) bool {
		return o.GetPaymentState() == checkoutv1.PaymentState_PAYMENT_STATE_PARTIALLY_REFUNDED
	})
	if got := w.triesBy("after a refund", w.seller, "erika@example.test", 1); got != "" {
		t.Errorf("a refunded ticket counts: %q", got)
	}
	w.limitEvent("none", 0)
	if got := w.triesBy("without a limit", w.seller, "erika@example.test", 9); got != "" {
		t.Errorf("without a limit: %q", got)
	}
	if n := w.count("select count(*) from order_lines where (buyer_key is null) = (position = 1)"); n != 0 {
		t.Errorf("%d first lines are of nobody, or others of somebody", n)
	}
}

// Expired holds do not count.
func TestExpiredHoldsAreNoBuyersTickets(t *testing.T) {
	w := newHarness(t, shortHold)
	w.limitEvent("two", 2)
	for i := range 3 {
		o := w.start(fmt.Sprint("hold", i), 2).GetOrder()
		w.waitFor(o.GetId(), "expired", holdIs(checkoutv1.HoldState_HOLD_STATE_EXPIRED))
	}
}

// Late money does not lead above a limit: a buyer who has bought up to the limit meanwhile gets it back.
func TestLateMoneyIsLimited(t *testing.T) {
	w := newHarness(t, shortHold)
	late := w.start("late", 2).GetOrder()
	w.waitFor(late.GetId(), "expired", holdIs(checkoutv1.HoldState_HOLD_STATE_EXPIRED))
	long := w.addReplica(func(c *checkoutsvc.Config) { c.HoldDuration = patience })
	w.limitEvent("three", 3)
	if _, err := long.checkout.StartCheckout(w.keyed("meanwhile"), w.cart(2)); err != nil {
		t.Fatal(err)
	}
	if _, err := long.payments.RecordPayment(w.keyed("evt"), paid(late)); err != nil {
		t.Fatal(err)
	}
	got := w.order(late.GetId())
	if got.GetFulfilmentState() != checkoutv1.FulfilmentState_FULFILMENT_STATE_UNFULFILLABLE || len(got.GetRefunds()) != 1 {
		t.Errorf("late money above the limit: %v, %d refunds", got.GetFulfilmentState(), len(got.GetRefunds()))
	}
	if n := w.taken(); n != 2 {
		t.Errorf("%d tickets are taken, want 2", n)
	}
}

// Tabs of one buyer at the same instant get exactly as many tickets as the limit allows, on two replicas and whatever the case of the address.
// Late money of the buyer comes at the same time.
func TestTabsOfOneBuyer(t *testing.T) {
	w := newHarness(t, func(c *checkoutsvc.Config) { c.HoldDuration = patience })
	w.addReplica()
	w.exec("update stock set capacity = 100000")
	w.limitEvent("four", 4)
	const rounds, tabs = 20, 5
	for round := range rounds {
		emails := []string{fmt.Sprintf("ada%d@example.test", round), fmt.Sprintf("ADA%d@Example.Test", round)}
		before, err := w.replicas[0].checkout.StartCheckout(w.keyed(fmt.Sprint("late/", round)), w.by(emails[0], 2))
		if err != nil {
			t.Fatal(err)
		}
		w.cancel(w.replicas[0], fmt.Sprint("late/", round), before)
		var all sync.WaitGroup
		var got atomic.Int64
		for tab := range tabs {
			all.Go(func() {
				res, err := w.replicas[tab%2].checkout.StartCheckout(w.keyed(fmt.Sprintf("tab/%d/%d", round, tab)), w.by(emails[tab%2], 2))
				switch {
				case err == nil:
					got.Add(int64(res.GetOrder().GetLines()[0].GetQuantity()))
				case problem.Reason(err) != "BUYER_TICKET_LIMIT":
					t.Errorf("start checkout: %v", err)
				}
			})
		}
		all.Go(func() {
			if _, err := w.replicas[1].payments.RecordPayment(w.keyed(fmt.Sprint("late/", round)), paid(before.GetOrder())); err != nil {
				t.Errorf("record payment: %v", err)
			}
		})
		all.Wait()
		if w.order(before.GetOrder().GetId()).GetFulfilmentState() != checkoutv1.FulfilmentState_FULFILMENT_STATE_UNFULFILLABLE {
			got.Add(2)
		}
		if got.Load() != 4 {
			t.Errorf("round %d: the buyer has %d tickets, want 4", round, got.Load())
		}
	}
}

// One buyer's checkout waits for none of another buyer.
func TestBuyersDoNotWaitForEachOther(t *testing.T) {
	w := newHarness(t)
	w.limitEvent("four", 4)
	busy := order.Order{EventID: w.event.GetId(), BuyerEmail: personal.Text("busy@example.test")}
	tx, err := w.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	if _, err := tx.Exec(t.Context(), "select pg_advisory_xact_lock($1)", busy.BuyerKey()); err != nil {
		t.Fatal(err)
	}
	if got := w.triesBy("free", w.seller, "free@example.test", 1); got != "" {
		t.Errorf("another buyer: %q", got)
	}
	var waiting sync.WaitGroup
	waiting.Go(func() {
		if got := w.triesBy("busy", w.seller, "busy@example.test", 1); got != "" {
			t.Errorf("the buyer: %q", got)
		}
	})
	w.until("waiting for the buyer's other checkout", func() bool {
		return w.count("select count(*) from pg_locks where locktype = 'advisory' and not granted and database = (select oid from pg_database where datname = current_database())") == 1
	})
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	waiting.Wait()
}

// One address has so many unpaid orders of an event open, and no more, also at the same instant. Paid and ended ones do not count, and
// neither do those of another event.
func TestBuyerHoldLimit(t *testing.T) {
	w := newHarness(t, func(c *checkoutsvc.Config) { c.BuyerHoldsMax = 3 })
	w.addReplica()
	var mu sync.Mutex
	var open []*checkoutv1.StartCheckoutResponse
	var all sync.WaitGroup
	for tab := range 8 {
		all.Go(func() {
			res, err := w.replicas[tab%2].checkout.StartCheckout(w.keyed(fmt.Sprint("tab/", tab)), w.cart(1))
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				open = append(open, res)
			case problem.Reason(err) != "BUYER_HOLD_LIMIT":
				t.Errorf("start checkout: %v", err)
			}
		})
	}
	all.Wait()
	if len(open) != 3 {
		t.Fatalf("%d unpaid orders are open, want 3", len(open))
	}
	if got := w.triesBy("other", w.seller, "otto@example.test", 1); got != "" {
		t.Errorf("another address: %q", got)
	}
	if got := w.startReason("elsewhere", w.sell(4500, 10), 1); got != "" {
		t.Errorf("another event: %q", got)
	}
	w.confirm(open[0].GetPaymentIntentId())
	if _, err := w.replicas[0].payments.RecordPayment(w.keyed("paid"), paid(open[0].GetOrder())); err != nil {
		t.Fatal(err)
	}
	w.cancel(w.replicas[0], "given back", open[1])
	for i, want := range []string{"", "", "BUYER_HOLD_LIMIT"} {
		if got := w.startReason(fmt.Sprint("again", i), w.seller, 1); got != want {
			t.Errorf("order %d after one was paid and one was given back: %q, want %q", i+1, got, want)
		}
	}
}

// A checkout without limits makes no statement for them, and one with a ticket limit makes one more, in the same flush.
func TestLimitsCostNothingWhereThereAreNone(t *testing.T) {
	w := newHarness(t)
	statements := func(name string, holdsMax int) []string {
		r, m := w.metered(func(c *checkoutsvc.Config) { c.BuyerHoldsMax = holdsMax })
		for i := range 2 { // the first one also prepares statements
			m.reset()
			if _, err := r.checkout.StartCheckout(w.keyed(fmt.Sprintf("start/%s/%d", name, i)), w.by(name+"@example.test", 1)); err != nil {
				t.Fatal(err)
			}
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		return slices.Clone(m.statements)
	}
	plain, holds := statements("plain", 0), statements("holds", 5)
	if !slices.Equal(plain, holds) || !slices.Contains(plain, "batch of 6") {
		t.Errorf("statements %v, with a limit of open holds %v; want one batch of 6", plain, holds)
	}
	w.limitEvent("ten", 10)
	if limited := statements("limited", 5); len(limited) != len(plain) || !slices.Contains(limited, "batch of 7") {
		t.Errorf("statements with a ticket limit %v, want one batch of 7", limited)
	}
}
