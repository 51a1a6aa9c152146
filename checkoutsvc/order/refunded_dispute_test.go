package order_test

import (
	"testing"

	"github.com/dayof/dayof/checkoutsvc/order"
)

// A dispute of money that went back is a case of its own, whichever is reported first, until it ends without a loss.
func TestDisputeOfRefundedMoney(t *testing.T) {
	t.Parallel()
	refund := order.RefundObserved{IntentID: "pi_1", StripeID: "re_1", State: order.RefundSucceeded, Currency: "EUR", Amount: 2 * price, Time: t0}
	dispute := order.DisputeObserved{ID: "du_1", IntentID: "pi_1", Status: order.DisputeNeedsResponse, Currency: "EUR", AmountMinorUnits: 2 * price}
	within := dispute
	within.AmountMinorUnits = price
	ended := func(s order.DisputeStatus) order.Fact { f := dispute; f.Status = s; return f }
	for name, c := range map[string]struct {
		facts        []order.Fact
		raised, open bool
	}{
		"refund first":            {[]order.Fact{refund, dispute}, true, true},
		"dispute first":           {[]order.Fact{dispute, refund}, true, true},
		"reported again":          {[]order.Fact{refund, dispute, refund, dispute}, true, true},
		"lost":                    {[]order.Fact{refund, dispute, ended(order.DisputeLost)}, true, true},
		"won":                     {[]order.Fact{refund, dispute, ended(order.DisputeWon)}, true, false},
		"won, the refund is late": {[]order.Fact{dispute, ended(order.DisputeWon), refund}, false, false},
		"of what is left":         {[]order.Fact{refund, within}, false, false},
	} {
		l := newLife(t).sold()
		raised, open := 0, false
		for _, f := range c.facts {
			l.observe(f)
			for _, item := range l.changes.Cases {
				if item.Kind == order.CaseRefundedDispute && item.Subject == "du_1" {
					raised++
					open = true
				}
			}
			for _, item := range l.changes.Resolved {
				open = open && item.Kind != order.CaseRefundedDispute
			}
		}
		if want := map[bool]int{true: 1}[c.raised]; raised != want || open != c.open {
			t.Errorf("%s: raised %d times, open %t; want %d, %t", name, raised, open, want, c.open)
		}
	}
}
