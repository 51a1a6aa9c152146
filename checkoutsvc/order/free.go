package order

import "fmt"

// An order whose total is 0 has no payment intent, and no hold that could end without a payment: its tickets are made in the transaction
// that writes it. It is fulfilled like any other order. Money that comes for it all the same fits nothing, and a person decides.

// Free says whether there is nothing to pay for the order.
func (o *Order) Free() bool { return o.TotalMinorUnits == 0 }

// NothingToPay is the fact that a new order is free. Who writes such an order observes it in the same transaction, and then has the lease
// of its first attempt.
type NothingToPay struct {
	// Later leaves the first attempt to the sweep.
	Later bool
	// By is who invited the guest of a complimentary order, for the timeline, and Note is why.
	By, Note string
}

func (f NothingToPay) observe(d *decision) error {
	if !d.order.Free() || d.order.Fulfilment != FulfilmentNone {
		return nil
	}
	d.beginFulfilment()
	if f.Later {
		*d.changes.NextAttempt = 0
	}
	if d.order.Kind == KindComplimentary {
		d.noteBy(f.By, "guest_invited", f.Note)
	}
	return nil
}

// TicketsReleased is the fact that tickets that cost nothing are given up, by their buyer or by staff.
type TicketsReleased struct {
	TicketIDs []string // none means all of the order that are not void
	// ByBuyer says that it is the buyer who asks, who has no say in tickets that were transferred to others.
	ByBuyer bool
	// By is who asks, for the timeline, and Note is why.
	By, Note string
}

// observe voids the tickets. Their seats are on sale again as those of refunded tickets are.
//
// Reasons: TICKET_NOT_FOUND, TICKET_VOID, TICKET_NOT_VALID, TICKET_NOT_FREE.
func (f TicketsReleased) observe(d *decision) error {
	ids := f.TicketIDs
	if len(ids) == 0 {
		for _, t := range d.order.Tickets {
			if t.State == TicketVoid || f.ByBuyer && t.Transferred() {
				continue
			}
			ids = append(ids, t.ID)
		}
	}
	if len(ids) == 0 {
		return &Refusal{Reason: ReasonTicketVoid, Detail: "the order has no ticket that is not void"}
	}
	if err := d.order.checkTickets(ids); err != nil {
		return err
	}
	for i, id := range ids {
		price, err := d.order.priceOf([]string{id})
		if err != nil {
			return err
		}
		if f.ByBuyer && d.order.Ticket(id).Transferred() {
			return &Refusal{Reason: ReasonTicketNotValid, Detail: fmt.Sprintf("ticket_ids[%d]: the ticket was transferred; the organiser's staff may give it up", i)}
		}
		if price > 0 {
			return &Refusal{Reason: ReasonTicketNotFree, Detail: fmt.Sprintf("ticket_ids[%d]: the ticket was paid for; refund it instead", i)}
		}
	}
	for _, id := range ids {
		d.moveTicket(d.order.Ticket(id), TicketVoid)
		detail := id
		if f.Note != "" {
			detail += ": " + f.Note
		}
		d.noteBy(f.By, NoteTicketReleased, detail)
	}
	return nil
}

// NoteTicketReleased is the step of the timeline's line about a ticket that was given up; its detail begins with the ticket's id.
const NoteTicketReleased = "ticket_released"
