package order

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dayof/dayof/internal/personal"
)

// Ticket is a ticket instance: one admission owned by one holder.
type Ticket struct {
	ID             string    `json:"id"`
	OrderID        string    `json:"order_id"`
	Position       int32     `json:"position"`
	EventID        string    `json:"event_id"`
	VariantID      string    `json:"variant_id"`
	VariantVersion int32     `json:"variant_version"`
	CodeKeyVersion int32     `json:"code_key_version"`
	CreateTime     time.Time `json:"create_time"`
	// Snapshot is what was sold, as it was sold; SnapshotSchema says how to read it.
	SnapshotSchema int32       `json:"snapshot_schema"`
	Snapshot       Document    `json:"snapshot"`
	State          TicketState `json:"state"`
	PassSerial     string      `json:"pass_serial"`
	// ChangeNumber counts what the pass must show; passsvc ignores smaller numbers.
	ChangeNumber int64      `json:"change_number"`
	ValidTime    *time.Time `json:"valid_time"`
	// SeatReturned says that its seat is on sale again: that it is not counted any more.
	SeatReturned bool `json:"seat_returned"`
	// SeatID is the seat that it keeps off sale; empty for general admission, and when the seat went back or to another ticket.
	SeatID string `json:"seat_id"`
	// ScheduleNumber is the number of the event's schedule that its pass shows, or is about to.
	ScheduleNumber int32 `json:"schedule_number"`
	// Replaces is the ticket of the order in whose place this one is; empty for one that was sold. See Replacement.
	Replaces string `json:"replaces"`
	// HolderName is who comes with it, and HolderEmail and HolderLanguage are of whom it was transferred to; empty where the buyer's hold.
	HolderName     personal.Text `json:"holder_name"`
	HolderEmail    personal.Text `json:"holder_email"`
	HolderLanguage string        `json:"holder_language"`
	// HolderNumber counts the changes of the name; passsvc ignores smaller numbers.
	HolderNumber int32 `json:"holder_number"`
}

// TicketState is the state of a ticket.
type TicketState string

// The states of a ticket.
const (
	TicketReserved  TicketState = "reserved"  // paid, not booked yet: it admits nobody
	TicketValid     TicketState = "valid"     // it admits
	TicketUsed      TicketState = "used"      // somebody entered with it
	TicketSuspended TicketState = "suspended" // the payment is disputed or reviewed, a refund is asked for, or the event is canceled: it admits nobody meanwhile
	TicketVoid      TicketState = "void"      // refunded, charged back, withdrawn or replaced by another ticket; final
)

// The database keeps the same table by a trigger, whatever the code does.
var ticketTransitions = map[TicketState][]TicketState{
	TicketReserved:  {TicketValid, TicketSuspended, TicketVoid},
	TicketValid:     {TicketUsed, TicketSuspended, TicketVoid},
	TicketSuspended: {TicketValid, TicketVoid},
	TicketUsed:      {TicketValid, TicketSuspended, TicketVoid},
	TicketVoid:      {},
}

// makeTickets makes the order's ticket instances, one per admission, in the order of its lines.
func (d *decision) makeTickets() {
	o := &d.order
	for _, l := range o.Lines {
		snapshot, schema := l.ticketSnapshot(0)
		for k := range int64(l.Quantity) {
			if k > 0 && k == l.DiscountMinorUnits%int64(l.Quantity) { // from here on less is off
				snapshot, schema = l.ticketSnapshot(k)
			}
			t := Ticket{
				ID: d.policy.NewID(), OrderID: o.ID, Position: int32(len(o.Tickets) + 1), EventID: o.EventID,
				VariantID: l.VariantID, VariantVersion: l.VariantVersion, State: TicketReserved,
				Snapshot: snapshot, SnapshotSchema: schema,
				CodeKeyVersion: d.policy.CodeKeyVersion, ChangeNumber: 1, CreateTime: d.now, ScheduleNumber: o.Schedule.Number,
			}
			if len(l.Seats) > 0 {
				t.sit(l.Seats[k])
			}
			o.Tickets = append(o.Tickets, t)
		}
	}
}

// deriveTicket derives a ticket's state from the order's facts. What a person did (used) and what is final (void) stay.
func (o *Order) deriveTicket(t Ticket) TicketState {
	switch {
	case t.State == TicketVoid, o.Fulfilment == FulfilmentUnfulfillable, o.disputeLost(), o.ticketRefunded(t.ID):
		return TicketVoid
	case t.State == TicketUsed:
		return TicketUsed
	case o.TicketsHeld(), o.Schedule.Canceled(), o.ticketRefundRequested(t.ID):
		return TicketSuspended
	case o.Fulfilment == FulfilmentCompleted && t.PassSerial != "": // one that replaces another waits for its pass
		return TicketValid
	default:
		return t.State
	}
}

