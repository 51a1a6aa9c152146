package admission

import "github.com/dayof/dayof/checkoutsvc/order"

// subject is what a scan names: a ticket by its code, or by its id where staff looked it up.
type subject struct {
	ticketID   string
	eventID    string // that the code names; empty without one
	keyVersion int32  // of the code's key; 0 without one
}

// readCode reads a code, or says why it names no ticket.
func (s *Service) readCode(text string) (subject, order.Passage) {
	public := s.Codes.Public()
	code, ok := public.Read(text)
	switch {
	case ok:
		return subject{ticketID: code.TicketID, eventID: code.EventID, keyVersion: code.KeyVersion}, ""
	case code.KeyVersion > 0 && code.KeyVersion < s.Codes.Current() && public[code.KeyVersion] == nil:
		return subject{}, order.PassageOldKey // a key that is not configured any more; whether it signed this, nobody can tell
	default:
		return subject{}, order.PassageUnknownCode
	}
}

// named is the subject of a request: by its code, or else its ticket's id.
func (s *Service) named(code, ticketID string) (subject, order.Passage) {
	if code != "" {
		return s.readCode(code)
	}
	return subject{ticketID: ticketID}, ""
}

// refusedAt is why a ticket is not what this door asks for, whatever its state; empty when it is.
func (n subject) refusedAt(at place, t order.Ticket) order.Passage {
	switch {
	case n.keyVersion == 0 && !at.mayKnow(t):
		return order.PassageUnknownCode
	case n.eventID != "" && n.eventID != t.EventID, at.eventID != "" && at.eventID != t.EventID:
		return order.PassageOtherEvent
	case n.keyVersion != 0 && n.keyVersion != t.CodeKeyVersion:
		return order.PassageOldKey
	}
	return ""
}
