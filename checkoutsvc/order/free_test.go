package order_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dayof/dayof/checkoutsvc/order"
)

// newFreeOrder quotes an order of three tickets that cost nothing, which has begun to be fulfilled.
func newFreeOrder(p order.Policy) (order.Order, order.Changes) {
	offer := order.Offer{VariantID: "v1", Version: 1, ProductName: "Concert", Name: "Balcony", Currency: "EUR", OrderTicketLimit: 10, OrganizerCannotSell: true}
	o, err := order.Quote(order.Event{ID: "e1", OrganizerID: "g1", Schedule: order.Schedule{Number: 1, EndTime: t0.AddDate(1, 0, 0)}, Publication: order.EventPublished},
		[]order.Offer{offer}, order.Cart{OrderID: "o1", BuyerName: "Ada", BuyerEmail: "ada@example.com", Language: "en", Lines: []order.CartLine{{VariantID: "v1", Quantity: 3}}}, p, t0)
	if err != nil {
		panic(err)
	}
	o, c, err := order.Observe(o, order.NothingToPay{}, p, t0)
	if err != nil {
		panic(err)
	}
	return o, c
}

func newFreeLife(t *testing.T) *life {
	t.Helper()
	l := newLife(t)
	l.order, l.changes = newFreeOrder(l.policy)
	return l
}

