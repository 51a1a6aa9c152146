package order_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dayof/dayof/checkoutsvc/order"
)

// The number of sequences: scenarios times the orders in which the facts of each arrive.
const (
	scenarioCount    = 20_000
	ordersOfScenario = 5
)

// t0 is when the orders of these tests begin.
var t0 = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// TestFactsCommute draws scenarios of what Stripe may report of one order, and has each observed in several random orders,
// with some facts doubled and with attempts to fulfil the order at random moments between. It needs no database.
//
// All orders of arrival must end in the same states. After each fact: what is refunded is not more than what was captured,
// void is final, a ticket is valid only once the order is completed. Rules panic on a transition that their tables forbid.
func TestFactsCommute(t *testing.T) {
	t.Parallel()
	seed := seed(t)
	workers := runtime.GOMAXPROCS(0)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := w; i < scenarioCount && !t.Failed(); i += workers {
				commute(t, seed, uint64(i))
			}
		})
	}
	wg.Wait()
}

// seed returns the seed of a test and prints it; DAYOF_TEST_SEED repeats one.
func seed(t *testing.T) uint64 {
	t.Helper()
	seed := rand.Uint64()
	if text := os.Getenv("DAYOF_TEST_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("DAYOF_TEST_SEED: %v", err)
		}
	}
	t.Logf("seed %d", seed)
	return seed
}

func commute(t *testing.T, seed, number uint64) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, number))
	s := drawScenario(r)
	defer func() {
		if p := recover(); p != nil {
			t.Errorf("scenario %d: %v\n%s", number, p, s)
		}
	}()
	want, wantFacts := "", ""
	for range ordersOfScenario {
		facts := slices.Clone(s.facts)
		for _, f := range s.facts {
			if r.IntN(3) == 0 {
				facts = append(facts, f)
			}
		}
		r.Shuffle(len(facts), func(i, j int) { facts[i], facts[j] = facts[j], facts[i] })
		got, err := play(s, facts, r)
		if err != nil {
			t.Errorf("scenario %d: %v\n%s", number, err, describe(facts))
			return
		}
		if want == "" {
			want, wantFacts = got, describe(facts)
		}
		if got != want {
			t.Errorf("scenario %d ends as\n%s\nby\n%s\nand as\n%s\nby\n%s", number, want, wantFacts, got, describe(facts))
			return
		}
	}
}

// scenario is an order and what Stripe reports of it.
type scenario struct {
	order  order.Order
	policy order.Policy
	facts  []order.Fact
}

func (s scenario) String() string { return describe(s.facts) }

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
		NewID: func() string { ids++; return "id" + strconv.Itoa(ids) },
	}
}

// newOrder quotes an order of three tickets whose first intent is known at Stripe as pi_1.
func newOrder(p order.Policy) order.Order {
	offer := order.Offer{
		VariantID: "v1", Version: 1, ProductName: "Concert", Name: "Balcony", Currency: "EUR", Price: price, ApplicationFee: 300, Tax: 290,
		TaxCountry: "DE", TaxKind: "vat", OrderTicketLimit: 10,
	}
	o, err := order.Quote(order.Event{ID: "e1", OrganizerID: "g1"}, []order.Offer{offer}, order.Cart{
		OrderID: "o1", BuyerName: "Ada", BuyerEmail: "ada@example.com", Language: "en", Lines: []order.CartLine{{VariantID: "v1", Quantity: 3}},
	}, p, t0)
	if err != nil {
		panic(err)
	}
	o.Intents[0].StripeID = "pi_1"
	return o
}

