package order_test

import (
	"testing"

	"github.com/dayof/dayof/checkoutsvc/order"
)

// sumOf is the fact that so much of pi_1 went back in all.
func (l *life) sumOf(minorUnits int64) order.Charge {
	total := l.order.TotalMinorUnits
	return order.Charge{
		IntentID: "pi_1", OrderID: "o1", ChargeID: "ch_1", Succeeded: true, Captured: true, Currency: "EUR", AmountMinorUnits: total,
		CapturedMinorUnits: total, RefundedMinorUnits: minorUnits, Time: t0,
	}
}

// wantUnmatched holds what is counted as unmatched of pi_1 to an amount.
func (l *life) wantUnmatched(when string, want int64) {
	l.t.Helper()
	var got int64
	if counted := l.order.UnmatchedRefund("pi_1"); counted != nil {
		got = counted.AmountMinorUnits
	}
	if got != want {
		l.t.Errorf("%s: %d are counted as unmatched, want %d: %+v", when, got, want, l.order.Refunds)
	}
}

func part(id string, minorUnits int64) order.RefundRequest {
	return order.RefundRequest{ID: id, Amount: &order.Amount{Currency: "EUR", MinorUnits: minorUnits}}
}

// A sum may be known before Stripe's answer to the refund behind it. Nothing is counted for it, and the rest can be refunded.
func TestRefundThatIsAskedForExplainsASum(t *testing.T) {
	t.Parallel()
	l := newLife(t).sold()
	total := l.order.TotalMinorUnits
	l.observe(part("first", 1000), l.sumOf(1000), order.RefundsListed{IntentID: "pi_1"})
	l.wantUnmatched("while Stripe is asked", 0)
	l.observe(l.sumOf(1300), order.RefundsListed{IntentID: "pi_1"})
	l.wantUnmatched("once more than that went back", 300)
	l.observe(order.RefundObserved{IntentID: "pi_1", StripeID: "re_2", State: order.RefundSucceeded, Currency: "EUR", Amount: 300, Time: t0})
	l.wantUnmatched("once the other refund is known", 0)
	l.observe(part("rest", total-1300))
	l.observe(order.RefundObserved{
		IntentID: "pi_1", RefundID: "first", StripeID: "re_1", State: order.RefundSucceeded, Currency: "EUR", Amount: 1000, Time: t0,
	}, order.RefundsListed{IntentID: "pi_1"})
	l.wantUnmatched("once Stripe answered", 0)
	if got := l.order.Refunded(); got != 1300 {
		t.Errorf("%d are refunded", got)
	}
}

// What was counted before a refund is asked for went back by another one.
func TestSumBeforeARefundIsAskedFor(t *testing.T) {
	t.Parallel()
	l := newLife(t).sold()
	l.observe(l.sumOf(1000), order.RefundsListed{IntentID: "pi_1"}, part("later", 1000), order.RefundsListed{IntentID: "pi_1"})
	l.wantUnmatched("while a later refund is asked for", 1000)
	l.observe(order.RefundObserved{IntentID: "pi_1", StripeID: "re_2", State: order.RefundSucceeded, Currency: "EUR", Amount: 400, Time: t0})
	l.wantUnmatched("once a part of it is known", 600)
}

// A sum is counted when the refund that Stripe was asked for was not made, and stays counted while Stripe is asked again.
func TestSumOfARefundThatIsNotMade(t *testing.T) {
	t.Parallel()
	for name, fact := range map[string]order.Fact{
		"refused":       order.RefundRefused{RefundID: "first", Attempt: 1, Code: "charge_not_refundable"},
		"delayed":       order.RefundDelayed{RefundID: "first", Attempt: 1, Code: "balance_insufficient"},
		"lost":          order.RefundAttemptLost{RefundID: "first", Attempt: 1},
		"all went back": order.RefundRefused{RefundID: "first", Attempt: 1, Code: "charge_already_refunded"},
	} {
		l := newLife(t).sold()
		want := int64(1000)
		if name == "all went back" {
			want = l.order.TotalMinorUnits
		}
		l.observe(part("first", 1000), l.sumOf(1000), order.RefundsListed{IntentID: "pi_1"}, fact)
		l.wantUnmatched(name, want)
		if got := l.order.Refunded(); got != want {
			t.Errorf("%s: %d are refunded, want %d", name, got, want)
		}
		if l.order.Payment != order.PaymentPartiallyRefunded && name != "all went back" {
			t.Errorf("%s: the order is %s", name, l.order.Payment)
		}
		l.observe(order.RefundsListed{IntentID: "pi_1"})
		l.wantUnmatched(name+", listed again", want)
	}
}
