package order_test

import (
	"errors"
	"testing"
	"time"

	"github.com/dayof/dayof/checkoutsvc/order"
)

// quote prices a cart of two tickets and returns the reason of a refusal; empty when there is none.
func quote(change func(e *order.Event, v *order.Offer)) (order.Order, order.Reason) {
	e := order.Event{ID: "e1", OrganizerID: "g1", Schedule: order.Schedule{Number: 1, EndTime: t0.AddDate(1, 0, 0)}, Publication: order.EventPublished}
	v := order.Offer{VariantID: "v1", Version: 1, Name: "Balcony", Currency: "EUR", Price: price, OrderTicketLimit: 10, State: order.VariantOnSale}
	change(&e, &v)
	o, err := order.Quote(e, []order.Offer{v}, order.Cart{
		OrderID: "o1", BuyerEmail: "Ada@Example.com", Lines: []order.CartLine{{VariantID: "v1", Quantity: 2}},
	}, order.Policy{NewID: func() string { return "id" }}, t0)
	if refused, ok := errors.AsType[*order.Refusal](err); ok {
		return o, refused.Reason
	}
	return o, ""
}

// What is sold now, and what late money buys now: the same, but for sales that have not begun.
func TestWhatIsOnSale(t *testing.T) {
	t.Parallel()
	at := func(d time.Duration) *time.Time { return new(t0.Add(d)) }
	for name, c := range map[string]struct {
		change func(e *order.Event, v *order.Offer)
		want   order.Reason
		late   bool // whether late money buys it
	}{
		"on sale":                  {func(*order.Event, *order.Offer) {}, "", true},
		"hidden":                   {func(_ *order.Event, v *order.Offer) { v.State = order.VariantHidden }, "", true},
		"a variant archived":       {func(_ *order.Event, v *order.Offer) { v.State = order.VariantArchived }, order.ReasonSaleNotOpen, false},
		"a draft":                  {func(e *order.Event, _ *order.Offer) { e.Publication = order.EventDraft }, order.ReasonEventNotOnSale, false},
		"an archived event":        {func(e *order.Event, _ *order.Offer) { e.Publication = order.EventArchived }, order.ReasonEventNotOnSale, false},
		"before the sale":          {func(_ *order.Event, v *order.Offer) { v.SaleStartTime = at(time.Microsecond) }, order.ReasonSaleNotOpen, true},
		"as the sale begins":       {func(_ *order.Event, v *order.Offer) { v.SaleStartTime = at(0) }, "", true},
		"just before the sale end": {func(_ *order.Event, v *order.Offer) { v.SaleEndTime = at(time.Microsecond) }, "", true},
		"as the sale ends":         {func(_ *order.Event, v *order.Offer) { v.SaleEndTime = at(0) }, order.ReasonSaleNotOpen, false},
		"as the event ends":        {func(e *order.Event, _ *order.Offer) { e.EndTime = t0 }, order.ReasonSaleNotOpen, true}, // WantsStock knows that
		"just before the end":      {func(e *order.Event, _ *order.Offer) { e.EndTime = t0.Add(time.Microsecond) }, "", true},
	} {
		if _, got := quote(c.change); got != c.want {
			t.Errorf("%s: reason %q, want %q", name, got, c.want)
		}
		e, v := order.Event{Schedule: order.Schedule{Number: 1, EndTime: t0.AddDate(1, 0, 0)}, Publication: order.EventPublished}, order.Offer{State: order.VariantOnSale}
		c.change(&e, &v)
		if closed := order.SaleClosed(e, []order.Offer{v}, t0); closed == c.late {
			t.Errorf("%s: late money finds the sale closed: %t", name, closed)
		}
	}
}

// Late money wants no stock from the instant at which the event ends.
func TestLateMoneyAtTheEnd(t *testing.T) {
	t.Parallel()
	l := newLife(t)
	l.order.HoldDue = true
	l.observe(order.HoldEnd{})
	f := l.paid("pi_1")
	end := l.order.Schedule.EndTime
	if !order.WantsStock(l.order, f, l.policy, end.Add(-time.Microsecond)) || order.WantsStock(l.order, f, l.policy, end) {
		t.Error("late money buys tickets until the event ends, and not then")
	}
}