// drawScenario draws what happens to the money of an order at Stripe, and the facts that report it.
func drawScenario(r *rand.Rand) scenario {
	s := scenario{policy: testPolicy(r)}
	s.order = newOrder(s.policy)
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
		switch r.IntN(3) {
		case 0:
			add(payment("pi_1", order.IntentCanceled))
		case 1:
			add(order.HoldEnd{})
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
	if r.IntN(4) == 0 {
		add(order.HoldEnd{}) // late money, or in time: there is stock
	} else if r.IntN(6) == 0 {
		add(payment("pi_1", order.IntentCanceled)) // reported as both; the capture counts
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
	add(drawRefunds(r, total, later)...)
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

// play has an order observe facts, with attempts to fulfil it between, and returns how it ends. There is always stock.
func play(s scenario, facts []order.Fact, r *rand.Rand) (string, error) {
	o, now := s.order, t0
	observe := func(f order.Fact) error {
		now = now.Add(time.Second)
		_, ends := f.(order.HoldEnd)
		o.HoldDue = ends
		if order.WantsStock(o, f, s.policy) {
			f = order.WithStock(f, order.StockTaken)
		}
		before := o
		after, c, err := order.Observe(o, f, s.policy, now)
		if err != nil {
			return fmt.Errorf("%T: %w", f, err)
		}
		o = after
		return check(&before, &after, &c)
	}
	attempt := func() error {
		if !o.BeingFulfilled() {
			return nil
		}
		if r.IntN(3) == 0 {
			return observe(order.AttemptFailed{Attempt: o.Attempt, Failure: "unavailable", SaleFailure: "unavailable", Backoff: time.Second})
		}
		serials := map[string]string{}
		for _, t := range o.Tickets {
			serials[t.ID] = "serial of " + t.ID
		}
		return observe(order.AttemptSucceeded{Attempt: o.Attempt, PassSerials: serials})
	}
	for _, f := range facts {
		if err := observe(f); err != nil {
			return "", err
		}
		if r.IntN(2) == 0 {
			if err := attempt(); err != nil {
				return "", err
			}
		}
	}
	for o.BeingFulfilled() {
		if err := attempt(); err != nil {
			return "", err
		}
	}
	return end(&o), nil
}

// check holds an order and its changes against what must be true after every fact.
func check(before, after *order.Order, c *order.Changes) error {
	if after.Refunded() > after.Captured() {
		return fmt.Errorf("refunded %d is above captured %d", after.Refunded(), after.Captured())
	}
	for i, t := range after.Tickets {
		if i < len(before.Tickets) && before.Tickets[i].State == order.TicketVoid && t.State != order.TicketVoid {
			return fmt.Errorf("a void ticket became %s", t.State)
		}
		if (t.State == order.TicketValid || t.State == order.TicketUsed) && after.Fulfilment != order.FulfilmentCompleted {
			return fmt.Errorf("a ticket is %s while fulfilment is %s", t.State, after.Fulfilment)
		}
	}
	for _, m := range moves(before, after) {
		if !m.machine.May(m.from, m.to) {
			return fmt.Errorf("%s went from %s to %s", m.machine.Name, m.from, m.to)
		}
	}
	if after.Fulfilment == order.FulfilmentCompleted && before.Fulfilment != after.Fulfilment &&
		!slices.ContainsFunc(c.Work, func(w order.Work) bool { return w.Kind == order.WorkSendReceipt }) {
		return fmt.Errorf("an order completed without a receipt: %v", c.Work)
	}
	return nil
}

type move struct {
	machine  order.Machine
	from, to string
}

var machines = func() map[string]order.Machine {
	all := map[string]order.Machine{}
	for _, m := range order.Machines() {
		all[m.Name] = m
	}
	return all
}()

// moves are all transitions between two states of an order.
func moves(before, after *order.Order) []move {
	all := []move{
		{machines["payment"], string(before.Payment), string(after.Payment)},
		{machines["fulfilment"], string(before.Fulfilment), string(after.Fulfilment)},
		{machines["hold"], string(before.Hold.State), string(after.Hold.State)},
	}
	for i := range before.Tickets {
		all = append(all, move{machines["ticket"], string(before.Tickets[i].State), string(after.Tickets[i].State)})
	}
	for i := range before.Intents {
		all = append(all, move{machines["payment intent"], string(before.Intents[i].Status), string(after.Intents[i].Status)})
	}
	for i := range before.Refunds {
		all = append(all, move{machines["refund"], string(before.Refunds[i].State), string(after.Refunds[i].State)})
	}
	for i := range before.Disputes {
		all = append(all, move{machines["dispute"], string(before.Disputes[i].Status), string(after.Disputes[i].Status)})
	}
	return all
}

// end writes down how an order ended, without what may differ: our ids, times, and which of two payments came first.
func end(o *order.Order) string {
	lines := []string{fmt.Sprintf("%s %s hold %s review %q captured %d refunded %d", o.Payment, o.Fulfilment, o.Hold.State, o.Review, o.Captured(), o.Refunded())}
	var parts []string
	for _, t := range o.Tickets {
		parts = append(parts, string(t.State))
	}
	duplicate := slices.ContainsFunc(o.Intents, func(p order.PaymentIntent) bool { return p.Duplicate })
	for _, p := range o.Intents {
		name := p.StripeID
		if duplicate && p.Mismatch == "" {
			name = "pi"
		}
		parts = append(parts, fmt.Sprintf("%s %s captured %d duplicate %t mismatch %q", name, p.Status, p.CapturedMinorUnits, p.Duplicate, p.Mismatch))
	}
	for _, r := range o.Refunds {
		parts = append(parts, fmt.Sprintf("refund %s %s %s %d fee %d taxes %v", r.StripeRefundID, r.State, r.Reason, r.AmountMinorUnits, r.ApplicationFeeMinorUnits, r.Taxes))
	}
	for _, d := range o.Disputes {
		parts = append(parts, fmt.Sprintf("dispute %s", d.Status))
	}
	for _, f := range o.Funds {
		parts = append(parts, fmt.Sprintf("funds %s %d", f.BalanceTransactionID, f.MinorUnits))
	}
	for _, w := range o.Warnings {
		parts = append(parts, fmt.Sprintf("warning %s %t", w.ID, w.Actionable))
	}
	for _, v := range o.Reviews {
		parts = append(parts, fmt.Sprintf("review %s %t %s", v.ID, v.Open, v.ClosedReason))
	}
	slices.Sort(parts)
	return strings.Join(append(lines, parts...), "\n")
}
