package order_test

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/dayof/dayof/checkoutsvc/order"
)

// life observes facts one after the other.
type life struct {
	t       *testing.T
	order   order.Order
	changes order.Changes // of the last fact
	policy  order.Policy
	now     time.Time
}

func newLife(t *testing.T) *life {
	t.Helper()
	p := testPolicy(rand.New(rand.NewPCG(1, 1)))
	p.RefundApplicationFee, p.ReviewHoldsDelivery, p.FraudWarningRefunds = true, true, true
	return &life{t: t, order: newOrder(p), policy: p, now: t0}
}

func (l *life) try(f order.Fact) (err error) {
	l.now = l.now.Add(time.Second)
	l.order, l.changes, err = order.Observe(l.order, f, l.policy, l.now)
	return err
}

func (l *life) observe(facts ...order.Fact) {
	l.t.Helper()
	for _, f := range facts {
		if err := l.try(f); err != nil {
			l.t.Fatalf("%T: %v", f, err)
		}
	}
}

// paid is the fact that all of an intent's money is captured.
func (l *life) paid(intent string) order.Payment {
	total := l.order.TotalMinorUnits
	return order.Payment{
		IntentID: intent, OrderID: "o1", Status: order.IntentSucceeded, Currency: "EUR", AmountMinorUnits: total, ReceivedMinorUnits: total,
		Time: t0, Adopt: true,
	}
}

func (l *life) completed() order.Fact {
	serials := map[string]string{}
	for _, t := range l.order.Tickets {
		serials[t.ID] = "serial"
	}
	return order.AttemptSucceeded{Attempt: l.order.Attempt, PassSerials: serials}
}

func (l *life) sold() *life {
	l.t.Helper()
	l.observe(l.paid("pi_1"))
	l.observe(l.completed())
	return l
}

func (l *life) want(payment order.PaymentState, fulfilment order.FulfilmentState, tickets order.TicketState) {
	l.t.Helper()
	if l.order.Payment != payment || l.order.Fulfilment != fulfilment {
		l.t.Errorf("%s, %s; want %s, %s", l.order.Payment, l.order.Fulfilment, payment, fulfilment)
	}
	for _, ticket := range l.order.Tickets {
		if ticket.State != tickets {
			l.t.Errorf("a ticket is %s, want %s", ticket.State, tickets)
		}
	}
}

func (l *life) wantWork(kinds ...order.WorkKind) {
	l.t.Helper()
	var got []order.WorkKind
	for _, w := range l.changes.Work {
		got = append(got, w.Kind)
	}
	slices.Sort(got)
	slices.Sort(kinds)
	if !slices.Equal(got, kinds) {
		l.t.Errorf("work %v, want %v", got, kinds)
	}
}

func TestSale(t *testing.T) {
	t.Parallel()
	l := newLife(t)
	l.observe(l.paid("pi_1"))
	l.want(order.PaymentPaid, order.FulfilmentInProgress, order.TicketReserved)
	if !l.changes.FulfilmentStarted || *l.changes.NextAttempt != l.policy.Lease || l.order.Hold.State != order.HoldConsumed || l.changes.StockReturned {
		t.Errorf("changes %+v, hold %+v", l.changes, l.order.Hold)
	}
	l.observe(l.completed())
	l.want(order.PaymentPaid, order.FulfilmentCompleted, order.TicketValid)
	l.wantWork(order.WorkRecordFee, order.WorkSendReceipt)
	if err := l.try(l.completed()); !errors.Is(err, order.ErrFenced) {
		t.Errorf("a second completion: %v", err)
	}
}

func TestAttemptIsFenced(t *testing.T) {
	t.Parallel()
	l := newLife(t)
	l.observe(l.paid("pi_1"))
	mine := l.completed()
	l.order.Attempt++ // the sweep gave it to somebody else
	if err := l.try(mine); !errors.Is(err, order.ErrFenced) {
		t.Errorf("an attempt that was overtaken: %v", err)
	}
	l.observe(order.AttemptFailed{Attempt: l.order.Attempt - 1, Failure: "unavailable"})
	if l.changes.NextAttempt != nil || l.order.LastError != "" {
		t.Errorf("a failure of an attempt that was overtaken changed %+v", l.changes)
	}
}

