package order

import (
	"fmt"
	"time"

	"github.com/dayof/dayof/internal/money"
)

// RefundPolicy says how tickets of an event are refunded. A line keeps the policy that it was sold under.
type RefundPolicy struct {
	// BuyerSecondsBeforeStart is until how long before the start buyers may give tickets back by themselves; nil: never.
	BuyerSecondsBeforeStart *int64 `json:"buyer_seconds_before_start,omitempty"`
	// KeptBasisPoints are what is kept of the price of a ticket that its buyer gives back, in hundredths of a percent.
	KeptBasisPoints int32                `json:"kept_basis_points,omitempty"`
	ApplicationFee  ApplicationFeeRefund `json:"application_fee,omitempty"`
}

// ApplicationFeeRefund says what becomes of the platform's fee when a ticket is refunded.
type ApplicationFeeRefund string

// What may become of the platform's fee.
const (
	ApplicationFeeAsConfigured ApplicationFeeRefund = ""         // as [Policy] says
	ApplicationFeeReturned     ApplicationFeeRefund = "returned" // it goes back
	ApplicationFeeKept         ApplicationFeeRefund = "kept"     // it stays, and buyers who give tickets back do not get it
)

// basisPoints are the whole.
const basisPoints = 10000

// refundPolicy is what the order was sold under: all its lines are of one event.
func (o *Order) refundPolicy() RefundPolicy {
	if len(o.Lines) > 0 {
		if s, err := readSnapshot(o.Lines[0].SnapshotSchema, o.Lines[0].Snapshot); err == nil && s.RefundPolicy != nil {
			return *s.RefundPolicy
		}
	}
	return RefundPolicy{}
}

// keptOf is what is kept of the price of a ticket whose price has these parts.
func (p RefundPolicy) keptOf(price int64, parts *PriceParts) int64 {
	kept := price / basisPoints * int64(p.KeptBasisPoints)
	kept += price % basisPoints * int64(p.KeptBasisPoints) / basisPoints
	if p.ApplicationFee == ApplicationFeeKept && parts != nil {
		kept += parts.ApplicationFeeMinorUnits
	}
	return min(kept, price)
}

// BuyerRefund is the fact that the buyer gives tickets back.
type BuyerRefund struct {
	// ID is of the refund to be; it is the caller's, to find it in the order.
	ID        string
	TicketIDs []string
	// Expected is what the buyer was shown; nil accepts any.
	Expected *Amount
}

// observe writes the refund, under the order's lock, as [RefundRequest] does.
//
// Reasons: those of [Order.BuyerRefundOf], TOTAL_CHANGED, CURRENCY_MISMATCH.
func (f BuyerRefund) observe(d *decision) error {
	back, err := d.order.BuyerRefundOf(f.TicketIDs, d.now)
	switch {
	case err != nil:
		return err
	case f.Expected == nil:
	case f.Expected.Currency != d.order.Currency:
		return &Refusal{Reason: ReasonCurrencyMismatch, Detail: "expected_amount.currency: the order is in " + d.order.Currency}
	case f.Expected.MinorUnits != back.MinorUnits:
		return &Refusal{Reason: ReasonTotalChanged, Detail: fmt.Sprintf("%s would go back now, show it to the buyer and try again with a new key",
			money.Money{Currency: d.order.Currency, MinorUnits: back.MinorUnits})}
	}
	d.requestRefund(d.order.Paying(), "buyer", Refund{ID: f.ID, AmountMinorUnits: back.MinorUnits, Reason: RefundByRequest, TicketIDs: f.TicketIDs})
	return nil
}

// BuyerRefundOffer is what the buyer gets back for tickets.
type BuyerRefundOffer struct {
	MinorUnits, KeptMinorUnits int64
	Deadline                   *time.Time // nil: never over
}

// BuyerRefundOf says what the buyer would get back for tickets now. Of a canceled event that is all, at any time.
//
// Reasons: ORDER_NOT_PAID, BUYER_REFUND_CLOSED, TICKET_NOT_FOUND, TICKET_VOID, TICKET_NOT_VALID, ORDER_DISPUTED, REFUND_EXCEEDS_CAPTURED,
// REFUND_KEEPS_ALL.
func (o *Order) BuyerRefundOf(ticketIDs []string, now time.Time) (BuyerRefundOffer, error) {
	var offer BuyerRefundOffer
	if o.Paying() == nil {
		return offer, &Refusal{Reason: ReasonOrderNotPaid, Detail: "no money was captured for this order"}
	}
	policy := o.refundPolicy()
	if o.Schedule.Canceled() {
		policy = RefundPolicy{}
	} else {
		if policy.BuyerSecondsBeforeStart == nil {
			return offer, &Refusal{Reason: ReasonBuyerRefundClosed, Detail: "only the organiser's staff refund tickets of this order; ask them"}
		}
		deadline := o.Schedule.StartTime.Add(-time.Duration(*policy.BuyerSecondsBeforeStart) * time.Second)
		if offer.Deadline = &deadline; !now.Before(deadline) {
			return offer, &Refusal{Reason: ReasonBuyerRefundClosed, Detail: "tickets could be given back until " + deadline.UTC().Format(time.RFC3339) + "; ask the organiser's staff"}
		}
	}
	price, err := refundAmount(o, o.Paying(), RefundRequest{TicketIDs: ticketIDs})
	if err != nil {
		return offer, err
	}
	for i, id := range ticketIDs {
		t := o.Ticket(id)
		if !o.givesBack(t) {
			return offer, &Refusal{Reason: ReasonTicketNotValid, Detail: fmt.Sprintf("ticket_ids[%d]: the ticket is %s; ask the organiser's staff", i, t.State)}
		}
		each, err := o.priceOf([]string{id})
		if err != nil {
			return offer, err
		}
		offer.KeptMinorUnits += policy.keptOf(each, o.partsOf(t))
	}
	if offer.MinorUnits = price - offer.KeptMinorUnits; offer.MinorUnits == 0 {
		return offer, &Refusal{Reason: ReasonRefundKeepsAll, Detail: "of these tickets nothing goes back"}
	}
	return offer, nil
}

// givesBack says whether the buyer may give a ticket back: one of their own that admits, or would if the event took place.
func (o *Order) givesBack(t *Ticket) bool {
	return !t.Transferred() && (t.State == TicketValid || t.State == TicketSuspended && o.Schedule.Canceled() && !o.TicketsHeld())
}

// partsOf are the parts of a ticket's price; nil when they are not known.
func (o *Order) partsOf(t *Ticket) *PriceParts {
	if l, k := o.sold(t); l != nil {
		return l.partsOf(k)
	}
	return nil
}