func TestBuyerLimits(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		event, variant int32
		has            map[string]int64 // this order's two included
		want           order.Reason
	}{
		"no limit":               {0, 0, map[string]int64{"v1": 100}, ""},
		"at the event's":         {4, 0, map[string]int64{"v1": 2, "v2": 2}, ""},
		"above the event's":      {4, 0, map[string]int64{"v1": 2, "v2": 3}, order.ReasonBuyerTicketLimit},
		"at the variant's":       {0, 2, map[string]int64{"v1": 2, "v2": 9}, ""},
		"above the variant's":    {0, 2, map[string]int64{"v1": 3}, order.ReasonBuyerTicketLimit},
		"above both":             {1, 1, map[string]int64{"v1": 2}, order.ReasonBuyerTicketLimit},
		"above one that is last": {9, 1, map[string]int64{"v1": 2}, order.ReasonBuyerTicketLimit},
	} {
		o, reason := quote(func(e *order.Event, v *order.Offer) { e.BuyerTicketLimit, v.BuyerTicketLimit = c.event, c.variant })
		if reason != "" || o.BuyerLimits.None() != (c.event+c.variant == 0) {
			t.Errorf("%s: %q, %+v", name, reason, o.BuyerLimits)
		}
		err := o.CheckBuyer(c.has)
		refused, _ := errors.AsType[*order.Refusal](err)
		if (refused == nil) != (c.want == "") || refused != nil && refused.Reason != c.want {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if order.CheckNetworkHolds(50, 50) != nil || order.CheckNetworkHolds(51, 50) == nil || order.CheckNetworkHolds(1000, 0) != nil {
		t.Error("50 open holds of a network of at most 50 are fine, 51 are not, and 0 is no limit")
	}
	if order.CheckOpenHolds(5, 5) != nil || order.CheckOpenHolds(6, 5) == nil || order.CheckOpenHolds(1000, 0) != nil {
		t.Error("5 open holds of at most 5 are fine, 6 are not, and 0 is no limit")
	}
}

// A buyer is an address of an event, whatever its case.
func TestBuyerKey(t *testing.T) {
	t.Parallel()
	key := (&order.Order{EventID: "e1", BuyerEmail: "ada@example.com"}).BuyerKey()
	if key != (&order.Order{EventID: "e1", BuyerEmail: "ADA@Example.COM"}).BuyerKey() {
		t.Error("upper case is another buyer")
	}
	for _, o := range []order.Order{{EventID: "e1", BuyerEmail: "ada@example.org"}, {EventID: "e2", BuyerEmail: "ada@example.com"}} {
		if o.BuyerKey() == key {
			t.Errorf("%s is the same buyer", o.EventID)
		}
	}
	if key != 2048726608010098593 { // pinned: rows keep it
		t.Errorf("the key is %d", key)
	}
}

func TestCheckoutCanceled(t *testing.T) {
	t.Parallel()
	l := newLife(t)
	l.observe(order.CheckoutCanceled{})
	l.want(order.PaymentCanceled, order.FulfilmentNone, "")
	l.wantWork(order.WorkCancelIntents)
	if l.order.Hold.State != order.HoldReleased || !l.changes.StockReturned {
		t.Errorf("the hold is %s, the stock returned: %t", l.order.Hold.State, l.changes.StockReturned)
	}
	l.observe(order.CheckoutCanceled{})
	if !l.changes.None() {
		t.Errorf("the second time changes %+v", l.changes)
	}
	f := l.paid("pi_1")
	if !order.WantsStock(l.order, f, l.policy, l.now) {
		t.Error("money that comes after is no late money")
	}
	l.observe(order.WithStock(f, order.StockTaken))
	l.want(order.PaymentPaid, order.FulfilmentInProgress, order.TicketReserved)
	if err := l.try(order.CheckoutCanceled{}); !reasonIs(err, order.ReasonOrderAlreadyPaid) {
		t.Errorf("after payment: %v", err)
	}
	for _, status := range []order.IntentStatus{order.IntentProcessing, order.IntentRequiresCapture} {
		l := newLife(t)
		f := l.paid("pi_1")
		f.Status, f.ReceivedMinorUnits = status, 0
		l.observe(f)
		if err := l.try(order.CheckoutCanceled{}); !reasonIs(err, order.ReasonPaymentUnderWay) {
			t.Errorf("while the payment is %s: %v", status, err)
		}
	}
}

func reasonIs(err error, want order.Reason) bool {
	refused, ok := errors.AsType[*order.Refusal](err)
	return ok && refused.Reason == want
}
