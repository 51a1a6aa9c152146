// Package tickets implements TicketService: what who holds a ticket does with it. A ticket that changes hands or is issued again is
// replaced by another one of the same order, under the order's lock.
package tickets

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/orderstore"
	"github.com/dayof/dayof/checkoutsvc/ordertoken"
	"github.com/dayof/dayof/checkoutsvc/ticketcode"
	"github.com/dayof/dayof/checkoutsvc/ticketpass"
	"github.com/dayof/dayof/checkoutsvc/tickettoken"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/gen/dayof/pass/v1/passv1connect"
	"github.com/dayof/dayof/internal/chassis/idem"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/chassis/rpc"
	"github.com/dayof/dayof/internal/personal"
)

// Service implements TicketService. All exported fields are required.
type Service struct {
	Orders      *orderstore.Store
	Passes      passv1connect.PassServiceClient // has the links to passes
	Issuer      *ticketpass.Jobs                // issues passes of tickets that replace others
	Codes       ticketcode.Keys
	OrderTokens ordertoken.Keys
	Tokens      tickettoken.Keys
	// CallerWait is the longest that a caller waits for the pass of a new ticket.
	CallerWait time.Duration

	q checkoutdb.Queries
}

var (
	errNoTicket   = problem.New(connect.CodeNotFound, string(order.ReasonTicketNotFound), "there is no such ticket, or it is somebody else's")
	errNoTransfer = problem.New(connect.CodeNotFound, string(order.ReasonTransferNotFound), "there is no such transfer, or it is somebody else's")
)

// Who acts on a ticket, beside staff, as the order's timeline has it.
const (
	actorBuyer     = "buyer"
	actorHolder    = "holder"
	actorRecipient = "recipient"
)

// held is a ticket that the caller's token opens.
type held struct {
	order.Ticket

	by string // who calls, for the timeline
}

// open returns the ticket if the caller holds it: by its own token, by that of its order unless it was transferred, or as staff. Whose a
// ticket is never changes: who gets it gets another one.
//
// Problems: TICKET_NOT_FOUND, as much as about a ticket that does not exist.
func (s *Service) open(ctx context.Context, ticketID string) (held, error) {
	t, err := s.Orders.ReadTicket(ctx, ticketID)
	if errors.Is(err, orderstore.ErrNotFound) {
		return held{}, errNoTicket
	}
	if err != nil {
		return held{}, err
	}
	caller, token, now := rpc.CallerFrom(ctx), rpc.BearerToken(ctx), s.Orders.Clock.Now()
	switch {
	case caller.Role >= rpc.RoleOperator:
		return held{t, caller.Name}, nil
	case s.Tokens.OpensTicket(token, t.ID, t.CreateTime, now):
		return held{t, actorHolder}, nil
	case !t.Transferred() && s.OrderTokens.Admits(ctx, t.OrderID):
		o, err := s.Orders.Read(ctx, orderstore.Key{ID: t.OrderID})
		if err != nil {
			return held{}, err
		}
		if !s.OrderTokens.Expired(ctx, o.CreateTime, now) {
			return held{t, actorBuyer}, nil
		}
	}
	return held{}, errNoTicket
}

// GetTicket implements TicketService.
func (s *Service) GetTicket(ctx context.Context, req *checkoutv1.GetTicketRequest) (*checkoutv1.GetTicketResponse, error) {
	t, err := s.open(ctx, req.GetTicketId())
	if err != nil {
		return nil, err
	}
	o, err := s.Orders.Read(ctx, orderstore.Key{ID: t.OrderID})
	if err != nil {
		return nil, err
	}
	return &checkoutv1.GetTicketResponse{HeldTicket: s.heldTicket(ctx, &o, t.ID)}, nil
}

// SetTicketHolder implements TicketService.
func (s *Service) SetTicketHolder(ctx context.Context, req *checkoutv1.SetTicketHolderRequest) (*checkoutv1.SetTicketHolderResponse, error) {
	t, err := s.open(ctx, req.GetTicketId())
	if err != nil {
		return nil, err
	}
	f := order.HolderNamed{TicketID: t.ID, Name: personal.Text(req.GetHolderName()), By: t.by}
	fingerprint := idem.Fingerprint(1, req.GetTicketId(), req.GetHolderName())
	var o order.Order
	res, err := idem.Do(ctx, s.Orders.Pool, s.Orders.Clock.Now(), fingerprint, func(ctx context.Context, tx pgx.Tx) (*checkoutv1.SetTicketHolderResponse, error) {
		var err error
		o, _, err = s.Orders.ObserveTx(ctx, tx, orderstore.Key{ID: t.OrderID}, nil, f)
		return &checkoutv1.SetTicketHolderResponse{}, err
	})
	if err != nil {
		return nil, err
	}
	if o.ID == "" { // a replay
		if o, err = s.Orders.Read(ctx, orderstore.Key{ID: t.OrderID}); err != nil {
			return nil, err
		}
	}
	res.HeldTicket = s.heldTicket(ctx, &o, t.ID)
	return res, nil
}

// ReissueTicket implements TicketService. What is stored with the key names the new ticket; the rest is as it is when the call is answered.
func (s *Service) ReissueTicket(ctx context.Context, req *checkoutv1.ReissueTicketRequest) (*checkoutv1.ReissueTicketResponse, error) {
	t, err := s.open(ctx, req.GetTicketId())
	if err != nil {
		return nil, err
	}
	f := order.TicketReissue{TicketID: t.ID, By: t.by}
	res, err := idem.Do(ctx, s.Orders.Pool, s.Orders.Clock.Now(), idem.Fingerprint(1, req.GetTicketId()), func(ctx context.Context, tx pgx.Tx) (*checkoutv1.ReissueTicketResponse, error) {
		o, _, err := s.Orders.ObserveTx(ctx, tx, orderstore.Key{ID: t.OrderID}, nil, f)
		if err != nil {
			return nil, err
		}
		return &checkoutv1.ReissueTicketResponse{HeldTicket: &checkoutv1.HeldTicket{Ticket: &checkoutv1.TicketInstance{Id: o.Replacement(t.ID).ID}}}, nil
	})
	if err != nil {
		return nil, err
	}
	newID := res.GetHeldTicket().GetTicket().GetId()
	o, err := s.issued(ctx, t.OrderID, newID)
	if err != nil {
		return nil, err
	}
	return &checkoutv1.ReissueTicketResponse{HeldTicket: s.heldTicket(ctx, &o, newID), TicketAccessToken: s.Tokens.Ticket(newID)}, nil
}

// issued returns an order once a new ticket of it has its pass, or as it stands when that takes too long: a job goes on.
func (s *Service) issued(ctx context.Context, orderID, ticketID string) (order.Order, error) {
	wait, cancel := context.WithTimeout(ctx, s.CallerWait)
	defer cancel()
	if o, err := s.Issuer.Issue(wait, ticketID); err == nil {
		return o, nil
	}
	o, err := s.Orders.Read(ctx, orderstore.Key{ID: orderID})
	if err != nil {
		return o, fmt.Errorf("read order of new ticket: %w", err)
	}
	return o, nil
}
