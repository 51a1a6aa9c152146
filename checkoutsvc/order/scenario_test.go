package order_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/dayof/dayof/checkoutsvc/order"
)

// scenario is an order and what Stripe reports of it.
type scenario struct {
	order  order.Order
	policy order.Policy
	facts  []order.Fact
	// canceled says when the event is canceled. What money buys depends on it.
	canceled canceled
}

type canceled int

const (
	canceledNever canceled = iota
	canceledFirst
	canceledRow // before all facts, but its own fact comes after them
	canceledLast
)

func (s scenario) String() string {
	return fmt.Sprintf("  canceled %d\n%s", s.canceled, describe(s.facts))
}

func describe(facts []order.Fact) string {
	var b strings.Builder
	for _, f := range facts {
		fmt.Fprintf(&b, "  %T %+v\n", f, f)
	}
	return b.String()
}

// price is of one ticket; each order has three.
const price = 4450

func testPolicy(r *rand.Rand) order.Policy {
	ids := 0
	return order.Policy{
		Lease: 8 * time.Second, BlockedAfter: time.Minute, GiveUpAfter: 30 * time.Minute, CodeKeyVersion: 1,
		RefundApplicationFee: r.IntN(2) == 0, ReviewHoldsDelivery: r.IntN(2) == 0, FraudWarningRefunds: r.IntN(2) == 0,
		TransferDuration: time.Hour, TransfersDailyMax: 8, TransfersPendingMax: 2,
		NewID: func() string { ids++; return "id" + strconv.Itoa(ids) },
	}
}

// newOrder quotes an order of three tickets whose first intent is known at Stripe as pi_1.
func newOrder(p order.Policy) order.Order {
	offer := order.Offer{
		VariantID: "v1", Version: 1, ProductName: "Concert", Name: "Balcony", Currency: "EUR", Price: price, ApplicationFee: 300, Tax: 290,
		TaxCountry: "DE", TaxKind: "vat", OrderTicketLimit: 10,
	}
	o, err := order.Quote(order.Event{ID: "e1", OrganizerID: "g1", Schedule: order.Schedule{Number: 1, StartTime: t0.AddDate(1, 0, -1), EndTime: t0.AddDate(1, 0, 0)}, Publication: order.EventPublished}, []order.Offer{offer}, order.Cart{
		OrderID: "o1", BuyerName: "Ada", BuyerEmail: "ada@example.com", Language: "en", Lines: []order.CartLine{{VariantID: "v1", Quantity: 3}},
	}, p, t0)
	if err != nil {
		panic(err)
	}
	o.Intents[0].StripeID = "pi_1"
	o.TransferTerms, o.SeatsReturnUntil = order.TransferTerms{Allowed: true, Limit: 3}, &o.Schedule.StartTime
	return o
}

// drawScenario draws what happens to the money of an order at Stripe, and the facts that report it.
func drawScenario(r *rand.Rand) scenario {
	s := scenario{policy: testPolicy(r)}
	if r.IntN(8) == 0 {
		return drawFreeScenario(r, s)
	}
	s.order = newOrder(s.policy)
	if r.IntN(2) == 0 {
		s.order = seatedOrder(s.policy)
	}
	if r.IntN(2) == 0 {
		s.order.SeatsReturnUntil = new(t0.AddDate(1, 0, 0))
	}
	s.canceled = [...]canceled{canceledNever, canceledNever, canceledNever, canceledFirst, canceledRow, canceledLast}[r.IntN(6)]
	total := s.order.TotalMinorUnits
	clock := t0
	later := func() time.Time { clock = clock.Add(time.Duration(1+r.IntN(90)) * time.Second); return clock }
	payment := func(intent string, status order.IntentStatus) order.Payment {
		return order.Payment{IntentID: intent, OrderID: "o1", Status: status, Currency: "EUR", AmountMinorUnits: total, Time: later(), Adopt: true}
	}
	add := func(f ...order.Fact) { s.facts = append(s.facts, f...) }

	for _, status := range []order.IntentStatus{order.IntentRequiresAction, order.IntentProcessing, order.IntentRequiresCapture} {
		if r.IntN(3) == 0 {
			add(payment("pi_1", status))
		}
	}
	if r.IntN(4) == 0 {
		f := payment("pi_1", order.IntentFailed)
		f.FailureCode = "card_declined"
		add(f)
	}
	if r.IntN(5) == 0 { // no money comes
		switch r.IntN(4) {
		case 0:
			add(payment("pi_1", order.IntentCanceled))
		case 1:
			add(order.HoldEnd{})
		case 2: // refused or not, the hold is released in the end
			add(payment("pi_1", order.IntentCanceled), order.CheckoutCanceled{})
		}
		return s
	}
	captured := payment("pi_1", order.IntentSucceeded)
	captured.ReceivedMinorUnits, captured.ChargeID = total, "ch_1"
	add(captured)
	if r.IntN(2) == 0 {
		add(order.Charge{
			IntentID: "pi_1", OrderID: "o1", ChargeID: "ch_1", Succeeded: true, Captured: true, Currency: "EUR", AmountMinorUnits: total,
			CapturedMinorUnits: total, Time: captured.Time, BalanceTransactionID: "txn_1", Adopt: true,
		})
	}
	switch n := r.IntN(8); {
	case n < 2:
		add(order.HoldEnd{}) // late money, or in time: there is stock
	case n == 2:
		add(payment("pi_1", order.IntentCanceled)) // reported as both; the capture counts
	case n == 3:
		add(order.CheckoutCanceled{}) // late money, or refused: there is stock
	}
	if r.IntN(6) == 0 { // a second capture for the order
		f := payment("pi_2", order.IntentSucceeded)
		f.ReceivedMinorUnits = total
		add(f)
		return s
	}
	if r.IntN(6) == 0 { // money that does not fit
		f := payment("pi_3", order.IntentSucceeded)
		f.ReceivedMinorUnits, f.AmountMinorUnits = total-1, total-1
		add(f)
	}
	add(drawRisk(r)...)
	refunds := drawRefunds(r, total, later)
	add(refunds...)
	add(drawSum(r, total, refunds)...)
	add(drawDispute(r, total, later)...)
	return s
}