func TestFreeSale(t *testing.T) {
	t.Parallel()
	l := newFreeLife(t)
	l.want(order.PaymentNotRequired, order.FulfilmentInProgress, order.TicketReserved)
	if len(l.order.Intents) != 0 || len(l.order.Tickets) != 3 || l.order.Hold.State != order.HoldConsumed || l.changes.StockReturned ||
		!l.changes.FulfilmentStarted || *l.changes.NextAttempt != l.policy.Lease {
		t.Errorf("order %+v, changes %+v", l.order, l.changes)
	}
	l.observe(order.NothingToPay{})
	if !l.changes.None() {
		t.Errorf("the second time changes %+v", l.changes)
	}
	l.observe(l.completed())
	l.want(order.PaymentNotRequired, order.FulfilmentCompleted, order.TicketValid)
	l.wantWork(order.WorkSendReceipt)
	for name, f := range map[string]order.Fact{
		"a cancellation":       order.CheckoutCanceled{},
		"a refund":             order.RefundRequest{ID: "r1"},
		"a refund of a ticket": order.RefundRequest{ID: "r1", TicketIDs: []string{l.order.Tickets[0].ID}},
	} {
		want := order.ReasonOrderNotPaid
		if name == "a cancellation" {
			want = order.ReasonOrderAlreadyPaid
		}
		if err := l.try(f); !reasonIs(err, want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	l.order.HoldDue = true
	l.observe(order.HoldEnd{})
	if !l.changes.None() {
		t.Errorf("the end of the hold's time changes %+v", l.changes)
	}
}

// Who leaves the attempt to the sweep has no lease.
func TestFreeSaleLater(t *testing.T) {
	t.Parallel()
	l := newLife(t)
	l.order, _ = newFreeOrder(l.policy)
	l.order.Fulfilment, l.order.Hold.State, l.order.Tickets = order.FulfilmentNone, order.HoldActive, nil
	l.observe(order.NothingToPay{Later: true})
	if l.changes.NextAttempt == nil || *l.changes.NextAttempt != 0 || len(l.order.Tickets) != 3 {
		t.Errorf("changes %+v", l.changes)
	}
	paid := newLife(t)
	paid.observe(order.NothingToPay{})
	if !paid.changes.None() {
		t.Errorf("an order that costs something got %+v", paid.changes)
	}
}

func TestFreeOrderIsGivenUp(t *testing.T) {
	t.Parallel()
	l := newFreeLife(t)
	l.order.FulfillingFor = l.policy.BlockedAfter
	l.observe(order.AttemptFailed{Attempt: 1, Failure: "unavailable", SaleFailure: "unavailable", Backoff: time.Second})
	l.want(order.PaymentNotRequired, order.FulfilmentLedgerBlocked, order.TicketReserved)
	if len(l.changes.Alerts) != 1 || l.changes.Alerts[0].Facts["payment_intent_id"] != nil {
		t.Errorf("alerts %+v", l.changes.Alerts)
	}
	late := l.completed()
	l.order.FulfillingFor = l.policy.GiveUpAfter
	l.observe(order.AttemptFailed{Attempt: 1, Failure: "unavailable", SaleFailure: "unavailable"})
	l.want(order.PaymentNotRequired, order.FulfilmentUnfulfillable, order.TicketVoid)
	l.wantWork(order.WorkMailGivenUp, order.WorkVoidPass, order.WorkVoidPass, order.WorkVoidPass)
	if len(l.order.Refunds) != 0 || len(l.changes.SeatsReturned) != 3 || len(l.changes.Cases) != 1 {
		t.Errorf("refunds %v, seats %v, cases %v", l.order.Refunds, l.changes.SeatsReturned, l.changes.Cases)
	}
	if err := l.try(late); err == nil {
		t.Error("an attempt completes an order that was given up")
	}
}

func TestTicketsAreReleased(t *testing.T) {
	t.Parallel()
	l := newFreeLife(t)
	l.order.SeatsReturnUntil = new(t0.Add(time.Hour))
	l.observe(l.completed())
	first := l.order.Tickets[0].ID
	l.observe(order.TicketsReleased{TicketIDs: []string{first}, By: "buyer", Note: "ill"})
	l.wantWork(order.WorkVoidPass)
	if l.order.Tickets[0].State != order.TicketVoid || l.order.Tickets[1].State != order.TicketValid || !slices.Equal(l.changes.SeatsReturned, []string{"v1"}) {
		t.Errorf("tickets %+v, seats %v", l.order.Tickets, l.changes.SeatsReturned)
	}
	if len(l.changes.Notes) != 1 || l.changes.Notes[0].Actor != "buyer" || !strings.HasPrefix(l.changes.Notes[0].Detail, first) {
		t.Errorf("notes %+v", l.changes.Notes)
	}
	if err := l.try(order.TicketsReleased{TicketIDs: []string{l.order.Tickets[1].ID, first}}); !reasonIs(err, order.ReasonTicketVoid) || l.order.Tickets[1].State != order.TicketValid {
		t.Errorf("a ticket that was released before: %v", err)
	}
	if err := l.try(order.TicketsReleased{TicketIDs: []string{"nobody's"}}); !reasonIs(err, order.ReasonTicketNotFound) {
		t.Errorf("an unknown ticket: %v", err)
	}
	l.observe(order.TicketAdmitted{TicketID: l.order.Tickets[1].ID})
	l.now = l.now.Add(time.Hour) // from here on seats stay off sale
	l.observe(order.TicketsReleased{})
	l.want(order.PaymentNotRequired, order.FulfilmentCompleted, order.TicketVoid)
	if len(l.changes.SeatsReturned) != 0 {
		t.Errorf("after doors seats %v return", l.changes.SeatsReturned)
	}
	if err := l.try(order.TicketsReleased{}); !reasonIs(err, order.ReasonTicketVoid) {
		t.Errorf("nothing is left: %v", err)
	}
}

// A ticket that is released before its order is complete is void then, and its pass shows it.
func TestReleasedBeforeCompletion(t *testing.T) {
	t.Parallel()
	l := newFreeLife(t)
	completed := l.completed()
	l.observe(order.TicketsReleased{TicketIDs: []string{l.order.Tickets[2].ID}})
	l.observe(completed)
	l.wantWork(order.WorkSendReceipt, order.WorkVoidPass)
	if l.order.Tickets[2].State != order.TicketVoid || l.order.Tickets[0].State != order.TicketValid || l.order.Fulfilment != order.FulfilmentCompleted {
		t.Errorf("%s, tickets %+v", l.order.Fulfilment, l.order.Tickets)
	}
}

// A free line beside a paid one is paid with it: only the ticket that cost nothing can be released, and a refund cannot name it alone.
func TestFreeLineOfAPaidOrder(t *testing.T) {
	t.Parallel()
	l := bought(t, offer(4450, 300, 290, "vat"), offer(0, 0, 0, "none"))
	l.want(order.PaymentPaid, order.FulfilmentCompleted, order.TicketValid)
	dear, free := l.order.Tickets[0].ID, l.order.Tickets[1].ID
	if err := l.try(order.TicketsReleased{}); !reasonIs(err, order.ReasonTicketNotFree) {
		t.Errorf("a ticket that was paid for: %v", err)
	}
	if err := l.try(order.RefundRequest{ID: "r1", TicketIDs: []string{free}}); !reasonIs(err, order.ReasonRefundExceedsPrice) {
		t.Errorf("a refund of nothing: %v", err)
	}
	l.observe(order.TicketsReleased{TicketIDs: []string{free}})
	if l.order.Ticket(free).State != order.TicketVoid || l.order.Ticket(dear).State != order.TicketValid || l.order.Payment != order.PaymentPaid {
		t.Errorf("%s, tickets %+v", l.order.Payment, l.order.Tickets)
	}
	if got := l.refunded(0, 0); got != "4450: fee 300, vat 290" {
		t.Errorf("the rest goes back as %s", got)
	}
}

// Money that somebody sends for a free order buys nothing: a person decides, and it can be refunded without touching a ticket.
func TestMoneyForAFreeOrder(t *testing.T) {
	t.Parallel()
	for _, received := range []int64{0, 4450} {
		l := newFreeLife(t)
		l.observe(l.completed())
		f := l.paid("pi_stray")
		f.AmountMinorUnits, f.ReceivedMinorUnits = received, received
		if order.WantsStock(l.order, f, l.policy, l.now) {
			t.Error("it wants stock")
		}
		l.observe(f)
		l.want(order.PaymentNotRequired, order.FulfilmentCompleted, order.TicketValid)
		if len(l.changes.Cases) != 1 || l.changes.Cases[0].Kind != order.CasePaymentMismatch || l.order.Captured() != 0 || l.order.PayingIntent != "" {
			t.Errorf("cases %+v, paying intent %q", l.changes.Cases, l.order.PayingIntent)
		}
		if received == 0 {
			continue
		}
		l.observe(order.RefundRequest{ID: "r1", IntentID: "pi_stray"})
		l.observe(order.RefundObserved{IntentID: "pi_stray", OrderID: "o1", RefundID: "r1", StripeID: "re_1", State: order.RefundSucceeded, Amount: received, Currency: "EUR", Time: l.now})
		l.want(order.PaymentNotRequired, order.FulfilmentCompleted, order.TicketValid)
	}
}

// drawFreeScenario draws what may happen to an order that costs nothing: tickets are released, and money comes that nobody asked for.
func drawFreeScenario(r *rand.Rand, s scenario) scenario {
	s.order, _ = newFreeOrder(s.policy)
	s.canceled = [...]canceled{canceledNever, canceledNever, canceledFirst, canceledLast}[r.IntN(4)]
	for _, t := range s.order.Tickets {
		if r.IntN(3) == 0 {
			s.facts = append(s.facts, order.TicketsReleased{TicketIDs: []string{t.ID}, By: "buyer"})
		}
	}
	if r.IntN(2) == 0 {
		s.facts = append(s.facts, order.HoldEnd{}, order.CheckoutCanceled{}, order.NothingToPay{})
	}
	if r.IntN(3) == 0 {
		f := order.Payment{
			IntentID: "pi_stray", OrderID: "o1", Status: order.IntentSucceeded, Currency: "EUR", AmountMinorUnits: price, ReceivedMinorUnits: price,
			Time: t0, Adopt: true, ChargeID: "ch_1",
		}
		s.facts = append(s.facts, f)
		if r.IntN(2) == 0 {
			s.facts = append(s.facts, order.RefundObserved{
				IntentID: "pi_stray", OrderID: "o1", StripeID: "re_1", State: order.RefundSucceeded, Amount: price, Currency: "EUR", Time: t0, TicketIDs: []string{s.order.Tickets[0].ID},
			})
		}
		if r.IntN(2) == 0 {
			s.facts = append(s.facts, order.DisputeObserved{ID: "du_1", IntentID: "pi_stray", Status: order.DisputeLost, AmountMinorUnits: price, Currency: "EUR", Time: t0})
		}
	}
	return s
}

// freeEnd says what must hold of a free order in the end, whatever money came for it.
func freeEnd(s scenario, o *order.Order) string {
	for _, t := range o.Tickets {
		released := slices.ContainsFunc(s.facts, func(f order.Fact) bool {
			r, ok := f.(order.TicketsReleased)
			return ok && slices.Contains(r.TicketIDs, t.ID)
		})
		want := order.TicketValid
		if s.canceled != canceledNever {
			want = order.TicketSuspended
		}
		if released || o.Replacement(t.ID) != nil {
			want = order.TicketVoid
		}
		if t.State != want {
			return "ticket " + t.ID + " of a free order is " + string(t.State) + ", want " + string(want)
		}
	}
	if o.Payment != order.PaymentNotRequired || o.Fulfilment != order.FulfilmentCompleted || o.PayingIntent != "" {
		return "a free order is " + string(o.Payment) + " and " + string(o.Fulfilment)
	}
	return ""
}
