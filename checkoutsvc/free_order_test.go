package checkoutsvc_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/dayof/dayof/checkoutsvc"
	"github.com/dayof/dayof/devenv/sandbox/fault"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// sellFree puts a variant that costs nothing beside the one of the harness.
func (w *harness) sellFree(capacity int64, buyerLimit int32) seller {
	w.t.Helper()
	variant, err := w.replicas[0].catalog.CreateVariant(w.keyed("free"), &checkoutv1.CreateVariantRequest{
		ProductId: w.product.GetId(), Name: "Kinder", CapacityTicketCount: capacity, BuyerTicketLimit: buyerLimit,
		Version: &checkoutv1.VariantVersion{Price: &moneyv1.Money{Currency: "EUR"}},
	})
	if err != nil {
		w.t.Fatalf("create variant: %v", err)
	}
	return seller{event: w.event, product: w.product, variant: variant.GetVariant()}
}

// tryFree starts a checkout of what costs nothing.
func (w *harness) tryFree(r *replica, key string, cart *checkoutv1.StartCheckoutRequest) (*checkoutv1.StartCheckoutResponse, error) {
	return r.checkout.StartCheckout(w.keyed("start/"+key), cart)
}

func (w *harness) free(key string, cart *checkoutv1.StartCheckoutRequest) *checkoutv1.StartCheckoutResponse {
	w.t.Helper()
	s, err := w.tryFree(w.replicas[0], key, cart)
	if err != nil {
		w.t.Fatalf("start checkout: %v", err)
	}
	return s
}

// tryRelease gives tickets up as the buyer of the order; none means all.
func (w *harness) tryRelease(r *replica, key string, s *checkoutv1.StartCheckoutResponse, ids ...string) (*checkoutv1.Order, error) {
	ctx := rpc.WithBearerToken(w.keyed("release/"+key), s.GetOrderAccessToken())
	res, err := r.checkout.ReleaseTickets(ctx, &checkoutv1.ReleaseTicketsRequest{OrderId: s.GetOrder().GetId(), TicketIds: ids})
	return res.GetOrder(), err
}

