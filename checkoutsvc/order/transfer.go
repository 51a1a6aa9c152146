package order

import (
	"slices"
	"time"

	"github.com/dayof/dayof/internal/personal"
)

// Transfer is a ticket that was offered to somebody. The holder keeps it until the recipient accepts; then a ticket of the recipient's
// replaces it.
type Transfer struct {
	ID                string        `json:"id"`
	TicketID          string        `json:"ticket_id"`
	State             TransferState `json:"state"`
	RecipientName     personal.Text `json:"recipient_name"`
	RecipientEmail    personal.Text `json:"recipient_email"`
	RecipientLanguage string        `json:"recipient_language"`
	CreateTime        time.Time     `json:"create_time"`
	ExpireTime        time.Time     `json:"expire_time"`
	EndTime           *time.Time    `json:"end_time"`
	// Due says that it has run out, as of the load and by the database's clock: no reader's clock ends a transfer.
	Due bool `json:"due"`
}

// TransferState is the state of a transfer.
type TransferState string

// The states of a transfer.
const (
	TransferPending  TransferState = "pending"  // the recipient has not answered: the ticket is still its holder's
	TransferAccepted TransferState = "accepted" // a ticket of the recipient's replaced it
	TransferDeclined TransferState = "declined" // the recipient does not want it
	TransferCanceled TransferState = "canceled" // holder or staff took the offer back, or the ticket was used, issued again or void before
	TransferExpired  TransferState = "expired"  // the recipient did not answer in time
)

// The database keeps one pending transfer per ticket, and one that was accepted.
var transferTransitions = map[TransferState][]TransferState{
	TransferPending:  {TransferAccepted, TransferDeclined, TransferCanceled, TransferExpired},
	TransferAccepted: {},
	TransferDeclined: {},
	TransferCanceled: {},
	TransferExpired:  {},
}

// TransferTerms are what the order's event allows, as of the load.
type TransferTerms struct {
	Allowed bool `json:"allowed"`
	// EndTime is until when tickets are transferred; nil or later: until the event's start.
	EndTime *time.Time `json:"end_time"`
	// Limit is how often a ticket is transferred, those that it replaces included.
	Limit int32 `json:"limit"`
	// HolderEndTime is until when holders are named; nil: until the event's start.
	HolderEndTime *time.Time `json:"holder_end_time"`
}

// transferEnd is until when tickets of the order are transferred.
func (o *Order) transferEnd() time.Time {
	if end := o.TransferTerms.EndTime; end != nil && end.Before(o.Schedule.StartTime) {
		return *end
	}
	return o.Schedule.StartTime
}

// Transfer returns the transfer of that id; nil if the order has none.
func (o *Order) Transfer(id string) *Transfer {
	if i := slices.IndexFunc(o.Transfers, func(t Transfer) bool { return t.ID == id }); i >= 0 {
		return &o.Transfers[i]
	}
	return nil
}

// findTransfer returns the transfer of a ticket in some state; nil if there is none.
func (o *Order) findTransfer(ticketID string, state TransferState) *Transfer {
	if i := slices.IndexFunc(o.Transfers, func(t Transfer) bool { return t.TicketID == ticketID && t.State == state }); i >= 0 {
		return &o.Transfers[i]
	}
	return nil
}

// TransferRequest is the fact that the holder of a ticket offers it to somebody, or that staff do.
type TransferRequest struct {
	// ID is of the transfer to be; it is the caller's, to find it in the order.
	ID                string
	TicketID          string
	RecipientName     personal.Text
	RecipientEmail    personal.Text
	RecipientLanguage string
	By                string // who asks, for the timeline
}

// transferDay is the time in which transfers of an order are counted against the daily limit.
const transferDay = 24 * time.Hour

// observe writes the transfer, under the order's lock, so that a ticket is offered to one person at a time.
//
// Reasons: EVENT_CANCELED, EVENT_ENDED, TICKET_NOT_FOUND, TICKET_VOID, TICKET_NOT_VALID, TRANSFER_NOT_ALLOWED, TRANSFER_PENDING,
// TRANSFER_LIMIT.
func (f TransferRequest) observe(d *decision) error {
	o := &d.order
	t, err := o.transferable(f.TicketID, d.now)
	if err != nil {
		return err
	}
	if o.findTransfer(t.ID, TransferPending) != nil {
		return &Refusal{Reason: ReasonTransferPending, Detail: "the ticket is offered to somebody already; cancel that transfer, or wait for the answer"}
	}
	pending, recent := 0, 0
	for _, x := range o.Transfers {
		if x.State == TransferPending {
			pending++
		}
		if d.now.Sub(x.CreateTime) < transferDay {
			recent++
		}
	}
	switch {
	case d.policy.TransfersPendingMax > 0 && pending >= d.policy.TransfersPendingMax:
		return &Refusal{Reason: ReasonTransferLimit, Detail: "as many tickets of the order are offered as may be at once; wait for answers, or cancel a transfer"}
	case d.policy.TransfersDailyMax > 0 && recent >= d.policy.TransfersDailyMax:
		return &Refusal{Reason: ReasonTransferLimit, Detail: "as many tickets of the order were offered within a day as may be; come back tomorrow"}
	}
	expire := d.now.Add(d.policy.TransferDuration)
	if end := o.transferEnd(); expire.After(end) {
		expire = end
	}
	o.Transfers = append(o.Transfers, Transfer{
		ID: f.ID, TicketID: t.ID, State: TransferPending, RecipientName: f.RecipientName, RecipientEmail: f.RecipientEmail,
		RecipientLanguage: f.RecipientLanguage, CreateTime: d.now, ExpireTime: expire,
	})
	d.noteBy(f.By, "transfer_requested", f.ID)
	d.enqueue(WorkMailTransfer, f.ID)
	return nil
}

