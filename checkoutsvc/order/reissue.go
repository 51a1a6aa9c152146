package order

import (
	"slices"
	"time"

	"github.com/dayof/dayof/internal/personal"
)

// Holder is who holds a ticket: its buyer, or whom it was transferred to.
type Holder struct {
	Name, Email personal.Text
	Language    string
}

// Holder says who holds a ticket of the order.
func (o *Order) Holder(t *Ticket) Holder {
	h := Holder{Name: o.BuyerName, Email: o.BuyerEmail, Language: o.Language}
	if t.HolderName != "" {
		h.Name = t.HolderName
	}
	if t.Transferred() {
		h.Email, h.Language = t.HolderEmail, t.HolderLanguage
	}
	return h
}

// Transferred says whether a ticket is not the buyer's any more: the buyer gets neither its code nor its pass.
func (t *Ticket) Transferred() bool { return t.HolderEmail != "" }

// Replacement returns the ticket that is in the place of another one; nil where none is.
func (o *Order) Replacement(id string) *Ticket {
	if i := slices.IndexFunc(o.Tickets, func(t Ticket) bool { return t.Replaces == id }); i >= 0 {
		return &o.Tickets[i]
	}
	return nil
}

// chain are a ticket and those that it replaces, the latest first.
func (o *Order) chain(id string) []string {
	var ids []string
	for t := o.Ticket(id); t != nil; t = o.Ticket(t.Replaces) {
		ids = append(ids, t.ID)
	}
	return ids
}

// VoidReason is why a ticket is void.
type VoidReason string

// The reasons of void tickets.
const (
	VoidByMoney     VoidReason = "money"       // refunded, charged back or withdrawn
	VoidTransferred VoidReason = "transferred" // a ticket of somebody else's replaces it
	VoidReissued    VoidReason = "reissued"    // a ticket of the same holder replaces it
)

// VoidReason says why a void ticket is void; empty for one that is not.
func (o *Order) VoidReason(t *Ticket) VoidReason {
	switch {
	case t.State != TicketVoid:
		return ""
	case o.Replacement(t.ID) == nil:
		return VoidByMoney
	case o.findTransfer(t.ID, TransferAccepted) != nil:
		return VoidTransferred
	default:
		return VoidReissued
	}
}

// replaceable returns a ticket that may be replaced by another one now, or says why it may not.
func (o *Order) replaceable(ticketID string, now time.Time) (*Ticket, error) {
	t := o.Ticket(ticketID)
	switch {
	case t == nil:
		return nil, &Refusal{Reason: ReasonTicketNotFound, Detail: "the order has no such ticket"}
	case o.Replacement(t.ID) != nil:
		return nil, &Refusal{Reason: ReasonTicketVoid, Detail: "the ticket was replaced by another one; name that"}
	case t.State == TicketVoid:
		return nil, &Refusal{Reason: ReasonTicketVoid, Detail: "the ticket is void"}
	case o.Schedule.Canceled():
		return nil, &Refusal{Reason: ReasonEventCanceled, Detail: "the event is canceled"}
	case !now.Before(o.Schedule.EndTime):
		return nil, &Refusal{Reason: ReasonEventEnded, Detail: "the event is over"}
	case t.State != TicketValid || o.ticketRefundRequested(t.ID):
		return nil, &Refusal{Reason: ReasonTicketNotValid, Detail: "the ticket is " + string(t.State) + "; only a valid one changes hands or is issued again"}
	}
	return t, nil
}

// successor is a new ticket that is the same admission for the same money and the same holder. It is void of a pass and admits nobody yet.
func (t *Ticket) successor() Ticket {
	return Ticket{
		OrderID: t.OrderID, EventID: t.EventID, VariantID: t.VariantID, VariantVersion: t.VariantVersion, Snapshot: t.Snapshot,
		SnapshotSchema: t.SnapshotSchema, Replaces: t.ID, HolderName: t.HolderName, HolderEmail: t.HolderEmail,
		HolderLanguage: t.HolderLanguage, HolderNumber: t.HolderNumber,
	}
}

