package order_test

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/dayof/dayof/checkoutsvc/order"
)

// told is an event of Stripe's about one payment. Its attempts are: ch_1, a card that is declined at second 10; ch_2, a debit that is pending
// from 20 and fails at 30; ch_3, a card that is authorised at 40 and captured at 50. What follows is later.
type told struct {
	name string // of the event, and where there are several of a type, of what
	at   []int  // the seconds at which Stripe may have made it
	fact func(at time.Time) order.Fact
	says map[string]claim // by what of the order it is about
}

// claim is what an event says of one thing. Of two claims the final one counts, or the higher rank of two final ones; else the later one by
// Stripe's clock, or the higher rank in the same second.
type claim struct {
	value string
	rank  int
	final bool
}

const (
	aboutIntent  = "intent"
	aboutMoney   = "captured"
	aboutFee     = "balance transaction"
	aboutSum     = "refunded sum"
	aboutRefund  = "refund"
	aboutDispute = "dispute"
	aboutReview  = "review"
	aboutWarning = "warning"
)

// is reads what an order says of one thing.
var is = map[string]func(o *order.Order) string{
	aboutIntent: func(o *order.Order) string { return string(o.Intents[0].Status) },
	aboutMoney:  func(o *order.Order) string { return fmt.Sprint(o.Intents[0].CapturedMinorUnits) },
	aboutFee:    func(o *order.Order) string { return o.Intents[0].BalanceTransactionID },
	aboutSum:    func(o *order.Order) string { return fmt.Sprint(o.Intents[0].RefundedMinorUnits) },
	aboutRefund: func(o *order.Order) string {
		i := slices.IndexFunc(o.Refunds, func(r order.Refund) bool { return r.StripeRefundID == "re_1" })
		if i < 0 {
			return "none"
		}
		return string(o.Refunds[i].State)
	},
	aboutDispute: func(o *order.Order) string {
		if d := o.Dispute("du_1"); d != nil {
			return string(d.Status)
		}
		return "none"
	},
	aboutReview: func(o *order.Order) string {
		return fmt.Sprint(len(o.Reviews) > 0 && o.Reviews[0].Open, " ", len(o.Reviews) > 0 && o.Reviews[0].ClosedReason != "")
	},
	aboutWarning: func(o *order.Order) string { return fmt.Sprint(len(o.Warnings) > 0 && o.Warnings[0].Actionable) },
}

// later are some seconds after everything else.
var later = []int{60, 61, 90}