func TestBlockedThenGivenUp(t *testing.T) {
	t.Parallel()
	l := newLife(t)
	l.observe(l.paid("pi_1"))
	failed := order.AttemptFailed{Attempt: 1, Failure: "unavailable", SaleFailure: "unavailable", Backoff: time.Second}
	l.observe(failed)
	l.want(order.PaymentPaid, order.FulfilmentInProgress, order.TicketReserved)
	l.order.FulfillingFor = l.policy.BlockedAfter
	l.observe(failed)
	l.want(order.PaymentPaid, order.FulfilmentLedgerBlocked, order.TicketReserved)
	if len(l.changes.Alerts) != 1 || l.changes.Alerts[0].Resolved {
		t.Errorf("alerts %+v", l.changes.Alerts)
	}
	l.order.FulfillingFor = l.policy.GiveUpAfter
	l.observe(failed)
	l.want(order.PaymentPaid, order.FulfilmentUnfulfillable, order.TicketVoid)
	l.wantWork(order.WorkMailGivenUp, order.WorkRecordFee, order.WorkSendRefund, order.WorkSettleReceipt, order.WorkVoidPass, order.WorkVoidPass, order.WorkVoidPass)
	if len(l.changes.SeatsReturned) != 3 || l.order.Refunds[0].AmountMinorUnits != l.order.TotalMinorUnits || !l.changes.Alerts[0].Resolved || l.order.Attempt != 2 {
		t.Errorf("given up: %+v, refunds %+v", l.changes, l.order.Refunds)
	}
}

func TestPaymentOnItsWayKeepsItsHold(t *testing.T) {
	t.Parallel()
	l := newLife(t)
	l.policy.ProcessingHoldMax = 14 * 24 * time.Hour
	debit := l.paid("pi_1")
	debit.Status, debit.ReceivedMinorUnits = order.IntentProcessing, 0
	l.observe(debit)
	l.observe(order.Charge{Account: debit.Account, IntentID: "pi_1", OrderID: "o1", ChargeID: "ch_1", Time: l.now})
	l.order.HoldDue = true
	l.observe(order.HoldEnd{})
	if l.order.Hold.State != order.HoldActive {
		t.Errorf("the hold is %s", l.order.Hold.State)
	}
	l.want(order.PaymentProcessing, order.FulfilmentNone, "")
	l.now = l.now.Add(l.policy.ProcessingHoldMax)
	l.observe(order.HoldEnd{})
	if l.order.Hold.State != order.HoldExpired {
		t.Errorf("the hold is %s after the longest time", l.order.Hold.State)
	}
}

// A hold whose time is over waits for Stripe to say whether the buyer has paid, and not for ever.
func TestHoldWaitsForStripe(t *testing.T) {
	t.Parallel()
	l := newLife(t)
	l.policy.UnansweredHoldMax = time.Minute
	l.order.HoldDue, l.order.HoldOverdue = true, time.Minute-time.Second
	l.observe(order.HoldEnd{Unanswered: true})
	if l.order.Hold.State != order.HoldActive {
		t.Errorf("the hold is %s before Stripe has answered", l.order.Hold.State)
	}
	l.order.HoldOverdue = time.Minute
	l.observe(order.HoldEnd{Unanswered: true})
	if l.order.Hold.State != order.HoldExpired {
		t.Errorf("the hold is %s after the longest time", l.order.Hold.State)
	}
}

func TestLateMoney(t *testing.T) {
	t.Parallel()
	for stock, want := range map[order.Stock]order.FulfilmentState{
		order.StockTaken: order.FulfilmentInProgress, order.StockGone: order.FulfilmentUnfulfillable,
	} {
		l := newLife(t)
		l.order.HoldDue = true
		l.observe(order.HoldEnd{})
		l.wantWork(order.WorkCancelIntents)
		l.want(order.PaymentExpired, order.FulfilmentNone, "")
		f := l.paid("pi_1")
		if !l.changes.StockReturned || !order.WantsStock(l.order, f, l.policy, l.now) {
			t.Fatalf("an expired hold keeps stock: %+v", l.changes)
		}
		l.observe(order.WithStock(f, stock))
		if l.order.Fulfilment != want || order.WantsStock(l.order, f, l.policy, l.now) {
			t.Errorf("stock %d: %s, want %s", stock, l.order.Fulfilment, want)
		}
		if refunded := len(l.order.Refunds) == 1; refunded != (stock == order.StockGone) {
			t.Errorf("stock %d: refunds %+v", stock, l.order.Refunds)
		}
	}
	l := newLife(t)
	l.observe(order.HoldEnd{}) // it is not due
	if l.order.Hold.State != order.HoldActive || l.changes.StockReturned {
		t.Errorf("a hold that is not due ended: %+v", l.order.Hold)
	}
}

