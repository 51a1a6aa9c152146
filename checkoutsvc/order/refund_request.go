package order

import (
	"fmt"
	"slices"
	"time"

	"github.com/dayof/dayof/internal/money"
)

// RefundRequest is the fact that staff ask for a refund.
type RefundRequest struct {
	// ID is of the refund to be; it is the caller's, to find it in the order.
	ID string
	// IntentID names the payment at Stripe whose money goes back; empty means the one that the order is about. The money of another
	// one, such as a duplicate payment, bought nothing: it goes back without any ticket.
	IntentID string
	// TicketIDs name tickets to refund and to void; none means money of the order.
	TicketIDs []string
	// Amount is what to refund; nil means the tickets' prices, or all that is left. With tickets it is at most their prices.
	Amount *Amount
	Note   string
	// By is who asks, for the timeline.
	By string
}

// Amount is money of a request.
type Amount struct {
	Currency   string
	MinorUnits int64
}

// observe writes the refund, under the order's lock, so that parallel refunds never add up to more than was captured.
//
// A ticket is refunded once: a refund voids the tickets that it names, and one that is void, or will be, refuses another.
//
// Reasons: ORDER_NOT_PAID, PAYMENT_INTENT_NOT_FOUND, ORDER_DISPUTED, TICKET_NOT_FOUND, TICKET_VOID, CURRENCY_MISMATCH,
// INVALID_FIELD, REFUND_EXCEEDS_PRICE, REFUND_EXCEEDS_CAPTURED.
func (f RefundRequest) observe(d *decision) error {
	p, err := refundedIntent(&d.order, f)
	if err != nil {
		return err
	}
	amount, err := refundAmount(&d.order, p, f)
	if err != nil {
		return err
	}
	d.requestRefund(p, f.By, Refund{
		ID: f.ID, AmountMinorUnits: amount, Reason: RefundByRequest, Note: f.Note, TicketIDs: refundTickets(&d.order, p, f, amount),
	})
	return nil
}

// requestRefund writes a refund of an intent's money and has Stripe make it.
func (d *decision) requestRefund(p *PaymentIntent, by string, r Refund) {
	o := &d.order
	r.PaymentIntent, r.Currency, r.State, r.CreateTime, r.Attempt = p.StripeID, p.Currency, RefundRequested, d.now, 1
	if o.PayingIntent == p.StripeID { // else the books have it as a bare receipt, without shares
		r.ApplicationFeeMinorUnits, r.Taxes = o.refundShares(o.PayingIntent, r.TicketIDs, r.AmountMinorUnits, d.returnsFee())
	}
	o.Refunds = append(o.Refunds, r)
	d.noteBy(by, "refund_requested", r.ID)
	d.settleTickets()
	d.enqueue(WorkSendRefund, r.ID)
}

// Refundable is what is captured and neither sent back nor about to be.
func (o *Order) Refundable() int64 {
	left := o.Captured()
	for _, r := range o.Refunds {
		if o.fundedBy(r.PaymentIntent) && !r.State.CameBack() {
			left -= r.AmountMinorUnits
		}
	}
	return left
}

// refundedIntent returns the intent whose money a request sends back.
func refundedIntent(o *Order, f RefundRequest) (*PaymentIntent, error) {
	p := o.Funding()
	if f.IntentID != "" {
		if p = o.IntentByStripeID(f.IntentID); p == nil {
			return nil, &Refusal{Reason: ReasonPaymentIntentNotFound, Detail: "the order has no such payment intent"}
		}
	}
	if p == nil && o.Free() {
		return nil, &Refusal{Reason: ReasonOrderNotPaid, Detail: "the order was free; release its tickets instead"}
	}
	if p == nil || p.CapturedMinorUnits == 0 {
		return nil, &Refusal{Reason: ReasonOrderNotPaid, Detail: "no money was captured for this order"}
	}
	return p, nil
}

