package tickets

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/orderproto"
	"github.com/dayof/dayof/checkoutsvc/orderstore"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/idem"
	"github.com/dayof/dayof/internal/chassis/rpc"
	"github.com/dayof/dayof/internal/personal"
)

// TransferTicket implements TicketService. The transfer and the job that mails it are written in one transaction with the key.
func (s *Service) TransferTicket(ctx context.Context, req *checkoutv1.TransferTicketRequest) (*checkoutv1.TransferTicketResponse, error) {
	t, err := s.open(ctx, req.GetTicketId())
	if err != nil {
		return nil, err
	}
	if t.OrderID != req.GetOrderId() {
		return nil, errNoTicket
	}
	f := order.TransferRequest{
		ID: s.Orders.Policy.NewID(), TicketID: t.ID, RecipientName: personal.Text(req.GetRecipientName()),
		RecipientEmail: personal.Text(req.GetRecipientEmail()), RecipientLanguage: req.GetLanguage(), By: t.by,
	}
	fingerprint := idem.Fingerprint(1, req.GetOrderId(), req.GetTicketId(), req.GetRecipientName(), req.GetRecipientEmail(), req.GetLanguage())
	return idem.Do(ctx, s.Orders.Pool, s.Orders.Clock.Now(), fingerprint, func(ctx context.Context, tx pgx.Tx) (*checkoutv1.TransferTicketResponse, error) {
		o, _, err := s.Orders.ObserveTx(ctx, tx, orderstore.Key{ID: t.OrderID}, nil, f)
		if err != nil {
			return nil, err
		}
		return &checkoutv1.TransferTicketResponse{Transfer: seenBy(t.by, &o, f.ID)}, nil
	})
}

// seenBy is a transfer as staff, its recipient or whoever offers the ticket may know it.
func seenBy(by string, o *order.Order, id string) *checkoutv1.TicketTransfer {
	t := o.Transfer(id)
	switch by {
	case actorBuyer, actorHolder:
		return orderproto.HolderTransferToProto(o, t)
	case actorRecipient:
		out := orderproto.TransferToProto(o, t)
		out.RecipientEmail = ""
		return out
	}
	return orderproto.TransferToProto(o, t)
}

// orderOfTransfer reads the order of a transfer.
//
// Problems: TRANSFER_NOT_FOUND.
func (s *Service) orderOfTransfer(ctx context.Context, id string) (order.Order, error) {
	orderID, err := s.q.FindOrderOfTransfer(ctx, s.Orders.Pool, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return order.Order{}, errNoTransfer
	}
	if err != nil {
		return order.Order{}, fmt.Errorf("find order of transfer: %w", err)
	}
	return s.Orders.Read(ctx, orderstore.Key{ID: orderID})
}

// offered reads the order of a transfer whose recipient calls, or staff for the recipient, and says who it is.
//
// Problems: TRANSFER_NOT_FOUND, as much as about a transfer that does not exist.
func (s *Service) offered(ctx context.Context, id string) (o order.Order, by string, err error) {
	by = actorRecipient
	if caller := rpc.CallerFrom(ctx); caller.Role >= rpc.RoleOperator {
		by = caller.Name
	} else if !s.Tokens.OpensTransfer(rpc.BearerToken(ctx), id) {
		return o, "", errNoTransfer
	}
	o, err = s.orderOfTransfer(ctx, id)
	return o, by, err
}

// opened reads the order of a transfer that the recipient, the ticket's holder or staff ask for, and says who it is.
func (s *Service) opened(ctx context.Context, id string) (order.Order, string, error) {
	if s.Tokens.OpensTransfer(rpc.BearerToken(ctx), id) {
		o, err := s.orderOfTransfer(ctx, id)
		return o, actorRecipient, err
	}
	o, err := s.orderOfTransfer(ctx, id)
	if err != nil {
		return o, "", err
	}
	t, err := s.open(ctx, o.Transfer(id).TicketID)
	if errors.Is(err, errNoTicket) {
		return o, "", errNoTransfer
	}
	return o, t.by, err
}