func TestDuplicatePayment(t *testing.T) {
	t.Parallel()
	l := newLife(t).sold()
	l.observe(l.paid("pi_2"))
	l.want(order.PaymentPaid, order.FulfilmentCompleted, order.TicketValid)
	l.wantWork(order.WorkRecordFee, order.WorkSendRefund, order.WorkSettleReceipt)
	l.observe(l.paid("pi_2"))
	if len(l.order.Refunds) != 1 || len(l.changes.Work) != 0 {
		t.Errorf("reported twice: refunds %+v, work %v", l.order.Refunds, l.changes.Work)
	}
}

func TestMismatchedPaymentBuysNothing(t *testing.T) {
	t.Parallel()
	for want, change := range map[order.Mismatch]func(*order.Payment){
		order.MismatchOwner: func(f *order.Payment) { f.OrderID = "o2" }, order.MismatchLivemode: func(f *order.Payment) { f.Livemode = true },
		order.MismatchCurrency: func(f *order.Payment) { f.Currency = "USD" }, order.MismatchAmount: func(f *order.Payment) { f.ReceivedMinorUnits-- },
	} {
		l := newLife(t)
		f := l.paid("pi_1")
		change(&f)
		l.observe(f)
		p := l.order.Intents[len(l.order.Intents)-1]
		if l.order.Fulfilment != order.FulfilmentNone || p.Mismatch != want || len(l.changes.Cases) != 1 {
			t.Errorf("%s: %s, %+v, cases %+v", want, l.order.Fulfilment, p, l.changes.Cases)
		}
	}
}

// A refund made at Stripe voids the tickets that its metadata name only if it pays them back.
func TestExternalRefundNamesTickets(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		amount int64
		intent string
		naming []string // besides the first ticket
		void   bool
	}{
		"one cent":        {amount: 1, intent: "pi_1"},
		"a cent less":     {amount: price - 1, intent: "pi_1"},
		"what it cost":    {amount: price, intent: "pi_1", void: true},
		"another intent":  {amount: price, intent: "pi_2"},
		"nobody's ticket": {amount: price, intent: "pi_1", naming: []string{"t404"}},
	} {
		l := newLife(t).sold()
		if c.intent == "pi_2" {
			l.observe(l.paid("pi_2"))
		}
		l.observe(order.RefundObserved{
			IntentID: c.intent, StripeID: "re_1", State: order.RefundSucceeded, Currency: "EUR", Amount: c.amount, Time: l.now,
			TicketIDs: append([]string{l.order.Tickets[0].ID}, c.naming...),
		})
		if got := l.order.Tickets[0].State == order.TicketVoid; got != c.void {
			t.Errorf("%s: the ticket is %s", name, l.order.Tickets[0].State)
		}
		raised := slices.ContainsFunc(l.changes.Cases, func(r order.ReviewCase) bool { return r.Kind == order.CaseRefundNamesTickets })
		if raised == c.void {
			t.Errorf("%s: cases %+v", name, l.changes.Cases)
		}
	}
}

// A fact of another account changes nothing, whatever its metadata name; a person is told once per account.
func TestFactOfForeignAccount(t *testing.T) {
	t.Parallel()
	l := newLife(t)
	canceled, failed := l.paid("pi_2"), order.Charge{Account: "acct_1", IntentID: "pi_2", OrderID: "o1", ChargeID: "ch_2", FailureCode: "declined", Time: l.now}
	canceled.Account, canceled.Status = "acct_1", order.IntentCanceled
	paid := l.paid("pi_1")
	paid.Account = "acct_1"
	for _, f := range []order.Fact{
		paid, canceled, failed, order.SessionEnd{Account: "acct_1", SessionID: "cs_1"}, order.RefundObserved{
			Account: "acct_1", IntentID: "pi_1", OrderID: "o1", StripeID: "re_1", State: order.RefundSucceeded, Currency: "EUR", Amount: price, Time: l.now,
		},
	} {
		before := l.order
		l.observe(f)
		c := l.changes
		if !reflect.DeepEqual(l.order, before) || c.Order || c.Hold || c.StockReturned || len(c.Work) != 0 || len(c.Intents.Added) != 0 || len(c.Refunds.Added) != 0 {
			t.Errorf("%T changed %+v to %+v, %+v", f, before, l.order, c)
		}
		if len(c.Cases) != 1 || c.Cases[0].Kind != order.CaseForeignAccount || c.Cases[0].Subject != l.order.ID+"/acct_1" {
			t.Errorf("%T raised %+v", f, c.Cases)
		}
	}
}

