package order_test

import (
	"errors"
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

// The number of sequences: scenarios times the orders in which the facts of each arrive. DAYOF_TEST_SCENARIOS sets another number of
// scenarios.
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
	scenarios := scenarioCount
	if text := os.Getenv("DAYOF_TEST_SCENARIOS"); text != "" {
		var err error
		if scenarios, err = strconv.Atoi(text); err != nil {
			t.Fatalf("DAYOF_TEST_SCENARIOS: %v", err)
		}
	}
	workers := runtime.GOMAXPROCS(0)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := w; i < scenarios && !t.Failed(); i += workers {
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
		// All money of a canceled event is late: how much of it our refund sends back depends on which refunds of others come before it.
		if got != want && s.canceled != canceledFirst && s.canceled != canceledRow {
			t.Errorf("scenario %d ends as\n%s\nby\n%s\nand as\n%s\nby\n%s", number, want, wantFacts, got, describe(facts))
			return
		}
	}
}

// play has an order observe facts, with attempts to fulfil it between, and returns how it ends. There is always stock.
func play(s scenario, facts []order.Fact, r *rand.Rand) (string, error) {
	o, now := s.order, t0
	observe := func(f order.Fact) error {
		now = now.Add(time.Second)
		_, ends := f.(order.HoldEnd)
		o.HoldDue = ends
		if order.WantsStock(o, f, s.policy, now) {
			f = order.WithStock(f, order.StockTaken)
		}
		before := o
		after, c, err := order.Observe(o, f, s.policy, now)
		if _, canceled := f.(order.CheckoutCanceled); canceled && errors.As(err, new(*order.Refusal)) {
			return checkRefusedCancel(&o)
		}
		if _, released := f.(order.TicketsReleased); released && reasonIs(err, order.ReasonTicketVoid) {
			return nil // it was before
		}
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
	if s.canceled == canceledRow {
		o.Schedule.CancelTime = new(t0)
	}
	if s.canceled == canceledFirst {
		if err := observe(order.EventCanceled{Time: t0}); err != nil {
			return "", err
		}
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
		if r.IntN(3) == 0 {
			if err := enter(&o, observe, r); err != nil {
				return "", err
			}
		}
		if r.IntN(2) == 0 && !o.Free() { // what is given up of a free order is named, and is refused once it has changed hands
			if err := exchange(&o, observe, r); err != nil {
				return "", err
			}
		}
	}
	for o.BeingFulfilled() {
		if err := attempt(); err != nil {
			return "", err
		}
	}
	if err := issueAll(&o, observe); err != nil {
		return "", err
	}
	for _, t := range o.Tickets { // who entered was let in by mistake: the tickets end as if nobody had
		if err := observe(order.AdmissionUndone{TicketID: t.ID, PassShowsUsed: r.IntN(2) == 0}); err != nil {
			return "", err
		}
	}
	if s.canceled == canceledLast || s.canceled == canceledRow {
		if err := observe(order.EventCanceled{Time: t0}); err != nil {
			return "", err
		}
	}
	if s.canceled != canceledNever {
		if err := endOfCanceled(&o, s.canceled); err != nil {
			return "", err
		}
	}
	if o.Free() {
		if wrong := freeEnd(s, &o); wrong != "" {
			return "", errors.New(wrong)
		}
	}
	return end(&o), nil
}

// checkRefusedCancel says whether a buyer was rightly told that the order cannot be canceled any more.
func checkRefusedCancel(o *order.Order) error {
	if !o.Free() && o.Captured() == 0 && !slices.ContainsFunc(o.Intents, func(p order.PaymentIntent) bool {
		return p.Status == order.IntentProcessing || p.Status == order.IntentRequiresCapture || p.Status == order.IntentSucceeded
	}) {
		return fmt.Errorf("an order without a payment, %s, could not be canceled", o.Payment)
	}
	return nil
}

// enter has somebody come to the door with a ticket. Only a valid one is used, whatever Stripe reports before and after.
func enter(o *order.Order, observe func(order.Fact) error, r *rand.Rand) error {
	if len(o.Tickets) == 0 {
		return nil
	}
	t := o.Tickets[r.IntN(len(o.Tickets))]
	admits := t.State == order.TicketValid || t.State == order.TicketUsed
	err := observe(order.TicketAdmitted{TicketID: t.ID, Gate: "north", PassShowsUsed: r.IntN(2) == 0})
	var refusal *order.Refusal
	switch {
	case errors.As(err, &refusal) && refusal.Reason == order.ReasonTicketNotValid && !admits:
		return nil
	case err != nil:
		return err
	case !admits || o.Ticket(t.ID).State != order.TicketUsed:
		return fmt.Errorf("somebody entered with a ticket that is %s, and it is %s", t.State, o.Ticket(t.ID).State)
	}
	return nil
}

// endOfCanceled says what must hold of an order whose event is canceled: nothing is kept for it, and no ticket admits.
func endOfCanceled(o *order.Order, when canceled) error {
	if when != canceledLast && len(o.Tickets) > 0 && !o.Free() {
		return errors.New("money bought tickets of a canceled event")
	}
	if o.Hold.State == order.HoldActive {
		return errors.New("stock is kept of a canceled event")
	}
	for _, t := range o.Tickets {
		if t.State == order.TicketValid || t.State == order.TicketReserved {
			return fmt.Errorf("ticket %s of a canceled event is %s", t.ID, t.State)
		}
	}
	return nil
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
	if err := checkReplaced(after, c); err != nil {
		return err
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
	return checkSeats(before, after, c)
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
	for i := range before.Transfers {
		all = append(all, move{machines["transfer"], string(before.Transfers[i].State), string(after.Transfers[i].State)})
	}
	for i := range before.Disputes {
		all = append(all, move{machines["dispute"], string(before.Disputes[i].Status), string(after.Disputes[i].Status)})
	}
	return all
}

// end writes down how an order ended, without what may differ: our ids, times, which of two payments came first, which of several
// refunds bears a share's odd units, and what was counted until its refund was known.
func end(o *order.Order) string {
	lines := []string{fmt.Sprintf("%s %s hold %s review %q captured %d refunded %d", o.Payment, o.Fulfilment, o.Hold.State, o.Review, o.Captured(), o.Refunded())}
	var parts []string
	for _, t := range o.Tickets {
		if o.Replacement(t.ID) == nil { // who holds a ticket is not Stripe's affair: its latest one ends as the first would
			parts = append(parts, string(t.State))
		}
	}
	duplicate := slices.ContainsFunc(o.Intents, func(p order.PaymentIntent) bool { return p.Duplicate })
	for _, p := range o.Intents {
		name := p.StripeID
		if duplicate && p.Mismatch == "" {
			name = "pi"
		}
		parts = append(parts, fmt.Sprintf("%s %s captured %d duplicate %t mismatch %q", name, p.Status, p.CapturedMinorUnits, p.Duplicate, p.Mismatch))
	}
	var fee, taxes int64 // of refunds that stand; which of them bears the odd units depends on their order
	for _, r := range o.Refunds {
		if r.Reason == order.RefundUnmatched && r.State == order.RefundCanceled {
			continue // counted for a while, until the refund was known
		}
		parts = append(parts, fmt.Sprintf("refund %s %s %s %d", r.StripeRefundID, r.State, r.Reason, r.AmountMinorUnits))
		if r.State != order.RefundFailed && r.State != order.RefundCanceled {
			fee += r.ApplicationFeeMinorUnits
			for _, t := range r.Taxes {
				taxes += t.MinorUnits
			}
		}
	}
	lines = append(lines, fmt.Sprintf("fee %d and taxes %d went back", fee, taxes))
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