func drawRisk(r *rand.Rand) []order.Fact {
	var facts []order.Fact
	if r.IntN(4) == 0 {
		facts = append(facts, order.ReviewObserved{ID: "prv_1", IntentID: "pi_1", Open: true})
		if r.IntN(3) > 0 {
			reason := []string{"approved", "refunded", "disputed"}[r.IntN(3)]
			facts = append(facts, order.ReviewObserved{ID: "prv_1", IntentID: "pi_1", ClosedReason: reason})
		}
	}
	if r.IntN(5) == 0 {
		facts = append(facts, order.FraudWarningObserved{ID: "issfr_1", IntentID: "pi_1", ChargeID: "ch_1", FraudType: "misc", Actionable: true})
		if r.IntN(2) == 0 {
			facts = append(facts, order.FraudWarningObserved{ID: "issfr_1", IntentID: "pi_1", ChargeID: "ch_1", FraudType: "misc"})
		}
	}
	return facts
}

// drawRefunds splits at most the total into refunds that were made at Stripe, each reported in some of its states. Only a
// single refund may fail: of several, what was whole for a moment depends on the order, and void is final.
func drawRefunds(r *rand.Rand, total int64, later func() time.Time) []order.Fact {
	var facts []order.Fact
	count := r.IntN(4)
	left := total
	for i := range count {
		amount := left
		if i < count-1 || r.IntN(2) == 0 {
			amount = 1 + r.Int64N(left-int64(count-i))
		}
		left -= amount
		f := order.RefundObserved{
			IntentID: "pi_1", OrderID: "o1", StripeID: fmt.Sprintf("re_%d", i), Currency: "EUR", Amount: amount, Time: later(),
		}
		states := []order.RefundState{order.RefundPending, order.RefundSucceeded}
		if count == 1 && r.IntN(3) == 0 {
			states = append(states, []order.RefundState{order.RefundFailed, order.RefundCanceled}[r.IntN(2)])
		}
		for j, state := range states {
			if j == len(states)-1 || r.IntN(2) == 0 {
				f.State = state
				facts = append(facts, f)
			}
		}
	}
	return facts
}

// drawSum reports the refunds' sum as a charge does, and that Stripe lists none of them yet.
func drawSum(r *rand.Rand, total int64, refunds []order.Fact) []order.Fact {
	if r.IntN(2) == 0 {
		return nil
	}
	amounts := map[string]int64{}
	for _, f := range refunds {
		if f, ok := f.(order.RefundObserved); ok {
			amounts[f.StripeID] = f.Amount
		}
	}
	var sum int64
	for _, amount := range amounts {
		sum += amount
	}
	return []order.Fact{
		order.Charge{
			IntentID: "pi_1", OrderID: "o1", ChargeID: "ch_1", Succeeded: true, Captured: true, Currency: "EUR", AmountMinorUnits: total,
			CapturedMinorUnits: total, RefundedMinorUnits: sum, Time: t0.Add(time.Hour), Adopt: true,
		},
		order.RefundsListed{IntentID: "pi_1"},
	}
}

// drawDispute draws a dispute that reaches some of its statuses, and the money that it moves.
func drawDispute(r *rand.Rand, total int64, later func() time.Time) []order.Fact {
	if r.IntN(3) > 0 {
		return nil
	}
	f := order.DisputeObserved{ID: "du_1", IntentID: "pi_1", AmountMinorUnits: total, Currency: "EUR", DisputeReason: "fraudulent"}
	statuses := []order.DisputeStatus{order.DisputeNeedsResponse, order.DisputeUnderReview}
	if r.IntN(4) == 0 {
		statuses = []order.DisputeStatus{order.DisputeWarningNeedsResponse, order.DisputeWarningUnderReview, order.DisputeWarningClosed}
	} else if r.IntN(2) == 0 {
		statuses = append(statuses, []order.DisputeStatus{order.DisputeWon, order.DisputeLost, order.DisputePrevented}[r.IntN(3)])
	}
	statuses = statuses[:1+r.IntN(len(statuses))]
	var facts []order.Fact
	for i, status := range statuses {
		f.Status, f.Time = status, later()
		if i == 0 {
			f.Funds = []order.DisputeFunds{{BalanceTransactionID: "txn_d1", MinorUnits: -total, FeeMinorUnits: 1500, FundsTime: f.Time, Currency: "EUR"}}
		}
		facts = append(facts, f)
	}
	return facts
}