// Requests in a random sequence never add up to more than was captured, and the taxes of a whole refund to the order's.
func TestRefundRequests(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(seed(t), 0))
	for range 2000 {
		l := newLife(t).sold()
		for i := range 6 {
			f := order.RefundRequest{ID: l.policy.NewID()}
			if r.IntN(2) == 0 {
				f.Amount = &order.Amount{Currency: "EUR", MinorUnits: 1 + r.Int64N(2*price)}
			}
			err := l.try(f)
			if refusal, ok := errors.AsType[*order.Refusal](err); err != nil && (!ok || refusal.Reason != order.ReasonRefundExceedsCaptured) {
				t.Fatal(err)
			}
			if made := l.order.Refund(f.ID); made != nil && r.IntN(2) == 0 {
				l.observe(order.RefundObserved{
					IntentID: "pi_1", RefundID: made.ID, StripeID: "re_" + made.ID, State: order.RefundSucceeded, Currency: "EUR",
					Amount: made.AmountMinorUnits, Time: l.now,
				})
			}
			var sum int64
			for _, made := range l.order.Refunds {
				sum += made.AmountMinorUnits
			}
			if sum > l.order.Captured() {
				t.Fatalf("after request %d the refunds sum to %d of %d", i, sum, l.order.Captured())
			}
		}
	}
	l := newLife(t).sold()
	l.observe(order.RefundRequest{ID: "r1"})
	l.want(order.PaymentPaid, order.FulfilmentCompleted, order.TicketSuspended)
	l.wantWork(order.WorkSendRefund)
	if got := l.order.Refunds[0]; got.ApplicationFeeMinorUnits != 900 || got.Taxes[0].MinorUnits != 870 {
		t.Errorf("shares of a whole refund: %+v", got)
	}
}

func TestRefundOfOneTicket(t *testing.T) {
	t.Parallel()
	l := newLife(t).sold()
	l.observe(order.RefundRequest{ID: "r1", TicketIDs: []string{l.order.Tickets[0].ID}})
	states := []order.TicketState{l.order.Tickets[0].State, l.order.Tickets[1].State}
	if got := l.order.Refunds[0].AmountMinorUnits; got != price || states[0] != order.TicketSuspended || states[1] != order.TicketValid {
		t.Errorf("refunded %d, tickets %v", got, states)
	}
	l.observe(order.RefundRefused{RefundID: "r1", Attempt: 1, Code: "charge_disputed"})
	if l.order.Refunds[0].State != order.RefundFailed || len(l.changes.Cases) != 1 || l.order.Refundable() != 3*price {
		t.Errorf("refused: %+v, cases %+v", l.order.Refunds[0], l.changes.Cases)
	}
	l.want(order.PaymentPaid, order.FulfilmentCompleted, order.TicketValid)
	l.observe(order.RefundObserved{IntentID: "pi_1", StripeID: "re_1", State: order.RefundSucceeded, Currency: "EUR", Amount: 3 * price, Time: t0})
	l.want(order.PaymentRefunded, order.FulfilmentCompleted, order.TicketVoid)
	if r := l.changes.Resolved; len(r) != 1 || r[0].Kind != order.CaseRefundRefused || r[0].Subject != "r1" {
		t.Errorf("resolved %+v, want the case of the refused refund", r)
	}
}

