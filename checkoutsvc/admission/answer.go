package admission

import (
	"fmt"
	"time"

	"github.com/dayof/dayof/checkoutsvc/order"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/timezone"
)

// answers is what door staff learn of what a scan comes to.
var answers = map[order.Passage]struct {
	admission checkoutv1.Admission
	message   string
}{
	order.PassageEntered:     {checkoutv1.Admission_ADMISSION_ADMIT, "Admit."},
	order.PassageLeft:        {checkoutv1.Admission_ADMISSION_EXIT, "Exit recorded."},
	order.PassageAlreadyUsed: {checkoutv1.Admission_ADMISSION_ALREADY_USED, "Already used: somebody entered with this ticket."},
	order.PassageNotInside:   {checkoutv1.Admission_ADMISSION_NOT_INSIDE, "Nobody is inside with this ticket."},
	order.PassageVoid:        {checkoutv1.Admission_ADMISSION_VOID, "Void: the ticket was refunded, transferred or withdrawn."},
	order.PassageSuspended:   {checkoutv1.Admission_ADMISSION_SUSPENDED, "On hold: the event is canceled, or the payment is disputed, reviewed or going back. Send the holder to the box office."},
	order.PassageNotValidYet: {checkoutv1.Admission_ADMISSION_NOT_VALID_YET, "Not valid yet: the payment is being booked. Scan again in a moment."},
	order.PassageOtherEvent:  {checkoutv1.Admission_ADMISSION_OTHER_EVENT, "For another event."},
	order.PassageUnknownCode: {checkoutv1.Admission_ADMISSION_UNKNOWN_CODE, "Not one of our tickets, or the code was changed."},
	order.PassageOldKey:      {checkoutv1.Admission_ADMISSION_OLD_KEY, "The code is outdated: ask the holder for the latest ticket."},
}

// answer says what a scan comes to, in words. A ticket that was used says when and where, by the clock of its venue.
func answer(p order.Passage, stays []order.Stay, t order.Ticket) (checkoutv1.Admission, string) {
	a, known := answers[p]
	if !known {
		panic("no answer for the passage " + string(p))
	}
	if p == order.PassageAlreadyUsed && len(stays) > 0 {
		entry := stays[0].Entry
		return a.admission, fmt.Sprintf("Already used: somebody entered at %s, gate %s.", entry.Time.In(venueZone(t)).Format("15:04:05 MST on 2 January"), entry.Gate)
	}
	return a.admission, a.message
}

// aboutVoid says of a ticket that another one replaced, that it was, instead of what is said of void ones.
func aboutVoid(message string, p order.Passage, o *order.Order, t order.Ticket) string {
	if p != order.PassageVoid {
		return message
	}
	switch o.VoidReason(&t) {
	case order.VoidTransferred:
		return "Void: the ticket was transferred to somebody else, whose ticket admits."
	case order.VoidReissued:
		return "Void: the ticket was issued again. Ask the holder for the latest one."
	case order.VoidByMoney:
	}
	return message
}

// venueZone is the time zone of a ticket's venue; UTC when its snapshot cannot be read.
func venueZone(t order.Ticket) *time.Location {
	sold, err := t.ReadSnapshot()
	if err != nil {
		return time.UTC
	}
	zone, err := timezone.Load(sold.Venue.TimeZone)
	if err != nil {
		return time.UTC
	}
	return zone
}