// A free order is complete with the answer of StartCheckout: it has no intent, and nothing of Stripe is called.
func TestFreeOrder(t *testing.T) {
	w := newHarness(t)
	w.addReplica()
	free := w.sell(0, 10)
	w.failStripe(fault.Fault{Mode: fault.Refuse, Rate: 1})
	starts := make([]*checkoutv1.StartCheckoutResponse, 8)
	var all sync.WaitGroup
	for i := range starts { // the same key, on two replicas
		all.Go(func() {
			var err error
			if starts[i], err = w.tryFree(w.replicas[i%2], "same", free.cart(2)); err != nil {
				t.Errorf("start checkout: %v", err)
			}
		})
	}
	all.Wait()
	for _, s := range starts {
		o := s.GetOrder()
		if o.GetId() != starts[0].GetOrder().GetId() || o.GetPaymentState() != checkoutv1.PaymentState_PAYMENT_STATE_NOT_REQUIRED ||
			o.GetFulfilmentState() != checkoutv1.FulfilmentState_FULFILMENT_STATE_COMPLETED || len(o.GetTickets()) != 2 || len(o.GetPaymentIntents()) != 0 ||
			s.GetPaymentClientSecret() != "" || s.GetPaymentIntentId() != "" || s.GetOrderAccessToken() == "" {
			t.Fatalf("the answer: %v", s)
		}
		for _, ticket := range o.GetTickets() {
			if ticket.GetState() != checkoutv1.TicketState_TICKET_STATE_VALID || ticket.GetCode() == "" || ticket.GetPassSerial() == "" {
				t.Errorf("ticket %v", ticket)
			}
		}
	}
	o := starts[0].GetOrder()
	if w.ledger.has("free:"+o.GetId()) != ledgerv1.EntryKind_ENTRY_KIND_SALE {
		t.Error("the sale is not booked")
	}
	if n := w.count("select count(*) from orders where event_id = $1", free.event.GetId()); n != 1 {
		t.Errorf("%d orders", n)
	}
	if n := w.count("select sum(taken) from stock where variant_id = $1", free.variant.GetId()); n != 2 {
		t.Errorf("%d tickets are taken", n)
	}
	if _, err := w.tryFree(w.replicas[0], "same", free.cart(3)); problem.Reason(err) != "IDEMPOTENCY_KEY_REUSED" {
		t.Errorf("the key with another cart: %v", err)
	}
	complete := func(key, orderID, token, intent string) (*checkoutv1.CompleteCheckoutResponse, error) {
		return w.replicas[0].checkout.CompleteCheckout(rpc.WithBearerToken(w.keyed(key), token), &checkoutv1.CompleteCheckoutRequest{OrderId: orderID, PaymentIntentId: intent})
	}
	token := starts[0].GetOrderAccessToken()
	if res, err := complete("complete", o.GetId(), token, ""); err != nil || len(res.GetOrder().GetTickets()) != 2 {
		t.Errorf("complete: %v, %v", res, err)
	}
	if _, err := complete("stranger", o.GetId(), token, "pi_stranger"); problem.Reason(err) != "PAYMENT_INTENT_NOT_FOUND" {
		t.Errorf("complete with an intent: %v", err)
	}
	ctx := rpc.WithBearerToken(w.keyed("cancel"), token)
	if _, err := w.replicas[0].checkout.CancelCheckout(ctx, &checkoutv1.CancelCheckoutRequest{OrderId: o.GetId()}); problem.Reason(err) != "ORDER_ALREADY_PAID" {
		t.Errorf("cancel: %v", err)
	}
	if reason := w.refund("free", &checkoutv1.RefundOrderRequest{OrderId: o.GetId()}); reason != "ORDER_NOT_PAID" {
		t.Errorf("refund: %q", reason)
	}
	if w.openAlerts("order_blocked") != 0 {
		t.Error("somebody was alerted")
	}
}

// What costs something needs an intent to be completed with.
func TestPaidOrderNamesItsIntent(t *testing.T) {
	w := newHarness(t)
	s := w.start("paid", 1)
	_, err := w.replicas[0].checkout.CompleteCheckout(rpc.WithBearerToken(w.keyed("complete"), s.GetOrderAccessToken()), &checkoutv1.CompleteCheckoutRequest{OrderId: s.GetOrder().GetId()})
	if problem.Reason(err) != "INVALID_FIELD" {
		t.Errorf("complete without an intent: %v", err)
	}
	if _, err := w.tryRelease(w.replicas[0], "unpaid", s); problem.Reason(err) != "TICKET_VOID" {
		t.Errorf("release of no ticket: %v", err)
	}
	o := w.bought("sold", 1)
	_, err = w.replicas[0].checkout.ReleaseTickets(w.keyed("release"), &checkoutv1.ReleaseTicketsRequest{OrderId: o.GetId()})
	if problem.Reason(err) != "TICKET_NOT_FREE" {
		t.Errorf("release of a ticket that was paid for: %v", err)
	}
}

// An attempt that does not get there is taken up by the sweep, and a repeat with the same key joins what is under way.
func TestFreeOrderIsTakenUp(t *testing.T) {
	w := newHarness(t, impatient)
	free := w.sell(0, 10)
	w.ledger.fail(func(context.Context, string) error { return errLedgerAway })
	s := w.free("blocked", free.cart(1))
	if s.GetOrder().GetFulfilmentState() != checkoutv1.FulfilmentState_FULFILMENT_STATE_IN_PROGRESS || s.GetOrder().GetTickets()[0].GetCode() != "" {
		t.Errorf("while the ledger is away: %v", s)
	}
	w.ledger.fail(nil)
	w.waitFor(s.GetOrder().GetId(), "completed", fulfilmentIs(checkoutv1.FulfilmentState_FULFILMENT_STATE_COMPLETED))
	again := w.free("blocked", free.cart(1))
	if again.GetOrder().GetId() != s.GetOrder().GetId() || again.GetOrder().GetTickets()[0].GetState() != checkoutv1.TicketState_TICKET_STATE_VALID {
		t.Errorf("the repeat: %v", again)
	}
}

