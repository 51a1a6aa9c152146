package order_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/dayof/dayof/checkoutsvc/order"
)

// exchange has people do something with a ticket: offer it, answer, take the offer back, have it issued again, or get its pass. What is
// refused changes nothing.
func exchange(o *order.Order, observe func(order.Fact) error, r *rand.Rand) error {
	if len(o.Tickets) == 0 {
		return nil
	}
	t := o.Tickets[r.IntN(len(o.Tickets))]
	id := ""
	if len(o.Transfers) > 0 {
		id = o.Transfers[r.IntN(len(o.Transfers))].ID
	}
	var f order.Fact
	switch r.IntN(8) {
	case 0, 1:
		f = order.TransferRequest{ID: fmt.Sprintf("tr%d", len(o.Transfers)), TicketID: t.ID, RecipientName: "Bob", RecipientEmail: "bob@example.com"}
	case 2, 3:
		f = order.TransferAnswer{ID: id}
	case 4:
		f = order.TransferEnd{ID: id, State: []order.TransferState{order.TransferDeclined, order.TransferCanceled}[r.IntN(2)]}
	case 5:
		f = order.TicketReissue{TicketID: t.ID}
	case 6:
		f = order.HolderNamed{TicketID: t.ID, Name: "Carol"}
	case 7:
		if i := slices.IndexFunc(o.Transfers, func(t order.Transfer) bool { return t.ID == id }); i >= 0 {
			o.Transfers[i].Due = true
		}
		f = order.TransfersDue{}
	}
	err := observe(f)
	if errors.As(err, new(*order.Refusal)) {
		return mayRefuse(o, f, err)
	}
	if err != nil || r.IntN(2) == 0 {
		return err
	}
	return issueAll(o, observe)
}

// mayRefuse checks that a ticket which was refused is not one that could have changed hands.
func mayRefuse(o *order.Order, f order.Fact, refused error) error {
	reissue, ok := f.(order.TicketReissue)
	if !ok {
		return nil
	}
	if t := o.Ticket(reissue.TicketID); t.State == order.TicketValid && !o.Schedule.Canceled() {
		return fmt.Errorf("a valid ticket is not issued again: %w", refused)
	}
	return nil
}