// replaceTicket puts a new ticket in the place of the one that it replaces, which is void from this moment on. Nothing changes for money
// and stock: the sale of the order covers both. The new one admits once its pass is issued.
func (d *decision) replaceTicket(next Ticket) {
	o := &d.order
	next.ID, next.State, next.ChangeNumber = d.policy.NewID(), TicketReserved, 1
	next.Position = int32(len(o.Tickets) + 1)
	next.CodeKeyVersion, next.CreateTime, next.ScheduleNumber = d.policy.CodeKeyVersion, d.now, o.Schedule.Number
	next.TakeSeat(o.Ticket(next.Replaces))
	o.Tickets = append(o.Tickets, next)
	d.moveTicket(o.Ticket(next.Replaces), TicketVoid)
	d.enqueue(WorkIssuePass, next.ID)
}

// replacementsMax is how often an admission gets another ticket: more than anybody needs.
const replacementsMax = 50

// TicketReissue is the fact that a ticket's holder gets another one for it, because its code got about or a phone was lost.
type TicketReissue struct {
	TicketID string
	By       string // who asks, for the timeline
}

// observe replaces the ticket; an offer of it to somebody ends.
//
// Reasons: EVENT_CANCELED, EVENT_ENDED, TICKET_NOT_FOUND, TICKET_VOID, TICKET_NOT_VALID, REISSUE_LIMIT.
func (f TicketReissue) observe(d *decision) error {
	t, err := d.order.replaceable(f.TicketID, d.now)
	if err != nil {
		return err
	}
	if len(d.order.chain(t.ID)) > replacementsMax {
		return &Refusal{Reason: ReasonReissueLimit, Detail: "the ticket was issued again as often as it may be"}
	}
	d.noteBy(f.By, "ticket_reissued", t.ID)
	d.replaceTicket(t.successor())
	return nil
}

// PassIssued is the fact that a ticket which replaces another one has its pass.
type PassIssued struct {
	TicketID string
	Serial   string
}

// observe derives the ticket's state from the facts known by now: valid, on hold, or void. Idempotent: the first serial stays.
//
// Reasons: TICKET_NOT_FOUND.
func (f PassIssued) observe(d *decision) error {
	o := &d.order
	t := o.Ticket(f.TicketID)
	if t == nil {
		return &Refusal{Reason: ReasonTicketNotFound, Detail: "the order has no such ticket"}
	}
	if t.PassSerial != "" {
		return nil
	}
	t.PassSerial = f.Serial
	d.moveTicket(t, o.deriveTicket(*t))              // also where it stays: a ticket on hold or void has a pass to show it only now
	if t.State != TicketVoid && t.HolderNumber > 0 { // the buyer was corrected while the pass was issued
		d.enqueue(WorkNamePass, t.ID)
	}
	if t.State != TicketVoid {
		d.enqueue(WorkMailTicket, t.ID)
	}
	return nil
}

// HolderNamed is the fact that somebody says who will come with a ticket.
type HolderNamed struct {
	TicketID string
	Name     personal.Text
	By       string // who says so, for the timeline
}

// observe writes the name, which the pass and the doors show.
//
// Reasons: TICKET_NOT_FOUND, TICKET_VOID, TICKET_NOT_VALID, HOLDER_FIXED.
func (f HolderNamed) observe(d *decision) error {
	o := &d.order
	t := o.Ticket(f.TicketID)
	end := o.Schedule.StartTime
	if o.TransferTerms.HolderEndTime != nil {
		end = *o.TransferTerms.HolderEndTime
	}
	switch {
	case t == nil:
		return &Refusal{Reason: ReasonTicketNotFound, Detail: "the order has no such ticket"}
	case t.State == TicketVoid:
		return &Refusal{Reason: ReasonTicketVoid, Detail: "the ticket is void"}
	case t.State != TicketValid && t.State != TicketSuspended, t.PassSerial == "":
		return &Refusal{Reason: ReasonTicketNotValid, Detail: "the ticket is " + string(t.State) + "; its holder is named before it is used and once it is issued"}
	case !d.now.Before(end):
		return &Refusal{Reason: ReasonHolderFixed, Detail: "holders of this event's tickets are not named any more"}
	case o.Holder(t).Name == f.Name:
		return nil
	}
	t.HolderName = f.Name
	t.HolderNumber++
	d.noteBy(f.By, "holder_named", t.ID)
	d.enqueue(WorkNamePass, t.ID)
	return nil
}
