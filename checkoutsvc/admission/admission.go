// Package admission implements AdmissionService: who is let in at the doors of an event, by which device, and what devices know without a
// connection. The scans of a ticket are facts, which arrive in any order; its stays and its state follow from them (record.go).
package admission

import (
	"context"
	"maps"
	"slices"

	"connectrpc.com/connect"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	"github.com/dayof/dayof/checkoutsvc/doortoken"
	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/orderproto"
	"github.com/dayof/dayof/checkoutsvc/orderstore"
	"github.com/dayof/dayof/checkoutsvc/ticketcode"
	"github.com/dayof/dayof/checkoutsvc/wire"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/problem"
)

// Service implements AdmissionService. All exported fields are required.
type Service struct {
	Orders *orderstore.Store
	Codes  ticketcode.Keys
	Tokens doortoken.Keys
	NewID  func() string

	q      checkoutdb.Queries
	counts countsByEvent
}

var (
	errNoEvent  = problem.New(connect.CodeNotFound, "EVENT_NOT_FOUND", "there is no such event")
	errNoTicket = problem.New(connect.CodeNotFound, string(order.ReasonTicketNotFound), "the event has no such ticket")
)

// CheckTicket implements AdmissionService. The state in the database decides; the code only proves which ticket it is.
func (s *Service) CheckTicket(ctx context.Context, req *checkoutv1.CheckTicketRequest) (*checkoutv1.CheckTicketResponse, error) {
	at, err := placeOf(ctx, req.GetEventId(), "")
	if err != nil {
		return nil, err
	}
	named, refused := s.readCode(req.GetCode())
	if refused == "" {
		var tickets []checkoutdb.ListScannedTicketsRow
		if tickets, err = s.q.ListScannedTickets(ctx, s.Orders.Pool, []string{named.ticketID}); err != nil {
			return nil, err
		}
		if len(tickets) == 0 {
			refused = order.PassageUnknownCode
		} else {
			return s.check(ctx, at, named, tickets[0])
		}
	}
	admission, message := answer(refused, nil, order.Ticket{})
	return &checkoutv1.CheckTicketResponse{Admission: admission, Message: message}, nil
}

func (s *Service) check(
	ctx context.Context, at place, named subject, row checkoutdb.ListScannedTicketsRow,
) (*checkoutv1.CheckTicketResponse, error) {
	o, err := s.Orders.Read(ctx, orderstore.Key{ID: row.OrderID})
	if err != nil {
		return nil, err
	}
	scans, err := s.q.ListCountedScans(ctx, s.Orders.Pool, []string{row.ID})
	if err != nil {
		return nil, err
	}
	t := o.Ticket(row.ID)
	stays, _ := order.Stays(scansFromRows(scans))
	passage := named.refusedAt(at, *t)
	if passage == "" {
		passage = o.Passage(order.Scan{TicketID: row.ID, Reentry: mayReenter(row.Reentry)}, stays)
	}
	res := &checkoutv1.CheckTicketResponse{}
	res.Admission, res.Message = answer(passage, stays, *t)
	if at.mayKnow(*t) {
		res.Ticket = orderproto.TicketInstanceToProto(*t, s.Codes)
		if len(stays) > 0 {
			res.FirstAdmitTime, res.FirstGate = wire.TimeToProto(&stays[0].Entry.Time), stays[0].Entry.Gate
		}
	}
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
