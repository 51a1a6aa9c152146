package stripe

import "encoding/json"

const kindRefund = "refund"

// States of a refund.
const (
	refundPending        = "pending"
	refundRequiresAction = "requires_action"
	refundSucceeded      = "succeeded"
	refundFailed         = "failed"
	refundCanceled       = "canceled"
)

// Refund is the v1 resource, with the fields of version 2023-10-16. The amount is in minor units.
type Refund struct {
	ID                        string            `json:"id"`
	Object                    string            `json:"object"`
	Amount                    int64             `json:"amount"`
	BalanceTransaction        ref               `json:"balance_transaction"`
	Charge                    ref               `json:"charge"`
	Created                   int64             `json:"created"`
	Currency                  string            `json:"currency"`
	DestinationDetails        json.RawMessage   `json:"destination_details,omitempty"`
	FailureBalanceTransaction ref               `json:"failure_balance_transaction,omitzero"`
	FailureReason             string            `json:"failure_reason,omitempty"`
	Metadata                  map[string]string `json:"metadata"`
	PaymentIntent             ref               `json:"payment_intent"`
	Reason                    *string           `json:"reason"`
	ReceiptNumber             *string           `json:"receipt_number"`
	SourceTransferReversal    ref               `json:"source_transfer_reversal"`
	Status                    string            `json:"status"`
	TransferReversal          ref               `json:"transfer_reversal"`
}

func (re *Refund) objectID() string { return re.ID }
func (re *Refund) kind() string     { return kindRefund }
func (re *Refund) clone() object    { return re.copy() }
func (re *Refund) createdAt() int64 { return re.Created }

func (re *Refund) copy() *Refund { c := *re; return &c }

func (re *Refund) expandable(name string) *ref {
	switch name {
	case "charge":
		return &re.Charge
	case "payment_intent":
		return &re.PaymentIntent
	case "balance_transaction":
		return &re.BalanceTransaction
	case "failure_balance_transaction":
		return &re.FailureBalanceTransaction // may be asked for before there is one
	case "transfer_reversal":
		return &re.TransferReversal
	case "source_transfer_reversal":
		return &re.SourceTransferReversal
	}
	return nil
}

const (
	pendingDestination = `{"card":{"reference_status":"pending","reference_type":"acquirer_reference_number","type":"refund"},"type":"card"}`
	sepaDestination    = `{"sepa_debit":{},"type":"sepa_debit"}`
)

func (s *Server) createRefund(r *request) (any, *apiError) {
	p := r.params
	p.allow("charge", "payment_intent", "amount", "reason", "metadata[*]", "refund_application_fee", "reverse_transfer",
		"instructions_email", "origin", "customer", "currency")
	p.unsupported("instructions_email", "origin", "customer", "currency")
	asked := refundRequest{
		amount: p.positive("amount"), reason: p.optional("reason"), metadata: p.metadata(nil),
		returnFee: p.boolean("refund_application_fee"), reverseTransfer: p.boolean("reverse_transfer"),
	}
	if asked.reason != nil {
		p.choice("reason", "duplicate", "fraudulent", "requested_by_customer")
	}
	if p.text("charge") == "" && p.text("payment_intent") == "" {
		p.fail(invalid("", "parameter_missing", "One of the following params should be provided for this request: payment_intent or charge."))
	}
	if p.err != nil {
		return nil, p.err
	}
	return s.change(r, func(c *change) (object, *apiError) {
		ch, e := c.chargeToRefund(p.text("charge"), p.text("payment_intent"))
		if e != nil {
			return nil, e
		}
		return c.refund(ch, asked)
	})
}

// refundRequest is what a caller asks for; a nil amount is all that is left.
type refundRequest struct {
	amount          *int64
	reason          *string
	metadata        map[string]string
	returnFee       bool // give the platform's application fee back too, in proportion
	reverseTransfer bool // take the money back from the destination account, in proportion
}

func (c *change) chargeToRefund(chargeID, intentID string) (*Charge, *apiError) {
	if chargeID != "" {
		ch, ok := find[*Charge](c.store, c.account, chargeID)
		if !ok {
			return nil, missing(kindCharge, chargeID, "charge")
		}
		if intentID != "" && ch.PaymentIntent.id != intentID {
			return nil, refused("payment_intent", "", "The charge %s does not belong to the PaymentIntent %s.", chargeID, intentID)
		}
		return ch, nil
	}
	pi, ok := find[*PaymentIntent](c.store, c.account, intentID)
	if !ok {
		return nil, missing(kindPaymentIntent, intentID, "payment_intent")
	}
	ch, ok := find[*Charge](c.store, c.account, pi.LatestCharge.id)
	if !ok || ch.Status != chargeSucceeded || !ch.Captured {
		return nil, refused("payment_intent", "", "This PaymentIntent (%s) does not have a successful charge to refund.", intentID)
	}
	return ch, nil
}