// transferable returns a ticket that may be transferred now, or says why it may not.
func (o *Order) transferable(ticketID string, now time.Time) (*Ticket, error) {
	t, err := o.replaceable(ticketID, now)
	if err != nil {
		return nil, err
	}
	accepted := 0
	for _, id := range o.chain(t.ID) {
		if o.findTransfer(id, TransferAccepted) != nil {
			accepted++
		}
	}
	switch {
	case !o.TransferTerms.Allowed:
		return nil, &Refusal{Reason: ReasonTransferNotAllowed, Detail: "the organiser does not allow tickets of this event to be transferred"}
	case !now.Before(o.transferEnd()):
		return nil, &Refusal{Reason: ReasonTransferNotAllowed, Detail: "tickets of this event are not transferred any more"}
	case accepted >= int(o.TransferTerms.Limit):
		return nil, &Refusal{Reason: ReasonTransferLimit, Detail: "the ticket was transferred as often as it may be"}
	}
	return t, nil
}

// pendingTransfer returns the transfer that somebody wants to end; nil where it has ended so already.
func (o *Order) pendingTransfer(id string, as TransferState) (*Transfer, error) {
	t := o.Transfer(id)
	switch {
	case t == nil:
		return nil, &Refusal{Reason: ReasonTransferNotFound, Detail: "the order has no such transfer"}
	case t.State == as:
		return nil, nil
	case t.State != TransferPending:
		return nil, &Refusal{Reason: ReasonTransferEnded, Detail: "the transfer is " + string(t.State)}
	}
	return t, nil
}

// TransferAnswer is the fact that the recipient of a transfer accepts it.
type TransferAnswer struct {
	ID string
	By string // who says so, for the timeline
}

// observe replaces the ticket by one of the recipient's. A transfer that was accepted stays so. One that has run out is accepted too, until
// that is written: whoever has the order's lock first.
//
// Reasons: TRANSFER_NOT_FOUND, TRANSFER_ENDED, and those of TransferRequest about the ticket, which may have changed since.
func (f TransferAnswer) observe(d *decision) error {
	o := &d.order
	transfer, err := o.pendingTransfer(f.ID, TransferAccepted)
	if transfer == nil || err != nil {
		return err
	}
	t, err := o.transferable(transfer.TicketID, d.now)
	if err != nil {
		return err
	}
	d.endTransfer(transfer, TransferAccepted, f.By)
	next := t.successor()
	next.HolderName, next.HolderEmail, next.HolderLanguage = transfer.RecipientName, transfer.RecipientEmail, transfer.RecipientLanguage
	d.replaceTicket(next)
	return nil
}

// TransferEnd is the fact that a transfer ends without an acceptance: declined by its recipient, or canceled.
type TransferEnd struct {
	ID    string
	State TransferState
	By    string // who says so, for the timeline
}

// observe ends the transfer; the ticket stays its holder's. One that has ended so stays.
//
// Reasons: TRANSFER_NOT_FOUND, TRANSFER_ENDED.
func (f TransferEnd) observe(d *decision) error {
	transfer, err := d.order.pendingTransfer(f.ID, f.State)
	if transfer == nil || err != nil {
		return err
	}
	d.endTransfer(transfer, f.State, f.By)
	return nil
}

// TransfersDue is the fact that transfers of the order have run out. Those that have not stay.
type TransfersDue struct{}

func (TransfersDue) observe(d *decision) error {
	for i := range d.order.Transfers {
		if t := &d.order.Transfers[i]; t.State == TransferPending && t.Due {
			d.endTransfer(t, TransferExpired, "")
		}
	}
	return nil
}

// cancelTransfer ends the offer of a ticket that cannot be handed over any more, if there is one.
func (d *decision) cancelTransfer(ticketID string) {
	if t := d.order.findTransfer(ticketID, TransferPending); t != nil {
		d.endTransfer(t, TransferCanceled, "")
	}
}

// endTransfer writes how a transfer ended, and has those told whom it concerns.
func (d *decision) endTransfer(t *Transfer, state TransferState, by string) {
	mustMove("transfer", transferTransitions, t.State, state)
	now := d.now
	t.State, t.EndTime = state, &now
	d.noteBy(by, "transfer_"+string(state), t.ID)
	d.enqueue(WorkMailTransfer, t.ID)
}