// GetTransfer implements TicketService.
func (s *Service) GetTransfer(ctx context.Context, req *checkoutv1.GetTransferRequest) (*checkoutv1.GetTransferResponse, error) {
	o, by, err := s.opened(ctx, req.GetTransferId())
	if err != nil {
		return nil, err
	}
	t := o.Ticket(o.Transfer(req.GetTransferId()).TicketID)
	res := &checkoutv1.GetTransferResponse{
		Transfer: seenBy(by, &o, req.GetTransferId()), Event: eventToProto(&o, t), SenderName: string(o.Holder(t).Name),
	}
	if sold, err := t.ReadSnapshot(); err == nil {
		res.ProductName, res.VariantName = sold.ProductName, sold.VariantName
	}
	return res, nil
}

// AcceptTransfer implements TicketService. The key is stored with what happened, and the answer is of the order as it is then.
func (s *Service) AcceptTransfer(ctx context.Context, req *checkoutv1.AcceptTransferRequest) (*checkoutv1.AcceptTransferResponse, error) {
	before, by, err := s.offered(ctx, req.GetTransferId())
	if err != nil {
		return nil, err
	}
	f := order.TransferAnswer{ID: req.GetTransferId(), By: by}
	res, err := idem.Do(ctx, s.Orders.Pool, s.Orders.Clock.Now(), idem.Fingerprint(1, req.GetTransferId()), func(ctx context.Context, tx pgx.Tx) (*checkoutv1.AcceptTransferResponse, error) {
		o, _, err := s.Orders.ObserveTx(ctx, tx, orderstore.Key{ID: before.ID}, nil, f)
		if err != nil {
			return nil, err
		}
		return &checkoutv1.AcceptTransferResponse{Transfer: seenBy(by, &o, f.ID)}, nil
	})
	if err != nil {
		return nil, err
	}
	newID := res.GetTransfer().GetNewTicketId()
	o, err := s.issued(ctx, before.ID, newID)
	if err != nil {
		return nil, err
	}
	res.HeldTicket, res.TicketAccessToken = s.heldTicket(ctx, &o, newID), s.Tokens.Ticket(newID)
	return res, nil
}

// DeclineTransfer implements TicketService.
func (s *Service) DeclineTransfer(ctx context.Context, req *checkoutv1.DeclineTransferRequest) (*checkoutv1.DeclineTransferResponse, error) {
	before, by, err := s.offered(ctx, req.GetTransferId())
	if err != nil {
		return nil, err
	}
	f := order.TransferEnd{ID: req.GetTransferId(), State: order.TransferDeclined, By: by}
	return idem.Do(ctx, s.Orders.Pool, s.Orders.Clock.Now(), idem.Fingerprint(1, req.GetTransferId()), func(ctx context.Context, tx pgx.Tx) (*checkoutv1.DeclineTransferResponse, error) {
		o, _, err := s.Orders.ObserveTx(ctx, tx, orderstore.Key{ID: before.ID}, nil, f)
		if err != nil {
			return nil, err
		}
		return &checkoutv1.DeclineTransferResponse{Transfer: seenBy(by, &o, f.ID)}, nil
	})
}

// CancelTransfer implements TicketService.
func (s *Service) CancelTransfer(ctx context.Context, req *checkoutv1.CancelTransferRequest) (*checkoutv1.CancelTransferResponse, error) {
	before, by, err := s.opened(ctx, req.GetTransferId())
	if err == nil && by == actorRecipient { // who declines
		err = errNoTransfer
	}
	if err != nil {
		return nil, err
	}
	f := order.TransferEnd{ID: req.GetTransferId(), State: order.TransferCanceled, By: by}
	return idem.Do(ctx, s.Orders.Pool, s.Orders.Clock.Now(), idem.Fingerprint(1, req.GetTransferId()), func(ctx context.Context, tx pgx.Tx) (*checkoutv1.CancelTransferResponse, error) {
		o, _, err := s.Orders.ObserveTx(ctx, tx, orderstore.Key{ID: before.ID}, nil, f)
		if err != nil {
			return nil, err
		}
		return &checkoutv1.CancelTransferResponse{Transfer: seenBy(by, &o, f.ID)}, nil
	})
}