// refundAmount checks a request for a refund of an intent and says how much it is about.
func refundAmount(o *Order, p *PaymentIntent, f RefundRequest) (int64, error) {
	if o.anyDispute(p.StripeID, DisputeNeedsResponse, DisputeUnderReview, DisputeLost) {
		return 0, &Refusal{Reason: ReasonOrderDisputed, Detail: "the payment is disputed; Stripe refuses refunds, answer the dispute there"}
	}
	left := o.left(p.StripeID, "")
	amount := left
	if len(f.TicketIDs) > 0 {
		if !o.fundedBy(p.StripeID) {
			return 0, &Refusal{Reason: ReasonInvalidField, Field: "ticket_ids", Detail: "the payment bought no ticket; name none to refund it"}
		}
		if err := o.checkTickets(f.TicketIDs); err != nil {
			return 0, err
		}
		var err error
		if amount, err = o.priceOf(f.TicketIDs); err != nil {
			return 0, err
		}
		if amount == 0 {
			return 0, &Refusal{Reason: ReasonRefundExceedsPrice, Detail: "the tickets cost nothing; release them instead"}
		}
	}
	if a := f.Amount; a != nil {
		switch {
		case a.Currency != p.Currency:
			return 0, &Refusal{Reason: ReasonCurrencyMismatch, Detail: "amount.currency: the payment is in " + p.Currency}
		case a.MinorUnits <= 0:
			return 0, &Refusal{Reason: ReasonInvalidField, Field: "amount.minor_units", Detail: "must be above zero"}
		case len(f.TicketIDs) > 0 && a.MinorUnits > amount:
			return 0, &Refusal{
				Reason: ReasonRefundExceedsPrice, Detail: fmt.Sprintf("the tickets cost %s; refund more without naming tickets", money.Money{Currency: o.Currency, MinorUnits: amount}),
			}
		}
		amount = a.MinorUnits
	}
	if amount <= 0 || amount > left {
		return 0, &Refusal{
			Reason: ReasonRefundExceedsCaptured,
			Detail: fmt.Sprintf("%s are left to refund", money.Money{Currency: p.Currency, MinorUnits: left}),
		}
	}
	return amount, nil
}

// checkTickets refuses tickets that a request for a refund cannot name: unknown ones, and those that are void or will be.
func (o *Order) checkTickets(ids []string) error {
	for i, id := range ids {
		t := o.Ticket(id)
		switch {
		case t == nil:
			return &Refusal{Reason: ReasonTicketNotFound, Detail: fmt.Sprintf("ticket_ids[%d]: the order has no such ticket", i)}
		case o.Replacement(id) != nil:
			return &Refusal{
				Reason: ReasonTicketVoid, Detail: fmt.Sprintf("ticket_ids[%d]: the ticket was replaced by another one; name that", i),
			}
		case t.State == TicketVoid, o.ticketRefunded(id), o.ticketRefundRequested(id):
			return &Refusal{
				Reason: ReasonTicketVoid, Detail: fmt.Sprintf("ticket_ids[%d]: the ticket is void, or a refund that voids it is on its way", i),
			}
		}
	}
	return nil
}

// priceOf is what tickets of the order were sold for.
func (o *Order) priceOf(ticketIDs []string) (int64, error) {
	var sum int64
	for _, id := range ticketIDs {
		snapshot, err := o.Ticket(id).ReadSnapshot()
		if err != nil {
			return 0, err
		}
		sum += snapshot.Price.MinorUnits
	}
	return sum, nil
}

// refundTickets are the tickets that a refund of an intent voids: those that were named, or all when everything that was paid for
// them goes back at once.
func refundTickets(o *Order, p *PaymentIntent, f RefundRequest, amount int64) []string {
	if len(f.TicketIDs) > 0 || !o.fundedBy(p.StripeID) || amount < p.CapturedMinorUnits {
		return f.TicketIDs
	}
	var ids []string
	for _, t := range o.Tickets {
		if o.Replacement(t.ID) == nil {
			ids = append(ids, t.ID)
		}
	}
	return ids
}

// FraudRefundDue is the fact that a fraud warning is to be acted on, as the policy wants it.
type FraudRefundDue struct {
	WarningID      string
	EventStartTime time.Time
}

// observe refunds all tickets that are neither used nor void, before the event begins. When all of the order's tickets are
// among them, everything that is left goes back. It decides by what is known when it runs: a warning that can no longer be
// acted on, a dispute, an event that began, tickets that were used or refunded meanwhile leave it to a person.
func (f FraudRefundDue) observe(d *decision) error {
	o := &d.order
	if !refundsFraud(o, f, d.now) {
		return nil
	}
	var ids []string
	for _, t := range o.Tickets {
		unused := t.State == TicketValid || t.State == TicketSuspended || t.State == TicketReserved // that replaces another one
		if unused && !o.ticketRefundRequested(t.ID) {
			ids = append(ids, t.ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	amount, err := o.priceOf(ids)
	if err != nil {
		return err
	}
	if len(ids) == o.TicketCount() || amount > o.Refundable() {
		amount = o.Refundable()
	}
	d.requestRefund(o.Paying(), "", Refund{ID: d.policy.NewID(), AmountMinorUnits: amount, Reason: RefundFraud, TicketIDs: ids})
	return nil
}

// refundsFraud says whether a warning still calls for a refund by itself.
func refundsFraud(o *Order, f FraudRefundDue, now time.Time) bool {
	i := slices.IndexFunc(o.Warnings, func(w FraudWarning) bool { return w.ID == f.WarningID })
	return i >= 0 && o.Warnings[i].Actionable && o.Fulfilment == FulfilmentCompleted && o.PayingIntent == o.Warnings[i].PaymentIntent &&
		now.Before(f.EventStartTime) && len(o.Disputes) == 0 && o.Refundable() > 0 &&
		!slices.ContainsFunc(o.Refunds, func(r Refund) bool { return r.Reason == RefundFraud })
}