// A pass shows that a dispute holds its ticket back, not that a refund is asked for; both may be known at once.
func TestHeldWhileARefundIsAskedFor(t *testing.T) {
	t.Parallel()
	l := newLife(t).sold()
	l.observe(order.RefundRequest{ID: "r1"})
	l.observe(order.DisputeObserved{ID: "du_1", IntentID: "pi_1", Status: order.DisputeNeedsResponse, Currency: "EUR", Time: t0})
	l.want(order.PaymentDisputed, order.FulfilmentCompleted, order.TicketSuspended)
	l.wantWork(order.WorkSuspendPass, order.WorkSuspendPass, order.WorkSuspendPass)
	l.observe(order.DisputeObserved{ID: "du_1", IntentID: "pi_1", Status: order.DisputeWon, Currency: "EUR", Time: t0})
	l.want(order.PaymentPaid, order.FulfilmentCompleted, order.TicketSuspended)
	l.wantWork(order.WorkSuspendPass, order.WorkSuspendPass, order.WorkSuspendPass)
	l.observe(order.RefundRefused{RefundID: "r1", Attempt: 1, Code: "charge_disputed"})
	l.want(order.PaymentPaid, order.FulfilmentCompleted, order.TicketValid)
	l.wantWork()
}

// Void is final, also when what made a ticket void is undone.
func TestVoidIsFinal(t *testing.T) {
	t.Parallel()
	l := newLife(t).sold()
	part := order.RefundObserved{IntentID: "pi_1", StripeID: "re_1", State: order.RefundSucceeded, Currency: "EUR", Amount: price, Time: t0}
	rest := part
	rest.StripeID, rest.Amount = "re_2", 2*price
	l.observe(part, rest)
	l.want(order.PaymentRefunded, order.FulfilmentCompleted, order.TicketVoid)
	part.State = order.RefundFailed
	l.observe(part)
	l.want(order.PaymentPartiallyRefunded, order.FulfilmentCompleted, order.TicketVoid)
}

func TestFraudWarningRefundsWhatIsNotUsed(t *testing.T) {
	t.Parallel()
	l := newLife(t).sold()
	l.order.Tickets[0].State = order.TicketUsed
	l.observe(order.FraudWarningObserved{ID: "issfr_1", IntentID: "pi_1", Actionable: true})
	l.wantWork(order.WorkRefundFraud)
	due := order.FraudRefundDue{WarningID: "issfr_1", EventStartTime: l.now.Add(time.Hour)}
	l.observe(due)
	if len(l.order.Refunds) != 1 || l.order.Refunds[0].AmountMinorUnits != 2*price || l.order.Refunds[0].Reason != order.RefundFraud {
		t.Fatalf("refunds %+v", l.order.Refunds)
	}
	l.observe(due)
	if len(l.order.Refunds) != 1 {
		t.Errorf("a second refund of one warning: %+v", l.order.Refunds)
	}
	l = newLife(t).sold()
	l.observe(order.FraudWarningObserved{ID: "issfr_1", IntentID: "pi_1"}, due) // it cannot be acted on
	if len(l.order.Refunds) != 0 {
		t.Errorf("refunds %+v", l.order.Refunds)
	}
}

// A refund may be reported before its payment, and a charge may report only the sum of its refunds.
func TestRefundsAreReportedInAnyWay(t *testing.T) {
	t.Parallel()
	l := newLife(t)
	l.observe(order.RefundObserved{IntentID: "pi_1", StripeID: "re_1", State: order.RefundSucceeded, Currency: "EUR", Amount: l.order.TotalMinorUnits, Time: t0})
	l.observe(l.paid("pi_1"))
	l.observe(l.completed())
	l.want(order.PaymentRefunded, order.FulfilmentCompleted, order.TicketVoid)

	l = newLife(t).sold()
	total := l.order.TotalMinorUnits
	charge := order.Charge{
		IntentID: "pi_1", OrderID: "o1", ChargeID: "ch_1", Succeeded: true, Captured: true, Currency: "EUR", AmountMinorUnits: total,
		CapturedMinorUnits: total, RefundedMinorUnits: 100, Time: t0,
	}
	l.observe(charge)
	if l.changes.FetchRefunds == nil {
		t.Error("a refund that is only a sum is not fetched")
	}
	l.observe(order.RefundObserved{IntentID: "pi_1", StripeID: "re_1", State: order.RefundSucceeded, Currency: "EUR", Amount: 100, Time: t0}, charge)
	if l.changes.FetchRefunds != nil {
		t.Error("refunds that are known are fetched")
	}
}
