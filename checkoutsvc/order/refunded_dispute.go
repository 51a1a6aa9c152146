package order

import (
	"slices"
	"strconv"
	"strings"
)

// A bank may ask for money that went back already. Stripe takes it all the same, and when the dispute is lost the buyer has it twice.
// The refunds win most of these disputes, so that a person sends them as evidence; of one that is lost, somebody must ask the
// buyer for it. The ledger books both: the organiser bears the loss, or the platform that of money that bought nothing.

// undecidedTwice says whether a dispute asks for more than refunds left of the payment, and did not end in our favour.
func (o *Order) undecidedTwice(x Dispute) bool {
	p := o.IntentByStripeID(x.PaymentIntent)
	if p == nil || p.CapturedMinorUnits == 0 || p.Currency != x.Currency || x.Status.Closed() && x.Status != DisputeLost {
		return false
	}
	back, _ := o.refundsOf(x.PaymentIntent)
	return back > 0 && back+x.AmountMinorUnits > p.CapturedMinorUnits
}

// followRefundedDisputes raises the case of a dispute of refunded money, whichever of the two was reported first, and closes it when the
// dispute ended in our favour.
func (d *decision) followRefundedDisputes(before *Order) {
	o := &d.order
	for _, x := range o.Disputes {
		known := before.Dispute(x.ID)
		was, is := known != nil && before.undecidedTwice(*known), o.undecidedTwice(x)
		if was && x.Status.Closed() && x.Status != DisputeLost {
			d.resolve(CaseRefundedDispute, x.ID, "The dispute ended without a loss.")
		}
		if was || !is {
			continue
		}
		sum, ids := o.refundsOf(x.PaymentIntent)
		slices.Sort(ids)
		d.raise(ReviewCase{
			Kind: CaseRefundedDispute, Subject: x.ID, Intent: x.PaymentIntent,
			Facts: map[string]string{
				"dispute_id": x.ID, "disputed_minor_units": strconv.FormatInt(x.AmountMinorUnits, 10), "currency": x.Currency,
				"refunded_minor_units": strconv.FormatInt(sum, 10), "stripe_refund_ids": strings.Join(ids, ","),
			},
			Action: "The bank asks for money that went back already. Send the refunds as evidence at Stripe before it is due. If the dispute is lost, the buyer has the money twice: ask for it back, or close this case as a loss; it is booked.",
		})
	}
}
