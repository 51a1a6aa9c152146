// Package admission implements AdmissionService: who is let in at the doors of an event, by which device, and what devices know without a
// connection. The scans of a ticket are facts, which arrive in any order; its stays and its state follow from them (record.go).
package admission

import (
	"context"
	"errors"
	"fmt"
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
		t, err := s.Orders.ReadTicket(ctx, named.ticketID)
		switch {
		case errors.Is(err, orderstore.ErrNotFound):
			refused = order.PassageUnknownCode
		case err != nil:
			return nil, err
		default:
			return s.check(ctx, at, named, t)
		}
	}
	admission, message := answer(refused, nil, order.Ticket{})
	return &checkoutv1.CheckTicketResponse{Admission: admission, Message: message}, nil
}

// check answers for a ticket. Mostly its own row says all: nobody has entered with one that is valid, reserved or suspended.
func (s *Service) check(ctx context.Context, at place, named subject, t order.Ticket) (*checkoutv1.CheckTicketResponse, error) {
	o, scan := order.Order{Tickets: []order.Ticket{t}}, order.Scan{TicketID: t.ID}
	var stays []order.Stay
	if t.State == order.TicketUsed || t.State == order.TicketVoid {
		var err error
		if o, err = s.Orders.Read(ctx, orderstore.Key{ID: t.OrderID}); err != nil {
			return nil, err
		}
		policy, err := s.q.GetDoorPolicy(ctx, s.Orders.Pool, t.EventID)
		if err != nil {
			return nil, fmt.Errorf("get door policy: %w", err)
		}
		scans, err := s.q.ListCountedScans(ctx, s.Orders.Pool, []string{t.ID})
		if err != nil {
			return nil, fmt.Errorf("list scans: %w", err)
		}
		scan.Reentry = mayReenter(policy.Reentry)
		stays, _ = order.Stays(scansFromRows(scans))
	}
	passage := named.refusedAt(at, t)
	if passage == "" {
		passage = o.Passage(scan, stays)
	}
	res := &checkoutv1.CheckTicketResponse{}
	res.Admission, res.Message = answer(passage, stays, t)
	res.Message = aboutVoid(res.Message, passage, &o, t)
	if at.mayKnow(t) {
		res.Ticket = s.ticketFor(at, t)
		res.Ticket.VoidReason = orderproto.VoidReasonToProto[o.VoidReason(&t)]
		if len(stays) > 0 {
			res.FirstAdmitTime, res.FirstGate = wire.TimeToProto(&stays[0].Entry.Time), stays[0].Entry.Gate
		}
	}
	return res, nil
}

// ticketFor converts a ticket for who calls. A device gets no codes: whoever finds one could print them.
func (s *Service) ticketFor(at place, t order.Ticket) *checkoutv1.TicketInstance {
	out := orderproto.TicketInstanceToProto(t, s.Codes)
	if at.deviceID != "" {
		out.Code = ""
	}
	return out
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