// events are all kinds of events of one payment that the rules know.
func events(total int64) []told {
	intent := func(name string, status order.IntentStatus, rank int, final bool, at ...int) told {
		says := map[string]claim{aboutIntent: {string(status), rank, final}}
		return told{name, at, func(t time.Time) order.Fact {
			f := order.Payment{IntentID: "pi_1", OrderID: "o1", Status: status, Currency: "EUR", AmountMinorUnits: total, Time: t}
			switch status {
			case order.IntentSucceeded:
				f.ReceivedMinorUnits, f.ChargeID = total, "ch_3"
			case order.IntentFailed:
				f.FailureCode = "card_declined"
			case order.IntentCanceled, order.IntentProcessing, order.IntentRequiresAction, order.IntentRequiresCapture, order.IntentRequiresPaymentMethod:
			}
			return f
		}, says}
	}
	charge := func(name string, f order.Charge, says map[string]claim, at ...int) told {
		f.IntentID, f.OrderID, f.Currency, f.AmountMinorUnits = "pi_1", "o1", "EUR", total
		return told{name, at, func(t time.Time) order.Fact { f := f; f.Time = t; return f }, says}
	}
	// A charge that failed says only that: the intent may have gone on with another one.
	failed := func(id string) order.Charge { return order.Charge{ChargeID: id, FailureCode: "card_declined"} }
	captured := func(txn string, refunded int64) order.Charge {
		return order.Charge{ChargeID: "ch_3", Succeeded: true, Captured: true, CapturedMinorUnits: total, BalanceTransactionID: txn, RefundedMinorUnits: refunded}
	}
	processing := map[string]claim{aboutIntent: {string(order.IntentProcessing), 2, false}}
	authorised := map[string]claim{aboutIntent: {string(order.IntentRequiresCapture), 3, false}}
	money := func(more map[string]claim) map[string]claim {
		says := map[string]claim{
			aboutIntent: {string(order.IntentSucceeded), 6, true}, aboutMoney: {fmt.Sprint(total), 1, true},
		}
		maps.Copy(says, more)
		return says
	}
	fee := claim{"txn_1", 1, true}
	pending, authorisedCharge := order.Charge{ChargeID: "ch_2"}, order.Charge{ChargeID: "ch_3", Succeeded: true}
	all := []told{
		intent("payment_intent.created", order.IntentRequiresPaymentMethod, 0, false, 1),
		intent("payment_intent.requires_action", order.IntentRequiresAction, 1, false, 9, 39),
		intent("payment_intent.partially_funded", order.IntentRequiresAction, 1, false, 9),
		intent("payment_intent.payment_failed", order.IntentFailed, 4, false, 10, 30),
		intent("payment_intent.processing", order.IntentProcessing, 2, false, 20),
		intent("payment_intent.amount_capturable_updated", order.IntentRequiresCapture, 3, false, 40),
		intent("payment_intent.canceled", order.IntentCanceled, 5, true, 9, 31, 45),
		intent("payment_intent.succeeded", order.IntentSucceeded, 6, true, 50),
		charge("charge.failed of the card", failed("ch_1"), nil, 10),
		charge("charge.updated of the declined card", failed("ch_1"), nil, 11, 21, 41, 61),
		charge("charge.pending", pending, processing, 20, 21),
		charge("charge.updated of the debit", pending, processing, 22, 29),
		charge("charge.failed of the debit", failed("ch_2"), nil, 30),
		charge("charge.updated of the failed debit", failed("ch_2"), nil, 31, 41, 61),
		charge("charge.succeeded, authorised", authorisedCharge, authorised, 40),
		charge("charge.updated, authorised", authorisedCharge, authorised, 41),
		charge("charge.expired", order.Charge{ChargeID: "ch_3", Succeeded: true, RefundedMinorUnits: total}, authorised, 49),
		charge("charge.succeeded, captured", captured("", 0), money(nil), 50),
		charge("charge.captured", captured("txn_1", 0), money(map[string]claim{aboutFee: fee}), 50),
		charge("charge.updated, captured", captured("txn_1", 0), money(map[string]claim{aboutFee: fee}), 51, 90),
		charge("charge.refunded of 100", captured("txn_1", 100), money(map[string]claim{aboutFee: fee, aboutSum: {"100", 1, true}}), later...),
		charge("charge.refunded of 300", captured("", 300), money(map[string]claim{aboutSum: {"300", 2, true}}), later...),
		{"the buyer cancels", later, func(time.Time) order.Fact { return order.CheckoutCanceled{} }, nil},
		{"checkout.session.expired", later, func(time.Time) order.Fact { return order.SessionEnd{SessionID: "cs_1"} }, nil},
		{"review.opened", later, func(time.Time) order.Fact {
			return order.ReviewObserved{ID: "prv_1", IntentID: "pi_1", Open: true}
		}, map[string]claim{aboutReview: {"true false", 0, true}}},
		{"review.closed", later, func(time.Time) order.Fact {
			return order.ReviewObserved{ID: "prv_1", IntentID: "pi_1", ClosedReason: "approved"}
		}, map[string]claim{aboutReview: {"false true", 1, true}}},
		{"radar.early_fraud_warning.created", later, func(time.Time) order.Fact {
			return order.FraudWarningObserved{ID: "issfr_1", IntentID: "pi_1", ChargeID: "ch_3", Actionable: true}
		}, map[string]claim{aboutWarning: {"true", 0, true}}},
		{"radar.early_fraud_warning.updated", later, func(time.Time) order.Fact {
			return order.FraudWarningObserved{ID: "issfr_1", IntentID: "pi_1", ChargeID: "ch_3"}
		}, map[string]claim{aboutWarning: {"false", 1, true}}},
	}
	return slices.Concat(all, refundEvents(), disputeEvents(total))
}

// refundEvents are of one refund. Failed and canceled are both final, and Stripe never reports both of one refund.
func refundEvents() []told {
	var all []told
	for name, c := range map[string]claim{
		"refund.created": {string(order.RefundPending), 0, true}, "refund.updated": {string(order.RefundSucceeded), 1, true},
		"refund.failed": {string(order.RefundFailed), 2, true}, "refund.updated, canceled": {string(order.RefundCanceled), 2, true},
		"charge.refund.updated": {string(order.RefundSucceeded), 1, true},
	} {
		all = append(all, told{name, later, func(t time.Time) order.Fact {
			return order.RefundObserved{
				IntentID: "pi_1", OrderID: "o1", StripeID: "re_1", State: order.RefundState(c.value), Currency: "EUR", Amount: 100, Time: t,
			}
		}, map[string]claim{aboutRefund: c}})
	}
	return all
}

