package order

// feeFound is why the case of a fee that was waited for is closed.
const feeFound = "Stripe reported the charge with its balance transaction."

// FeeOverdue is the fact that Stripe has been asked for long enough what it kept of a captured intent.
type FeeOverdue struct {
	PaymentIntentRow string // ours
}

// observe leaves it to a person: the fee is not booked, and without a charge neither is there a sign of the capture beside the
// intent's own word. What is reported after that is booked all the same, and closes the case.
func (f FeeOverdue) observe(d *decision) error {
	p := d.order.IntentByID(f.PaymentIntentRow)
	if p == nil || p.BalanceTransactionID != "" {
		return nil
	}
	c := ReviewCase{
		Kind: CaseFeeUnmatched, Subject: p.StripeID, Intent: p.StripeID, Facts: map[string]string{"charge_id": p.ChargeID},
		Action: "Stripe has not said for an hour what it kept of this payment, so its fee is not booked. Look at the charge at Stripe; it is booked by itself when Stripe reports it.",
	}
	if p.ChargeID == "" {
		c.Kind = CaseCaptureUnmatched
		c.Action = "Stripe says that this payment is captured and has shown no charge for an hour. Look at the payment at Stripe, and ask its support if it has none."
	}
	d.raise(c)
	return nil
}
