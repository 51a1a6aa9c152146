// Package admission implements AdmissionService: what door staff learn of a ticket's code.
package admission

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/orderproto"
	"github.com/dayof/dayof/checkoutsvc/orderstore"
	"github.com/dayof/dayof/checkoutsvc/ticketcode"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
)

// Service implements AdmissionService. All fields are required.
type Service struct {
	Orders *orderstore.Store
	Codes  ticketcode.Keys
}

// answers is what door staff learn for each state of a ticket.
var answers = map[order.TicketState]struct {
	admission checkoutv1.Admission
	message   string
}{
	order.TicketReserved:  {checkoutv1.Admission_ADMISSION_NOT_VALID_YET, "Not valid yet: the payment is being booked. Scan again in a moment."},
	order.TicketValid:     {checkoutv1.Admission_ADMISSION_ADMIT, "Admit."},
	order.TicketUsed:      {checkoutv1.Admission_ADMISSION_ALREADY_USED, "Already used: somebody entered with this ticket."},
	order.TicketSuspended: {checkoutv1.Admission_ADMISSION_SUSPENDED, "On hold: the payment is disputed, reviewed or going back. Send the holder to the box office."},
	order.TicketVoid:      {checkoutv1.Admission_ADMISSION_VOID, "Void: the ticket was refunded, transferred or withdrawn."},
}

// CheckTicket implements AdmissionService. The state in the database decides; the code only proves which ticket it is.
func (s *Service) CheckTicket(ctx context.Context, req *checkoutv1.CheckTicketRequest) (*checkoutv1.CheckTicketResponse, error) {
	unknown := &checkoutv1.CheckTicketResponse{
		Admission: checkoutv1.Admission_ADMISSION_UNKNOWN_CODE, Message: "Not one of our tickets, or the code was changed.",
	}
	ticketID, eventID, ok := s.Codes.Verify(req.GetCode())
	if !ok {
		return unknown, nil
	}
	t, err := s.Orders.ReadTicket(ctx, ticketID)
	if errors.Is(err, orderstore.ErrNotFound) {
		return unknown, nil
	}
	if err != nil {
		return nil, err
	}
	res := &checkoutv1.CheckTicketResponse{Ticket: orderproto.TicketInstanceToProto(t, s.Codes)}
	if eventID != t.EventID || req.GetEventId() != "" && req.GetEventId() != t.EventID {
		res.Admission, res.Message = checkoutv1.Admission_ADMISSION_OTHER_EVENT, "For another event."
		return res, nil
	}
	a := answers[t.State]
	res.Admission, res.Message = a.admission, a.message
	return res, nil
}

// GetCodeKeys implements AdmissionService.
func (s *Service) GetCodeKeys(context.Context, *checkoutv1.GetCodeKeysRequest) (*checkoutv1.GetCodeKeysResponse, error) {
	res := &checkoutv1.GetCodeKeysResponse{}
	public := s.Codes.Public()
	for _, version := range slices.Sorted(maps.Keys(public)) {
		res.Keys = append(res.Keys, &checkoutv1.CodeKey{Version: version, PublicKey: public[version]})
	}
	return res, nil
}