// refund gives money back. It succeeds at first for most cards and may fail days later, see failRefund.
func (c *change) refund(ch *Charge, asked refundRequest) (*Refund, *apiError) {
	amount := ch.unrefunded()
	if asked.amount != nil {
		amount = *asked.amount
	}
	if e := c.refundable(ch, amount); e != nil {
		return nil, e
	}
	method, _ := find[*PaymentMethod](c.store, c.account, ch.PaymentMethod)
	if asked.reverseTransfer && ch.Transfer == "" {
		return nil, refused("reverse_transfer", "", "Cannot reverse the transfer of charge %s because it has none.", ch.ID)
	}
	if asked.returnFee && ch.ApplicationFee.id == "" {
		return nil, refused("refund_application_fee", "", "Cannot refund the application fee of charge %s because it has none.", ch.ID)
	}
	re := &Refund{
		ID: c.newID("re_"), Object: kindRefund, Amount: amount, Charge: refTo(ch.ID), Created: c.unix(), Currency: ch.Currency,
		DestinationDetails: json.RawMessage(pendingDestination), Metadata: asked.metadata, PaymentIntent: ch.PaymentIntent,
		Reason: asked.reason, Status: refundSucceeded,
	}
	kind := "refund"
	if method != nil && method.SepaDebit != nil {
		re.Status, re.DestinationDetails, kind = refundPending, json.RawMessage(sepaDestination), "payment_refund"
	}
	if instrumentOf(method).refund == refundPending {
		re.Status = refundPending
	}
	re.BalanceTransaction = refTo(c.move(movement{
		kind: kind, category: "refund", source: re.ID, currency: ch.Currency, amount: -amount, description: new("REFUND FOR CHARGE"),
		fees: c.unshare(ch, re, asked), conversion: c.settlementOf(ch.ID),
	}).ID)
	refunded := ch.copy()
	refunded.AmountRefunded += amount
	refunded.Refunded = refunded.AmountRefunded == refunded.Amount
	c.save(re, refunded)
	if !c.s.settings.LegacyRefundEvents {
		c.emit("refund.created", re, nil)
	}
	previous := map[string]any{"amount_refunded": ch.AmountRefunded}
	if refunded.Refunded {
		previous["refunded"] = false
	}
	c.emit("charge.refunded", refunded, previous)
	return re, nil
}

// unshare takes back, in proportion, what share gave away. What the platform returns of its fee on a direct charge is a
// negative fee of the refund's own balance transaction.
func (c *change) unshare(ch *Charge, re *Refund, asked refundRequest) []feeDetail {
	part := func(total, done int64) int64 {
		if re.Amount == ch.unrefunded() {
			return total - done
		}
		return total * re.Amount / ch.AmountCaptured
	}
	if tr, ok := find[*Transfer](c.store, c.account, ch.Transfer); ok && asked.reverseTransfer {
		if amount := part(tr.Amount, tr.AmountReversed); amount > 0 {
			re.TransferReversal = refTo(c.reverse(tr, amount, map[string]string{}, re.ID).ID)
		}
	}
	fee, ok := find[*ApplicationFee](c.store, "", ch.ApplicationFee.id)
	if !ok || !asked.returnFee {
		return nil
	}
	amount := part(fee.Amount, fee.AmountRefunded)
	if amount == 0 {
		return nil
	}
	c.returnFee(fee, amount, map[string]string{}, c.account == "")
	if c.account == "" {
		return nil
	}
	return []feeDetail{{
		Amount: -amount, Application: new(sandboxApplication), Currency: ch.Currency, Description: "application fee refund", Type: "application_fee",
	}}
}

// refundable refuses what Stripe refuses: nothing captured, nothing left, too much, or a chargeback under way.
func (c *change) refundable(ch *Charge, amount int64) *apiError {
	switch {
	case ch.Status != chargeSucceeded || !ch.Captured:
		return refused("charge", "", "Charge %s has not been captured or has failed; there is nothing to refund.", ch.ID)
	case ch.Refunded || ch.unrefunded() == 0:
		return refused("", "charge_already_refunded", "Charge %s has already been refunded.", ch.ID)
	case c.chargedBack(ch):
		return refused("", "charge_disputed", "Charge %s has been charged back; cannot issue a refund.", ch.ID)
	case amount > ch.unrefunded():
		return refused("amount", "", "Refund amount (%s) is greater than unrefunded amount on charge (%s)",
			formatAmount(amount, ch.Currency), formatAmount(ch.unrefunded(), ch.Currency))
	case c.s.settings.RefundsNeedBalance && amount > c.available(ch.Currency):
		return refused("", "balance_insufficient", "Insufficient funds in Stripe account. In test mode, you can add funds to your available balance "+
			"(bypassing your pending balance) by creating a charge with 4000000000000077 as the card number.")
	}
	return nil
}

func (s *Server) getRefund(r *request) (any, *apiError) {
	r.params.allow()
	return get[*Refund](s, r, kindRefund, "id")
}

func (s *Server) listRefunds(r *request) (any, *apiError) {
	p := r.params
	p.allow(append([]string{"charge", "payment_intent"}, pageParams...)...)
	parent := p.text("charge")
	if parent == "" {
		parent = p.text("payment_intent")
	}
	return pageOf(s, r, kindRefund, parent, func(re *Refund) bool {
		intent := p.text("payment_intent")
		return intent == "" || re.PaymentIntent.id == intent
	})
}

