package order

import (
	"slices"
	"strings"
	"time"
)

// Scan is one scan of a ticket at a door.
type Scan struct {
	ID       string
	TicketID string
	Out      bool // the holder leaves; else enters
	Gate     string
	DeviceID string // empty: staff
	Time     time.Time
	Recorded time.Time
	Offline  bool
	Reentry  bool // whether the event let holders come back when it was recorded
}

// Passage is what a scan comes to.
type Passage string

// What a scan comes to.
const (
	PassageEntered     Passage = "entered"       // the holder is inside
	PassageLeft        Passage = "left"          // the holder is outside again
	PassageAlreadyUsed Passage = "already_used"  // somebody entered with the ticket, and may not again
	PassageNotInside   Passage = "not_inside"    // nobody is inside who could leave
	PassageVoid        Passage = "void"          // the ticket is void
	PassageSuspended   Passage = "suspended"     // the ticket is on hold
	PassageNotValidYet Passage = "not_valid_yet" // the ticket waits for its order
	PassageOtherEvent  Passage = "other_event"   // the ticket is for another event
	PassageUnknownCode Passage = "unknown_code"  // the code is not one of ours
	PassageOldKey      Passage = "old_key"       // the code was signed with a key that is not the ticket's any more
)

// Passed says whether somebody went through the door by right.
func (p Passage) Passed() bool { return p == PassageEntered || p == PassageLeft }

// Stay is one stay of a holder behind the door.
type Stay struct {
	Number int32 // from 1
	Entry  Scan
	Exit   *Scan // nil while inside
}

// Stays derives the stays of one ticket from the scans that count, and what each scan comes to, by its id. Scans arrive in any order; what
// their devices' clocks say decides, so the earliest entry is the first, whoever reports first. Scans of one instant follow their ids.
func Stays(scans []Scan) ([]Stay, map[string]Passage) {
	sorted := slices.SortedFunc(slices.Values(scans), CompareScans)
	var stays []Stay
	passages := make(map[string]Passage, len(scans))
	for _, s := range sorted {
		p := passage(s, stays)
		passages[s.ID] = p
		switch p { //nolint:exhaustive // the others are no stays
		case PassageEntered:
			stays = append(stays, Stay{Number: int32(len(stays) + 1), Entry: s})
		case PassageLeft:
			stays[len(stays)-1].Exit = &s
		}
	}
	return stays, passages
}

// CompareScans sorts scans by time.
func CompareScans(a, b Scan) int {
	if c := a.Time.Compare(b.Time); c != 0 {
		return c
	}
	return strings.Compare(a.ID, b.ID)
}

// passage is what a scan comes to after some stays, as far as they decide.
func passage(s Scan, stays []Stay) Passage {
	inside := len(stays) > 0 && stays[len(stays)-1].Exit == nil
	switch {
	case s.Out && inside:
		return PassageLeft
	case s.Out:
		return PassageNotInside
	case len(stays) == 0, !inside && s.Reentry:
		return PassageEntered
	default:
		return PassageAlreadyUsed
	}
}

// Passage is what a scan of a ticket comes to now, after its stays. A ticket that admits nobody lets out whoever is inside.
func (o *Order) Passage(s Scan, stays []Stay) Passage {
	p, t := passage(s, stays), o.Ticket(s.TicketID)
	switch {
	case s.Out:
		return p
	case t.State == TicketUsed && (p == PassageAlreadyUsed || len(stays) == 0): // without a stay it is from before there were any
		return PassageAlreadyUsed
	}
	if refused := o.Bars(t.ID); refused != "" {
		return refused
	}
	return p
}

// Bars is why a ticket lets nobody in now, whoever entered before; empty when it does. A ticket that was used is not suspended, but does not
// let its holder back in while it would be.
func (o *Order) Bars(ticketID string) Passage {
	t := o.Ticket(ticketID)
	if o.Schedule.Canceled() && (t.State == TicketValid || t.State == TicketUsed) {
		return PassageSuspended // the ticket's own state follows in a moment
	}
	switch t.State {
	case TicketVoid:
		return PassageVoid
	case TicketSuspended:
		return PassageSuspended
	case TicketReserved:
		return PassageNotValidYet
	case TicketUsed:
		if o.TicketsHeld() || o.ticketRefundRequested(t.ID) {
			return PassageSuspended
		}
	case TicketValid:
	}
	return ""
}

// TicketAdmitted is the fact that somebody entered with a ticket.
type TicketAdmitted struct {
	TicketID string
	Gate     string
	By       string // who let them in, for the timeline
	// PassShowsUsed says that the pass shows it.
	PassShowsUsed bool
}

// observe moves a valid ticket to used. Idempotent: a used one stays.
//
// Reasons: TICKET_NOT_FOUND, TICKET_NOT_VALID.
func (f TicketAdmitted) observe(d *decision) error {
	t := d.order.Ticket(f.TicketID)
	switch {
	case t == nil:
		return &Refusal{Reason: ReasonTicketNotFound, Detail: "the order has no such ticket"}
	case t.State == TicketUsed:
		return nil
	case t.State != TicketValid:
		return &Refusal{Reason: ReasonTicketNotValid, Detail: "the ticket is " + string(t.State) + " and admits nobody"}
	}
	d.moveTicket(t, TicketUsed)
	if f.PassShowsUsed {
		d.enqueue(WorkSuspendPass, t.ID)
	}
	d.noteBy(f.By, "ticket_admitted", t.ID+" at "+f.Gate)
	return nil
}

// AdmissionUndone is the fact that nobody has entered with a ticket after all.
type AdmissionUndone struct {
	TicketID string
	By       string
	// PassShowsUsed says that the pass showed it.
	PassShowsUsed bool
}

// observe brings a used ticket to where the other facts have it: valid, or suspended while a dispute is open. A void one stays.
//
// Reasons: TICKET_NOT_FOUND.
func (f AdmissionUndone) observe(d *decision) error {
	t := d.order.Ticket(f.TicketID)
	if t == nil {
		return &Refusal{Reason: ReasonTicketNotFound, Detail: "the order has no such ticket"}
	}
	if t.State == TicketUsed {
		valid := *t
		valid.State = TicketValid
		d.moveTicket(t, d.order.deriveTicket(valid))
		if f.PassShowsUsed && (t.State != TicketSuspended || !d.order.TicketsHeld()) { // else it is enqueued already
			d.enqueue(WorkSuspendPass, t.ID)
		}
	}
	d.noteBy(f.By, "admission_undone", t.ID)
	return nil
}
