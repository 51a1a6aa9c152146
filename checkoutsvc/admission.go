package checkoutsvc

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
)

// verdicts is what door staff is told for each state of a ticket.
var verdicts = map[string]struct {
	admission checkoutv1.Admission
	message   string
}{
	ticketReserved:  {checkoutv1.Admission_ADMISSION_NOT_VALID_YET, "Not valid yet: the payment is being booked. Scan again in a moment."},
	ticketValid:     {checkoutv1.Admission_ADMISSION_ADMIT, "Admit."},
	ticketUsed:      {checkoutv1.Admission_ADMISSION_ALREADY_USED, "Already used: somebody entered with this ticket."},
	ticketSuspended: {checkoutv1.Admission_ADMISSION_SUSPENDED, "On hold: the payment is disputed. Send the holder to the box office."},
	ticketVoid:      {checkoutv1.Admission_ADMISSION_VOID, "Void: the ticket was refunded, transferred or withdrawn."},
}

// CheckTicket implements AdmissionService. The state in the database decides; the code only proves which ticket it is.
func (s *Service) CheckTicket(ctx context.Context, req *checkoutv1.CheckTicketRequest) (*checkoutv1.CheckTicketResponse, error) {
	unknown := &checkoutv1.CheckTicketResponse{
		Admission: checkoutv1.Admission_ADMISSION_UNKNOWN_CODE, Message: "Not one of our tickets, or the code was changed.",
	}
	ticketID, eventID, ok := s.codes.open(req.GetCode())
	if !ok {
		return unknown, nil
	}
	t, err := s.q.GetTicket(ctx, s.Pool, ticketID)
	if errors.Is(err, pgx.ErrNoRows) {
		return unknown, nil
	}
	if err != nil {
		return nil, fmt.Errorf("get ticket: %w", err)
	}
	res := &checkoutv1.CheckTicketResponse{Ticket: s.ticketToProto(t)}
	if eventID != t.EventID || req.GetEventId() != "" && req.GetEventId() != t.EventID {
		res.Admission, res.Message = checkoutv1.Admission_ADMISSION_OTHER_EVENT, "For another event."
		return res, nil
	}
	v := verdicts[t.State]
	res.Admission, res.Message = v.admission, v.message
	return res, nil
}

// GetCodeKeys implements AdmissionService.
func (s *Service) GetCodeKeys(context.Context, *checkoutv1.GetCodeKeysRequest) (*checkoutv1.GetCodeKeysResponse, error) {
	res := &checkoutv1.GetCodeKeysResponse{}
	for i, k := range s.codes.keys {
		public, _ := k.Public().(ed25519.PublicKey)
		res.Keys = append(res.Keys, &checkoutv1.CodeKey{Version: int32(i + 1), PublicKey: public})
	}
	return res, nil
}