// TicketsHeld says whether a dispute or a review holds the order's tickets back, which their passes show.
func (o *Order) TicketsHeld() bool { return o.disputeOpen() || o.DeliveryHeld() }

// ticketRefunded says whether the money of a ticket went back or is on its way: the ticket is named by a refund that Stripe
// made, or all of the order's money is refunded. A refund that Stripe made counts also when it failed later: the ticket was
// void by then, void is final, and the failure may be reported first.
func (o *Order) ticketRefunded(id string) bool {
	for _, r := range o.Refunds {
		if r.StripeRefundID == "" {
			continue // Stripe never made it, or has not answered
		}
		whole := o.Captured() > 0 && r.PaymentIntent == o.PayingIntent && r.AmountMinorUnits >= o.Captured()
		if whole || o.names(r, id) && o.covers(r) {
			return true
		}
	}
	return o.refundedWhole()
}

// names says whether a refund names a ticket, or one that it replaces: what was made at Stripe may name an old one.
func (o *Order) names(r Refund, id string) bool {
	return len(r.TicketIDs) > 0 && slices.ContainsFunc(o.chain(id), func(id string) bool { return slices.Contains(r.TicketIDs, id) })
}

// covers says whether a refund voids the tickets that it names. What staff ask for here does; one that was made at Stripe, whose
// metadata anybody with access there writes, must be of the paying intent and of what the tickets cost.
func (o *Order) covers(r Refund) bool {
	if r.Reason != RefundExternal {
		return true
	}
	if r.PaymentIntent != o.PayingIntent || slices.ContainsFunc(r.TicketIDs, func(id string) bool { return o.Ticket(id) == nil }) {
		return false
	}
	price, err := o.priceOf(r.TicketIDs)
	return err == nil && r.AmountMinorUnits >= price
}

// ticketRefundRequested says whether a refund voids the ticket once Stripe has made it: one that names it, or one of all that
// is left. Until then the ticket admits nobody; when Stripe refuses, it admits again.
func (o *Order) ticketRefundRequested(id string) bool {
	requested := false
	for _, r := range o.Refunds {
		if r.State == RefundRequested && r.PaymentIntent == o.PayingIntent {
			requested = true
			if o.names(r, id) {
				return true
			}
		}
	}
	return requested && o.Refundable() <= 0
}

// settleTickets brings the tickets to the states that follow from the order's facts.
func (d *decision) settleTickets() {
	for i := range d.order.Tickets {
		t := &d.order.Tickets[i]
		state := d.order.deriveTicket(*t)
		if state != t.State || state == TicketSuspended && d.held != d.order.TicketsHeld() {
			d.moveTicket(t, state)
		}
	}
	for _, r := range d.order.Refunds {
		if len(r.TicketIDs) > 0 && len(d.order.Tickets) > 0 && !d.order.covers(r) {
			d.raise(ReviewCase{
				Kind: CaseRefundNamesTickets, Subject: r.ID, Intent: r.PaymentIntent,
				Facts: map[string]string{
					"stripe_refund_id": r.StripeRefundID, "ticket_ids": strings.Join(r.TicketIDs, ","),
					"amount_minor_units": strconv.FormatInt(r.AmountMinorUnits, 10), "currency": r.Currency,
				},
				Action: "A refund that was made at Stripe names tickets that it does not pay back whole, so they stay valid. Void them by a refund here if they shall not admit.",
			})
		}
	}
}

// moveTicket moves a ticket on and has its pass follow. A pass does not show that a refund is asked for: Stripe mostly answers
// within a second, and each change of a pass is a push to a phone.
func (d *decision) moveTicket(t *Ticket, state TicketState) {
	mustMove("ticket", ticketTransitions, t.State, state)
	if state == TicketValid && t.ValidTime == nil {
		now := d.now
		t.ValidTime = &now
	}
	if state == TicketVoid || state == TicketUsed {
		d.cancelTransfer(t.ID)
	}
	if state == TicketVoid {
		d.enqueue(WorkVoidPass, t.ID)
		until := d.order.SeatsReturnUntil
		if t.State != TicketUsed && until != nil && d.now.Before(*until) && d.order.Replacement(t.ID) == nil {
			d.returnSeat(t)
		}
	} else if state == TicketSuspended && d.order.TicketsHeld() || t.State == TicketSuspended && d.held {
		d.enqueue(WorkSuspendPass, t.ID)
	}
	if state != TicketValid || t.State != TicketReserved { // becoming valid is what the pass shows from the start
		t.ChangeNumber++
	}
	t.State = state
}

// returnSeat puts the seat of a ticket on sale again, once.
func (d *decision) returnSeat(t *Ticket) {
	if !t.SeatReturned {
		t.SeatReturned = true
		d.changes.SeatsReturned = append(d.changes.SeatsReturned, t.VariantID)
		if t.SeatID != "" {
			d.changes.SeatIDsReturned = append(d.changes.SeatIDsReturned, t.SeatID)
			t.SeatID = ""
		}
	}
}
