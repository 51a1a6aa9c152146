package order_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/dayof/dayof/checkoutsvc/order"
)

// twicePaid is a sold order with a duplicate payment pi_2, whose refund came back to us.
func twicePaid(t *testing.T) *life {
	t.Helper()
	l := newLife(t).sold()
	l.observe(l.paid("pi_2"))
	l.observe(order.RefundObserved{
		IntentID: "pi_2", RefundID: l.order.Refunds[0].ID, StripeID: "re_1", State: order.RefundFailed, Currency: "EUR", Amount: 3 * price,
		FailureCode: "lost_or_stolen_card", Time: l.now,
	})
	return l
}

// A payment that bought nothing is refunded by its intent, again when that failed, and no ticket is touched.
func TestRefundNamesItsIntent(t *testing.T) {
	t.Parallel()
	l := twicePaid(t)
	if len(l.changes.Cases) != 1 || l.changes.Cases[0].Kind != order.CaseRefundFailed || l.changes.Cases[0].Subject != l.order.Refunds[0].ID {
		t.Fatalf("cases %+v, want refund_failed", l.changes.Cases)
	}
	l.observe(order.RefundRequest{ID: "again", IntentID: "pi_2"})
	again := l.order.Refund("again")
	if again.PaymentIntent != "pi_2" || again.AmountMinorUnits != 3*price || again.ApplicationFeeMinorUnits != 0 || len(again.Taxes) != 0 || len(again.TicketIDs) != 0 {
		t.Errorf("the refund is %+v", again)
	}
	l.want(order.PaymentPaid, order.FulfilmentCompleted, order.TicketValid)
	l.observe(order.RefundObserved{
		IntentID: "pi_2", RefundID: "again", StripeID: "re_2", State: order.RefundSucceeded, Currency: "EUR", Amount: 3 * price, Time: l.now,
	})
	l.want(order.PaymentPaid, order.FulfilmentCompleted, order.TicketValid)
	if !slices.ContainsFunc(l.changes.Resolved, func(r order.ResolvedCase) bool {
		return r.Kind == order.CaseRefundFailed && r.Subject == l.order.Refunds[0].ID
	}) {
		t.Errorf("the case stays open: resolved %+v", l.changes.Resolved)
	}
	l.observe(order.RefundRequest{ID: "whole", IntentID: "pi_1"}) // the paying intent by its name: as without one
	l.want(order.PaymentPaid, order.FulfilmentCompleted, order.TicketSuspended)
}

func TestRefundOfAnIntentIsRefused(t *testing.T) {
	t.Parallel()
	eur := func(n int64) *order.Amount { return &order.Amount{Currency: "EUR", MinorUnits: n} }
	for name, c := range map[string]struct {
		request order.RefundRequest
		before  order.Fact
		want    order.Reason
	}{
		"somebody else's":             {request: order.RefundRequest{IntentID: "pi_9"}, want: order.ReasonPaymentIntentNotFound},
		"tickets that it did not buy": {request: order.RefundRequest{IntentID: "pi_2", TicketIDs: []string{"id2"}}, want: order.ReasonInvalidField},
		"more than it captured":       {request: order.RefundRequest{IntentID: "pi_2", Amount: eur(3*price + 1)}, want: order.ReasonRefundExceedsCaptured},
		"more than is left": {
			request: order.RefundRequest{IntentID: "pi_2", Amount: eur(3 * price)}, want: order.ReasonRefundExceedsCaptured,
			before: order.RefundRequest{ID: "part", IntentID: "pi_2", Amount: eur(1)},
		},
		"disputed": {
			request: order.RefundRequest{IntentID: "pi_2"}, want: order.ReasonOrderDisputed,
			before: order.DisputeObserved{ID: "du_1", IntentID: "pi_2", Status: order.DisputeNeedsResponse, Currency: "EUR", AmountMinorUnits: 3 * price},
		},
		"without money": {
			request: order.RefundRequest{IntentID: "pi_3"}, want: order.ReasonOrderNotPaid,
			before: order.Payment{IntentID: "pi_3", Status: order.IntentProcessing, Currency: "EUR", Adopt: true},
		},
	} {
		l := twicePaid(t)
		if c.before != nil {
			l.observe(c.before)
		}
		err := l.try(c.request)
		if refusal, ok := errors.AsType[*order.Refusal](err); !ok || refusal.Reason != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}