func (s *Server) updateRefund(r *request) (any, *apiError) {
	p := r.params
	p.allow("metadata[*]")
	return s.change(r, func(c *change) (object, *apiError) {
		old, e := c.refundOf(r)
		if e != nil {
			return nil, e
		}
		re := old.copy()
		re.Metadata = p.metadata(old.Metadata)
		if p.err != nil {
			return nil, p.err
		}
		c.save(re)
		c.refundChanged(re, map[string]any{"metadata": old.Metadata})
		return re, nil
	})
}

func (s *Server) cancelRefund(r *request) (any, *apiError) {
	r.params.allow()
	if r.params.err != nil {
		return nil, r.params.err
	}
	return s.change(r, func(c *change) (object, *apiError) {
		re, e := c.refundOf(r)
		if e != nil {
			return nil, e
		}
		canceled, e := c.lapse(re)
		if e != nil {
			return nil, e
		}
		return canceled, nil
	})
}

func (c *change) refundOf(r *request) (*Refund, *apiError) {
	id := r.http.PathValue("id")
	re, ok := find[*Refund](c.store, c.account, id)
	if !ok {
		return nil, missing(kindRefund, id, "id")
	}
	return re, nil
}

// refundChanged reports a change of a refund that moved no money.
func (c *change) refundChanged(re *Refund, previous map[string]any) {
	if !c.s.settings.LegacyRefundEvents {
		c.emit("refund.updated", re, previous)
	}
	c.emit("charge.refund.updated", re, previous)
}

// askBuyer has a pending refund wait for the buyer, who must say where the money shall go.
func (c *change) askBuyer(old *Refund) (*Refund, *apiError) {
	if old.Status != refundPending {
		return nil, refused("", "", "Refund %s has a status of %s: only a pending refund can require an action.", old.ID, old.Status)
	}
	re := old.copy()
	re.Status = refundRequiresAction
	c.save(re)
	c.refundChanged(re, map[string]any{"status": old.Status})
	return re, nil
}

// lapse cancels a refund that the buyer never acted on, and the money is back.
func (c *change) lapse(re *Refund) (*Refund, *apiError) {
	if re.Status != refundRequiresAction {
		return nil, refused("", "", "Refund %s cannot be canceled because it has a status of %s. Only a refund with status requires_action may be canceled.", re.ID, re.Status)
	}
	canceled := re.copy()
	canceled.Status = refundCanceled
	c.returnRefund(canceled)
	c.refundChanged(canceled, map[string]any{"status": re.Status})
	return canceled, nil
}

// settleRefund completes a pending refund.
func (c *change) settleRefund(old *Refund) (*Refund, *apiError) {
	if old.Status != refundPending {
		return nil, refused("", "", "Refund %s has a status of %s: only a pending refund can succeed.", old.ID, old.Status)
	}
	re := old.copy()
	re.Status = refundSucceeded
	c.save(re)
	c.refundChanged(re, map[string]any{"status": old.Status})
	return re, nil
}

// failRefund returns the money of a refund that the buyer's bank did not take, possibly days after it had succeeded.
func (c *change) failRefund(old *Refund, reason string) (*Refund, *apiError) {
	if old.Status != refundPending && old.Status != refundSucceeded {
		return nil, refused("", "", "Refund %s has a status of %s: only a pending or succeeded refund can fail.", old.ID, old.Status)
	}
	re := old.copy()
	re.Status, re.FailureReason = refundFailed, reason
	c.returnRefund(re)
	previous := map[string]any{"status": old.Status, "failure_balance_transaction": nil, "failure_reason": nil}
	if !c.s.settings.LegacyRefundEvents {
		c.emit("refund.failed", re, previous)
	}
	c.emit("charge.refund.updated", re, previous)
	return re, nil
}

// returnRefund puts the refunded amount back on the balance and lowers what the charge shows as refunded.
func (c *change) returnRefund(re *Refund) {
	re.FailureBalanceTransaction = refTo(c.move(movement{
		kind: "refund_failure", category: "refund_failure", source: re.ID, currency: re.Currency, amount: re.Amount,
		description: new("REFUND FAILURE"), conversion: c.settlementOf(re.Charge.id),
	}).ID)
	c.save(re)
	if ch, ok := find[*Charge](c.store, c.account, re.Charge.id); ok {
		ch = ch.copy()
		ch.AmountRefunded -= re.Amount
		ch.Refunded = false
		c.save(ch)
	}
}

// reference gives a refund the acquirer's number by which the buyer's bank can find it.
func (c *change) reference(old *Refund, number string) *Refund {
	re := old.copy()
	re.DestinationDetails = mustJSON(map[string]any{"card": map[string]any{
		"reference": number, "reference_status": "available", "reference_type": "acquirer_reference_number", "type": "refund",
	}, "type": "card"})
	c.save(re)
	c.refundChanged(re, map[string]any{"destination_details": map[string]any{"card": map[string]any{
		"reference": nil, "reference_status": "pending",
	}}})
	return re
}