// issueAll issues the passes of tickets that wait for theirs, as the job does. Those of an order that is being fulfilled are its attempt's.
func issueAll(o *order.Order, observe func(order.Fact) error) error {
	if o.BeingFulfilled() {
		return nil
	}
	for _, t := range o.Tickets {
		if t.Replaces != "" && t.PassSerial == "" {
			if err := observe(order.PassIssued{TicketID: t.ID, Serial: "serial of " + t.ID}); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkReplaced holds tickets that were replaced, and transfers, against what must be true after every fact.
func checkReplaced(o *order.Order, c *order.Changes) error {
	pending := map[string]int{}
	for _, t := range o.Transfers {
		if t.State == order.TransferPending {
			pending[t.TicketID]++
		}
		if next := o.Replacement(t.TicketID); t.State == order.TransferAccepted && (next == nil || next.HolderEmail != t.RecipientEmail) {
			return fmt.Errorf("transfer %s was accepted, and no ticket of the recipient is in the place of %s", t.ID, t.TicketID)
		}
	}
	live := 0
	for _, t := range o.Tickets {
		replaced := o.Replacement(t.ID) != nil
		if !replaced {
			live++
		}
		switch {
		case replaced && t.State != order.TicketVoid:
			return fmt.Errorf("ticket %s was replaced and is %s", t.ID, t.State)
		case replaced && t.SeatReturned:
			return fmt.Errorf("the seat of ticket %s is on sale again, and another ticket has it", t.ID)
		case t.State == order.TicketValid && t.PassSerial == "":
			return fmt.Errorf("ticket %s is valid without a pass", t.ID)
		case pending[t.ID] > 1, pending[t.ID] > 0 && (t.State == order.TicketVoid || t.State == order.TicketUsed):
			return fmt.Errorf("ticket %s is %s and has %d pending transfers", t.ID, t.State, pending[t.ID])
		}
	}
	if len(o.Tickets) > 0 && live != o.TicketCount() {
		return fmt.Errorf("%d tickets were bought, and %d are not replaced", o.TicketCount(), live)
	}
	for _, t := range c.Tickets.Added {
		wanted := order.Work{Kind: order.WorkIssuePass, ID: t.ID}
		if t.Replaces != "" && !slices.Contains(c.Work, wanted) {
			return fmt.Errorf("nothing issues the pass of ticket %s", t.ID)
		}
	}
	return nil
}

// exchanger is an order of three valid tickets.
type exchanger struct {
	t      *testing.T
	o      order.Order
	policy order.Policy
	now    time.Time
	last   order.Changes
}

func newExchanger(t *testing.T) *exchanger {
	t.Helper()
	x := &exchanger{t: t, policy: testPolicy(rand.New(rand.NewPCG(1, 1))), now: t0}
	x.o = newOrder(x.policy)
	x.see(order.Payment{IntentID: "pi_1", OrderID: "o1", Status: order.IntentSucceeded, Currency: "EUR", AmountMinorUnits: x.o.TotalMinorUnits, ReceivedMinorUnits: x.o.TotalMinorUnits, Time: t0})
	serials := map[string]string{}
	for _, t := range x.o.Tickets {
		serials[t.ID] = "serial of " + t.ID
	}
	x.see(order.AttemptSucceeded{Attempt: 1, PassSerials: serials})
	return x
}

func (x *exchanger) observe(f order.Fact) error {
	after, c, err := order.Observe(x.o, f, x.policy, x.now)
	if err == nil {
		x.o, x.last = after, c
	}
	return err
}

func (x *exchanger) see(f order.Fact) {
	x.t.Helper()
	if err := x.observe(f); err != nil {
		x.t.Fatalf("%T: %v", f, err)
	}
}

func (x *exchanger) refused(f order.Fact, want order.Reason) {
	x.t.Helper()
	err := x.observe(f)
	var refusal *order.Refusal
	if !errors.As(err, &refusal) || refusal.Reason != want {
		x.t.Errorf("%+v: %v, want %s", f, err, want)
	}
}

// live is the last ticket of a chain.
func (x *exchanger) live(id string) *order.Ticket {
	for x.o.Replacement(id) != nil {
		id = x.o.Replacement(id).ID
	}
	return x.o.Ticket(id)
}

func (x *exchanger) offer(id, ticketID string) order.TransferRequest {
	return order.TransferRequest{ID: id, TicketID: ticketID, RecipientName: "Bob", RecipientEmail: "bob@example.com", By: "buyer"}
}

// TestTransferLimits asks for more than a ticket, an order and an event allow.
func TestTransferLimits(t *testing.T) {
	t.Parallel()
	x := newExchanger(t)
	a, b, c := x.o.Tickets[0].ID, x.o.Tickets[1].ID, x.o.Tickets[2].ID
	x.see(x.offer("1", a))
	x.see(order.TransfersDue{})
	if !x.last.None() {
		t.Errorf("a transfer that is not due ends: %+v", x.last)
	}
	x.refused(x.offer("2", a), order.ReasonTransferPending)
	x.see(x.offer("2", b))
	x.refused(x.offer("3", c), order.ReasonTransferLimit) // two are pending
	x.see(order.TransferEnd{ID: "2", State: order.TransferDeclined})
	x.see(order.TransferEnd{ID: "2", State: order.TransferDeclined})
	x.refused(order.TransferAnswer{ID: "2"}, order.ReasonTransferEnded)
	x.refused(order.TransferEnd{ID: "2", State: order.TransferCanceled}, order.ReasonTransferEnded)
	x.refused(order.TransferAnswer{ID: "none"}, order.ReasonTransferNotFound)
	x.see(order.TransferAnswer{ID: "1"})
	x.see(order.TransferAnswer{ID: "1"})
	if !x.last.None() {
		t.Errorf("a second acceptance changes %+v", x.last)
	}
	x.refused(x.offer("3", a), order.ReasonTicketVoid)
	x.refused(x.offer("3", x.live(a).ID), order.ReasonTicketNotValid) // it waits for its pass
	for i := range 2 {
		x.see(order.PassIssued{TicketID: x.live(a).ID, Serial: "s"})
		id := fmt.Sprint("again", i)
		x.see(x.offer(id, x.live(a).ID))
		x.see(order.TransferAnswer{ID: id})
	}
	x.see(order.PassIssued{TicketID: x.live(a).ID, Serial: "s"})
	x.refused(x.offer("4", x.live(a).ID), order.ReasonTransferLimit) // three times
	x.see(order.TicketReissue{TicketID: x.live(a).ID})
	x.see(order.PassIssued{TicketID: x.live(a).ID, Serial: "s"})
	x.refused(x.offer("4", x.live(a).ID), order.ReasonTransferLimit) // another ticket does not help
	for i := range 4 {
		id := fmt.Sprint("day", i)
		x.see(x.offer(id, b))
		x.see(order.TransferEnd{ID: id, State: order.TransferCanceled})
	}
	x.refused(x.offer("day9", b), order.ReasonTransferLimit) // eight within a day
	x.now = x.now.Add(24 * time.Hour)
	x.see(x.offer("tomorrow", b))

	x.o.TransferTerms.Allowed = false
	x.refused(x.offer("5", c), order.ReasonTransferNotAllowed)
	x.refused(order.TransferAnswer{ID: "tomorrow"}, order.ReasonTransferNotAllowed)
	x.o.TransferTerms = order.TransferTerms{Allowed: true, Limit: 3, EndTime: &x.now}
	x.refused(x.offer("5", c), order.ReasonTransferNotAllowed)
	x.o.TransferTerms.EndTime = nil
	x.now = x.o.Schedule.StartTime.Add(-time.Minute)
	x.see(x.offer("5", c))
	if got := x.o.Transfer("5").ExpireTime; !got.Equal(x.o.Schedule.StartTime) {
		t.Errorf("the transfer expires at %v, after the event has begun at %v", got, x.o.Schedule.StartTime)
	}
	x.now = x.o.Schedule.StartTime
	x.refused(order.TransferAnswer{ID: "5"}, order.ReasonTransferNotAllowed)
	x.see(order.TicketReissue{TicketID: c})
	if s := x.o.Transfer("5").State; s != order.TransferCanceled {
		t.Errorf("the transfer of a ticket that was issued again is %s", s)
	}
	x.now = x.o.Schedule.EndTime
	x.refused(order.TicketReissue{TicketID: b}, order.ReasonEventEnded)
	x.o.Schedule.CancelTime = &x.now
	x.refused(order.TicketReissue{TicketID: b}, order.ReasonEventCanceled)
}

// TestTransferWaitsForMoney offers tickets whose money is disputed or goes back: what the bank takes, nobody can give away.
func TestTransferWaitsForMoney(t *testing.T) {
	t.Parallel()
	x := newExchanger(t)
	a, b := x.o.Tickets[0].ID, x.o.Tickets[1].ID
	x.see(x.offer("1", a))
	x.see(order.RefundRequest{ID: "r1", TicketIDs: []string{a}})
	x.refused(order.TransferAnswer{ID: "1"}, order.ReasonTicketNotValid)
	x.see(order.RefundRefused{RefundID: "r1", Attempt: 1, Code: "unknown"})
	x.see(order.TransferAnswer{ID: "1"}) // Stripe refused the refund
	x.refused(order.RefundRequest{ID: "r2", TicketIDs: []string{a}}, order.ReasonTicketVoid)

	dispute := order.DisputeObserved{ID: "du_1", IntentID: "pi_1", Status: order.DisputeNeedsResponse, AmountMinorUnits: x.o.TotalMinorUnits, Currency: "EUR", Time: x.now}
	x.see(x.offer("2", b))
	x.see(dispute)
	x.refused(order.TransferAnswer{ID: "2"}, order.ReasonTicketNotValid)
	x.see(order.PassIssued{TicketID: x.live(a).ID, Serial: "s"})
	if s := x.live(a).State; s != order.TicketSuspended {
		t.Errorf("a ticket that got its pass during a dispute is %s", s)
	}
	if !slices.Contains(x.last.Work, order.Work{Kind: order.WorkSuspendPass, ID: x.live(a).ID}) {
		t.Errorf("its pass does not show that: %v", x.last.Work)
	}
	dispute.Status = order.DisputeWon
	x.see(dispute)
	if s := x.live(a).State; s != order.TicketValid {
		t.Errorf("after a dispute that was won it is %s", s)
	}
	x.see(order.RefundRequest{ID: "r3", TicketIDs: []string{x.live(a).ID}})
	if got := x.o.Refund("r3").AmountMinorUnits; got != price {
		t.Errorf("a refund of a ticket that was transferred is of %d", got)
	}
	x.see(order.RefundObserved{IntentID: "pi_1", RefundID: "r3", StripeID: "re_1", State: order.RefundSucceeded, Currency: "EUR", Amount: price, Time: x.now})
	if s := x.live(a).State; s != order.TicketVoid {
		t.Errorf("a refunded ticket is %s", s)
	}
	x.see(order.RefundRequest{ID: "r4"})
	if ids := x.o.Refund("r4").TicketIDs; len(ids) != 0 {
		t.Errorf("a refund of what is left names %v", ids)
	}
	x.see(order.RefundObserved{IntentID: "pi_1", RefundID: "r4", StripeID: "re_2", State: order.RefundSucceeded, Currency: "EUR", Amount: 2 * price, Time: x.now})
	if s := x.o.Transfer("2").State; s != order.TransferCanceled || x.o.Ticket(b).State != order.TicketVoid {
		t.Errorf("all money went back: ticket %s, its transfer %s", x.o.Ticket(b).State, s)
	}
}

// TestRefundAtStripeNamesAnOldTicket reports a refund whose metadata name a ticket that was replaced meanwhile.
func TestRefundAtStripeNamesAnOldTicket(t *testing.T) {
	t.Parallel()
	x := newExchanger(t)
	a := x.o.Tickets[0].ID
	x.see(order.TicketReissue{TicketID: a})
	x.see(order.RefundObserved{IntentID: "pi_1", StripeID: "re_1", State: order.RefundSucceeded, Currency: "EUR", Amount: price, TicketIDs: []string{a}, Time: x.now})
	if s := x.live(a).State; s != order.TicketVoid {
		t.Errorf("the ticket in its place is %s", s)
	}
	x.see(order.PassIssued{TicketID: x.live(a).ID, Serial: "s"})
	if s := x.live(a).State; s != order.TicketVoid || !slices.Contains(x.last.Work, order.Work{Kind: order.WorkVoidPass, ID: x.live(a).ID}) {
		t.Errorf("with its pass it is %s, and there is %v to do", s, x.last.Work)
	}
	if ids := x.last.SeatsReturned; len(ids) != 0 {
		t.Errorf("seats return: %v", ids)
	}
}

// TestWholeRefundNamesLatestTickets sends all of the money back at once.
func TestWholeRefundNamesLatestTickets(t *testing.T) {
	t.Parallel()
	x := newExchanger(t)
	a := x.o.Tickets[0].ID
	x.see(order.TicketReissue{TicketID: a})
	if ids := x.last.SeatsReturned; len(ids) != 0 {
		t.Errorf("the seat of a ticket that was issued again is on sale: %v", ids)
	}
	x.see(order.RefundRequest{ID: "r1"})
	if ids := x.o.Refund("r1").TicketIDs; len(ids) != 3 || slices.Contains(ids, a) || !slices.Contains(ids, x.live(a).ID) {
		t.Errorf("it names %v, ticket %s was replaced", ids, a)
	}
}

// TestScannedTicketIsNotTransferred has a holder enter while the ticket is offered.
func TestScannedTicketIsNotTransferred(t *testing.T) {
	t.Parallel()
	x := newExchanger(t)
	a, b := x.o.Tickets[0].ID, x.o.Tickets[1].ID
	x.see(x.offer("1", a))
	x.see(order.TicketAdmitted{TicketID: a, Gate: "north"})
	x.refused(order.TransferAnswer{ID: "1"}, order.ReasonTransferEnded)
	x.refused(x.offer("2", a), order.ReasonTicketNotValid)
	x.see(x.offer("3", b))
	x.see(order.TransferAnswer{ID: "3"})
	x.refused(order.TicketAdmitted{TicketID: b, Gate: "north"}, order.ReasonTicketNotValid)
	if p := x.o.Bars(b); p != order.PassageVoid {
		t.Errorf("the old ticket at the door: %q", p)
	}
	if got, want := x.o.VoidReason(x.o.Ticket(b)), order.VoidTransferred; got != want {
		t.Errorf("it is void because %q, want %q", got, want)
	}
}

// TestHolderNamed names holders, in time and late.
func TestHolderNamed(t *testing.T) {
	t.Parallel()
	x := newExchanger(t)
	a := x.o.Tickets[0].ID
	x.see(order.HolderNamed{TicketID: a, Name: "Carol"})
	if got := x.o.Holder(x.o.Ticket(a)); got.Name != "Carol" || got.Email != x.o.BuyerEmail || x.o.Ticket(a).HolderNumber != 1 {
		t.Errorf("the holder is %v, change %d", string(got.Name), x.o.Ticket(a).HolderNumber)
	}
	x.see(order.HolderNamed{TicketID: a, Name: "Carol"})
	if !x.last.None() {
		t.Errorf("the same name again changes %+v", x.last)
	}
	x.see(order.TicketReissue{TicketID: a})
	if got := x.live(a); got.HolderName != "Carol" {
		t.Errorf("a ticket that was issued again is %q's", string(got.HolderName))
	}
	x.refused(order.HolderNamed{TicketID: a, Name: "Dave"}, order.ReasonTicketVoid)
	x.refused(order.HolderNamed{TicketID: x.live(a).ID, Name: "Dave"}, order.ReasonTicketNotValid)
	b := x.o.Tickets[1].ID
	x.o.TransferTerms.HolderEndTime = &x.now
	x.refused(order.HolderNamed{TicketID: b, Name: "Dave"}, order.ReasonHolderFixed)
	x.o.TransferTerms.HolderEndTime = nil
	x.now = x.o.Schedule.StartTime
	x.refused(order.HolderNamed{TicketID: b, Name: "Dave"}, order.ReasonHolderFixed)
}
