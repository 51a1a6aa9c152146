package main

import (
	"fmt"
	"strings"

	"pgregory.net/rapid"
)

// sequence is the life of one order: how it is paid and what happens to the money afterwards. It says what is tried; what
// Stripe refuses does not happen.
type sequence struct {
	number   int
	currency string
	price    int // index of prices
	quantity int32
	payment  payment
	// browser reports the payment by CompleteCheckout. withheld keeps all webhooks back until everything has happened.
	browser, withheld bool
	steps             []step
}

// payment is a way in which an order is paid, or not.
type payment string

const (
	payCard       payment = "card"
	payChallenge  payment = "3-D Secure"
	payDeclined   payment = "declined, then another card"
	payCapture    payment = "authorized, then captured"
	payOver       payment = "authorized for more, captured the total"
	payUnder      payment = "authorized, captured in part" // no tickets for that: a person decides
	payDebit      payment = "bank debit"
	payBounced    payment = "bank debit that bounces"
	payLate       payment = "bank debit that settles after the hold"
	payTooLate    payment = "bank debit that settles after the hold, tickets gone"
	payGoodwill   payment = "bank debit that settles after the hold, tickets gone, refunded in part before we know"
	payBehind     payment = "card, in time, and told after the hold" // Stripe is asked before the seats go
	payAbandoned  payment = "canceled"
	payNever      payment = "never paid"
	payPendingOut payment = "card whose refunds take days"
)

// step is one thing that happens after the payment. part is a percentage of the order's total, which chooses one of
// several tickets, refunds or disputes.
type step struct {
	act   act
	part  int64
	which int
}

type act string

const (
	refundPart      act = "refund an amount"
	refundTicket    act = "refund a ticket"
	refundRest      act = "refund the rest"
	dashboardPart   act = "refund an amount in the dashboard"
	dashboardRest   act = "refund the rest in the dashboard"
	refundFails     act = "a refund fails"
	refundSettles   act = "a pending refund succeeds"
	refundAsks      act = "a pending refund waits for the buyer"
	refundLapses    act = "a refund that waits is canceled"
	refundReference act = "a refund gets its reference"
	dispute         act = "dispute"
	inquiry         act = "inquiry"
	evidence        act = "evidence is sent"
	escalate        act = "the inquiry escalates"
	closeWon        act = "the dispute is won"
	closeWonFee     act = "the dispute is won, fee back"
	closeLost       act = "the dispute is lost"
	closeInquiry    act = "the inquiry is closed"
	reinstate       act = "lost money is reinstated"
	fraudWarning    act = "early fraud warning"
	payout          act = "payout"
	payoutBounces   act = "payout that bounces"
	payoutFails     act = "payout that fails before it is paid"

	storedFailure     act = "Stripe fails at the next refund and keeps that answer"
	storedFailureDone act = "Stripe makes the next refund, fails to say so and keeps that answer"
	refusal           act = "Stripe lacks the money for the next refund"
)

// prices of a ticket in minor units with the shares contained in it, the same for all currencies. Three tickets of the last
// one cost what no float represents exactly.
var prices = []struct{ price, fee, tax int64 }{
	{4450, 250, 291}, {8900, 0, 0}, {110, 37, 11}, {33330, 3333, 5321}, {99990, 1, 15964}, {exact / 3, 33, 1437},
}

// exact is 2^53+1, the first whole number that a float of 64 bits cannot hold.
const exact = 9007199254740993

var currencies = []string{"EUR", "USD", "JPY", "KWD"}

// sequences makes a sequence of a number.
var sequences = rapid.Custom(func(t *rapid.T) sequence {
	h := sequence{
		currency: rapid.SampledFrom(currencies).Draw(t, "currency"),
		price:    rapid.SampledFrom([]int{0, 0, 0, 0, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 5}).Draw(t, "price"),
		quantity: rapid.Int32Range(1, 3).Draw(t, "quantity"),
		payment: rapid.SampledFrom([]payment{
			payCard, payCard, payCard, payCard, payCard, payChallenge, payDeclined, payCapture, payOver, payUnder, payDebit, payBounced, payLate,
			payTooLate, payGoodwill, payBehind, payAbandoned, payNever, payPendingOut, payPendingOut,
		}).Draw(t, "payment"),
		browser:  rapid.Bool().Draw(t, "browser"),
		withheld: rapid.IntRange(0, 3).Draw(t, "withheld") == 0,
	}
	if h.price == len(prices)-1 {
		h.quantity = 3
	}
	h.steps = rapid.SliceOfN(steps, 0, 7).Draw(t, "steps")
	return h
})

var steps = rapid.Custom(func(t *rapid.T) step {
	return step{
		act: rapid.SampledFrom([]act{
			refundPart, refundPart, refundPart, refundTicket, refundTicket, refundRest, dashboardPart, dashboardPart, dashboardRest,
			refundFails, refundFails, refundSettles, refundAsks, refundAsks, refundLapses, refundLapses, refundReference, dispute, dispute, inquiry, evidence, escalate,
			closeWon, closeWonFee, closeLost, closeInquiry, reinstate, fraudWarning, payout, payoutBounces, payoutFails,
			storedFailure, storedFailureDone, refusal,
		}).Draw(t, "act"),
		part:  rapid.SampledFrom([]int64{1, 7, 25, 33, 50, 50, 67, 99, 100, 100}).Draw(t, "part"),
		which: rapid.IntRange(0, 3).Draw(t, "which"),
	}
})

// newSequence returns the sequence of a number, always the same.
func newSequence(number int) sequence {
	h := sequences.Example(number)
	h.number = number
	return h
}

// unitPrice is what one ticket costs.
func (h sequence) unitPrice() int64 {
	if h.price == len(prices)-1 && h.currency != "KWD" {
		return exact / 3
	}
	return prices[h.price].price / 10 * 10 // dinars end in 0 at Stripe
}

func (h sequence) total() int64 { return h.unitPrice() * int64(h.quantity) }

// part is a percentage of the total, at least one minor unit.
func (h sequence) part(percent int64) int64 {
	return max(h.total()/100*percent+h.total()%100*percent/100, 1)
}

func (h sequence) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d: %d x %d %s, %s", h.number, h.quantity, h.unitPrice(), h.currency, h.payment)
	if h.browser {
		b.WriteString(", reported by the browser")
	}
	if h.withheld {
		b.WriteString(", webhooks late")
	}
	for _, s := range h.steps {
		fmt.Fprintf(&b, "; %s", s.act)
		switch s.act {
		case refundPart, dashboardPart, dispute, inquiry:
			fmt.Fprintf(&b, " %d %%", s.part)
		case refundTicket, refundFails, refundSettles, refundAsks, refundLapses, refundReference, evidence, escalate, closeWon, closeWonFee, closeLost, closeInquiry, reinstate:
			fmt.Fprintf(&b, " (%d)", s.which)
		default:
		}
	}
	return b.String()
}