// TestFreeOrderIsGivenUp has a free order end without tickets: its seats are on sale again, and its buyer is told of no money.
func TestFreeOrderIsGivenUp(t *testing.T) {
	w, server := newMailHarness(t, impatient, func(c *checkoutsvc.Config) {
		c.BlockedAfter, c.GiveUpAfter = 30*time.Millisecond, 200*time.Millisecond
	})
	free := w.sell(0, 1)
	w.ledger.fail(func(context.Context, string) error { return errLedgerAway })
	s := w.free("doomed", free.cart(1))
	w.waitFor(s.GetOrder().GetId(), "given up", fulfilmentIs(checkoutv1.FulfilmentState_FULFILMENT_STATE_UNFULFILLABLE))
	w.ledger.fail(nil)
	m := w.mailTo(server, "erika@example.test", 1)
	wantInMail(t, m, "konnten wir dir keine Tickets ausstellen")
	if got := w.startReason("again", free, 1); got != "" {
		t.Errorf("the seat is not on sale again: %q", got)
	}
	if w.openAlerts("order_blocked") != 0 {
		t.Error("an alert of an order that has ended is open")
	}
}

// Stock and limits hold for free orders as for others; an open hold is none of theirs.
func TestLimitsOfFreeOrders(t *testing.T) {
	w := newHarness(t, func(c *checkoutsvc.Config) { c.BuyerHoldsMax = 1 })
	free := w.sellFree(4, 3)
	for _, c := range []struct {
		key, email string
		quantity   int32
		want       string
	}{
		{"2", "erika@example.test", 2, ""},
		{"above the limit", "erika@example.test", 2, "BUYER_TICKET_LIMIT"},
		{"up to the limit", "erika@example.test", 1, ""},
		{"above the stock", "otto@example.test", 2, "SOLD_OUT"},
		{"the last one", "otto@example.test", 1, ""},
	} {
		if got := w.triesBy(c.key, free, c.email, c.quantity); got != c.want {
			t.Errorf("%s: %q, want %q", c.key, got, c.want)
		}
	}
	mixed := w.cart(1) // of the event of what costs something
	mixed.Lines = append(mixed.Lines, &checkoutv1.CartLine{VariantId: free.variant.GetId(), Quantity: 1})
	if _, err := w.tryFree(w.replicas[0], "mixed", mixed); problem.Reason(err) != "BUYER_TICKET_LIMIT" && problem.Reason(err) != "SOLD_OUT" {
		t.Errorf("a mixed cart: %v", err)
	}
}

// A free line beside a paid one is paid with it.
func TestMixedCart(t *testing.T) {
	w := newHarness(t)
	free := w.sellFree(4, 0)
	cart := w.cart(1)
	cart.Lines = append(cart.Lines, &checkoutv1.CartLine{VariantId: free.variant.GetId(), Quantity: 1})
	s := w.free("mixed", cart)
	if s.GetPaymentIntentId() == "" || len(s.GetOrder().GetTickets()) != 0 || s.GetOrder().GetPaymentState() != checkoutv1.PaymentState_PAYMENT_STATE_AWAITING_PAYMENT {
		t.Fatalf("the answer: %v", s)
	}
	w.confirm(s.GetPaymentIntentId())
	if _, err := w.replicas[0].payments.RecordPayment(w.keyed("paid"), paid(s.GetOrder())); err != nil {
		t.Fatal(err)
	}
	o := w.waitFor(s.GetOrder().GetId(), "completed", fulfilmentIs(checkoutv1.FulfilmentState_FULFILMENT_STATE_COMPLETED))
	at := slices.IndexFunc(o.GetTickets(), func(t *checkoutv1.TicketInstance) bool { return t.GetVariantId() == free.variant.GetId() })
	released, err := w.tryRelease(w.replicas[0], "free", s, o.GetTickets()[at].GetId())
	if err != nil || released.GetTickets()[at].GetState() != checkoutv1.TicketState_TICKET_STATE_VOID || released.GetPaymentState() != checkoutv1.PaymentState_PAYMENT_STATE_PAID {
		t.Errorf("released: %v, %v", released, err)
	}
}