// disputeEvents are of one dispute. Stripe reports one end of it.
func disputeEvents(total int64) []told {
	var all []told
	for status, rank := range map[order.DisputeStatus]int{
		order.DisputeWarningNeedsResponse: 0, order.DisputeWarningUnderReview: 1, order.DisputeNeedsResponse: 2, order.DisputeUnderReview: 3,
		order.DisputeWon: 4, order.DisputeLost: 4, order.DisputeWarningClosed: 4, order.DisputePrevented: 4,
	} {
		all = append(all, told{"charge.dispute.*, " + string(status), later, func(t time.Time) order.Fact {
			return order.DisputeObserved{ID: "du_1", IntentID: "pi_1", Status: status, AmountMinorUnits: total, Currency: "EUR", Time: t}
		}, map[string]claim{aboutDispute: {string(status), rank, true}}})
	}
	return all
}

// stronger is the claim that counts of two; false where Stripe never makes both.
func stronger(a claim, atA int, b claim, atB int) (claim, bool) {
	switch {
	case a.final != b.final:
		if a.final {
			return a, true
		}
		return b, true
	case !a.final && atA != atB:
		if atA > atB {
			return a, true
		}
		return b, true
	case a.rank == b.rank:
		return a, a.value == b.value
	case a.rank > b.rank:
		return a, true
	}
	return b, true
}

// TestNoFactHidesAStrongerOne has an order observe all pairs of events of one payment, in both orders of arrival and at all the times at which
// Stripe may have made them. Whatever arrives second, what the stronger of the two says stands.
func TestNoFactHidesAStrongerOne(t *testing.T) {
	t.Parallel()
	all := events(newLife(t).order.TotalMinorUnits)
	slices.SortFunc(all, func(a, b told) int { return cmp.Compare(a.name, b.name) })
	pairs := 0
	for _, first := range all {
		for _, second := range all {
			for _, one := range first.at {
				for _, two := range second.at {
					observePair(t, first, one, second, two)
					pairs++
				}
			}
		}
	}
	t.Logf("%d pairs of %d events", pairs, len(all))
}

func observePair(t *testing.T, first told, one int, second told, two int) {
	t.Helper()
	l := newLife(t)
	pair := fmt.Sprintf("%s of second %d, then %s of second %d", first.name, one, second.name, two)
	defer func() {
		if p := recover(); p != nil {
			t.Errorf("%s: %v", pair, p)
		}
	}()
	for _, f := range []order.Fact{first.fact(t0.Add(time.Duration(one) * time.Second)), second.fact(t0.Add(time.Duration(two) * time.Second))} {
		l.order.HoldDue = false
		if order.WantsStock(l.order, f, l.policy, l.now) {
			f = order.WithStock(f, order.StockTaken)
		}
		err := l.try(f)
		if _, canceled := f.(order.CheckoutCanceled); canceled && errors.As(err, new(*order.Refusal)) {
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", pair, err)
		}
	}
	for about, read := range is {
		a, firstSays := first.says[about]
		b, secondSays := second.says[about]
		want, possible := a, firstSays || secondSays
		switch {
		case firstSays && secondSays:
			want, possible = stronger(a, one, b, two)
		case secondSays:
			want = b
		}
		if got := read(&l.order); possible && got != want.value {
			t.Errorf("%s: the %s is %s, want %s", pair, about, got, want.value)
		}
	}
	money := []order.PaymentState{
		order.PaymentPaid, order.PaymentPartiallyRefunded, order.PaymentRefunded, order.PaymentDisputed, order.PaymentChargedBack,
	}
	if l.order.Captured() > 0 && (!slices.Contains(money, l.order.Payment) || l.order.Fulfilment == order.FulfilmentNone) {
		t.Errorf("%s: money came, and the order is %s and %s", pair, l.order.Payment, l.order.Fulfilment)
	}
}

// TestEventsAreAllStates says that the pairs leave no status of Stripe's out.
func TestEventsAreAllStates(t *testing.T) {
	t.Parallel()
	said := map[string]bool{string(order.RefundRequested): true} // ours, before Stripe is asked
	for _, e := range events(1000) {
		for _, c := range e.says {
			said[c.value] = true
		}
	}
	for _, name := range []string{"payment intent", "refund", "dispute"} {
		for _, state := range machines[name].States() {
			if !said[state] {
				t.Errorf("no event says that a %s is %s", name, state)
			}
		}
	}
}