// A buyer gives a free ticket up: once, whatever is repeated and at once; the seat is on sale again and the pass void.
func TestTicketsAreReleased(t *testing.T) {
	w := newHarness(t)
	w.addReplica()
	free := w.sell(0, 2)
	s := w.free("two", free.cart(2))
	first := s.GetOrder().GetTickets()[0]
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			o, err := w.tryRelease(w.replicas[i%2], "same", s, first.GetId())
			if err != nil || o.GetTickets()[0].GetState() != checkoutv1.TicketState_TICKET_STATE_VOID || o.GetTickets()[1].GetState() != checkoutv1.TicketState_TICKET_STATE_VALID {
				t.Errorf("released: %v, %v", o, err)
			}
		})
	}
	all.Wait()
	if _, err := w.tryRelease(w.replicas[0], "same", s); problem.Reason(err) != "IDEMPOTENCY_KEY_REUSED" {
		t.Errorf("the key with other tickets: %v", err)
	}
	if _, err := w.tryRelease(w.replicas[0], "again", s, first.GetId()); problem.Reason(err) != "TICKET_VOID" {
		t.Errorf("once more: %v", err)
	}
	if n := w.count("select sum(taken) from stock where variant_id = $1", free.variant.GetId()); n != 1 {
		t.Errorf("%d tickets are taken", n)
	}
	if n := w.count("select count(*) from timeline where order_id = $1 and step = 'ticket_released' and actor = 'buyer'", s.GetOrder().GetId()); n != 1 {
		t.Errorf("%d lines of the timeline", n)
	}
	w.until("the pass is void", func() bool { return w.passes.isVoid(first.GetId()) })
	other := w.free("one", free.cart(1))
	if _, err := w.replicas[0].checkout.ReleaseTickets(rpc.WithBearerToken(w.keyed("theft"), other.GetOrderAccessToken()),
		&checkoutv1.ReleaseTicketsRequest{OrderId: s.GetOrder().GetId()}); problem.Reason(err) != "ORDER_NOT_FOUND" {
		t.Errorf("somebody else's order: %v", err)
	}
	res, err := w.replicas[0].checkout.ReleaseTickets(w.keyed("staff"), &checkoutv1.ReleaseTicketsRequest{OrderId: s.GetOrder().GetId(), Note: "withdrawn"})
	if err != nil || slices.ContainsFunc(res.GetOrder().GetTickets(), func(t *checkoutv1.TicketInstance) bool {
		return t.GetState() != checkoutv1.TicketState_TICKET_STATE_VOID
	}) {
		t.Errorf("by staff: %v, %v", res, err)
	}
	details, err := w.replicas[0].orders.GetOrderDetails(t.Context(), &checkoutv1.GetOrderDetailsRequest{OrderId: s.GetOrder().GetId()})
	if err != nil {
		t.Fatal(err)
	}
	steps := ""
	for _, e := range details.GetTimeline() {
		steps += fmt.Sprintln(e.GetStep(), e.GetActor())
	}
	if want := "nothing_to_pay \n"; !slices.ContainsFunc(details.GetTimeline(), func(e *checkoutv1.TimelineEntry) bool { return e.GetStep()+" \n" == want }) {
		t.Errorf("the timeline:\n%s", steps)
	}
}
