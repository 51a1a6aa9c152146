// Package orders implements OrderService: what staff see of orders, and the refunds that they ask for.
package orders

import (
	"context"
	"fmt"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/orderproto"
	"github.com/dayof/dayof/checkoutsvc/orderstore"
	"github.com/dayof/dayof/checkoutsvc/ticketcode"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/idem"
	"github.com/dayof/dayof/internal/chassis/page"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// Service implements OrderService. All exported fields are required.
type Service struct {
	Orders *orderstore.Store
	Codes  ticketcode.Keys
	// Invite gives tickets to guests, as ImportGuests does.
	Invite func(ctx context.Context, req *checkoutv1.ImportGuestsRequest) (*checkoutv1.ImportGuestsResponse, error)

	q checkoutdb.Queries
}

// GetOrderDetails implements OrderService.
func (s *Service) GetOrderDetails(ctx context.Context, req *checkoutv1.GetOrderDetailsRequest) (*checkoutv1.GetOrderDetailsResponse, error) {
	o, err := s.Orders.Read(ctx, orderstore.Key{ID: req.GetOrderId()})
	if err != nil {
		return nil, err
	}
	notes, err := s.q.ListTimeline(ctx, s.Orders.Pool, o.ID)
	if err != nil {
		return nil, fmt.Errorf("list timeline: %w", err)
	}
	return &checkoutv1.GetOrderDetailsResponse{
		Order:    orderproto.OrderToProto(&o, s.Codes),
		Buyer:    &checkoutv1.Buyer{Name: string(o.BuyerName), Email: string(o.BuyerEmail), Language: o.Language},
		Timeline: timeline(&o, notes),
	}, nil
}

// ListOrders implements OrderService.
func (s *Service) ListOrders(ctx context.Context, req *checkoutv1.ListOrdersRequest) (*checkoutv1.ListOrdersResponse, error) {
	list := page.List("orders", &checkoutv1.ListOrdersRequest{EventId: req.GetEventId(), FulfilmentState: req.GetFulfilmentState(), Buyer: req.GetBuyer()})
	before, err := page.Parse(req.GetPageToken(), list, page.AfterAll)
	if err != nil {
		return nil, err
	}
	size := page.Size(req.GetPageSize())
	rows, err := s.q.ListOrders(ctx, s.Orders.Pool, checkoutdb.ListOrdersParams{
		BeforeTime: before.Time, BeforeID: before.ID, EventID: req.GetEventId(),
		Fulfilment: string(orderproto.FulfilmentFromProto[req.GetFulfilmentState()]), PageSize: size + 1, Buyer: req.GetBuyer(),
	})
	if err != nil {
		return nil, fmt.Errorf("list orders: %w", err)
	}
	res := &checkoutv1.ListOrdersResponse{}
	if len(rows) > int(size) {
		rows = rows[:size]
		last := rows[size-1]
		res.NextPageToken = page.Token(list, page.Cursor{Time: last.CreateTime, ID: last.ID})
	}
	ids := make([]string, 0, len(rows))
	for _, row := range rows {
		ids = append(ids, row.ID)
	}
	orders, err := s.Orders.ReadAll(ctx, ids)
	if err != nil {
		return nil, err
	}
	for i := range orders {
		res.Orders = append(res.Orders, orderproto.OrderToProto(&orders[i], s.Codes))
	}
	return res, nil
}

// refundFingerprint covers what a refund is asked for.
func refundFingerprint(req *checkoutv1.RefundOrderRequest) []byte {
	parts := []any{
		req.GetOrderId(), req.GetTicketIds(), req.GetNote(), req.GetAmount() != nil, req.GetAmount().GetCurrency(), req.GetAmount().GetMinorUnits(),
	}
	if intent := req.GetPaymentIntentId(); intent != "" { // requests of before it could be named stay the same
		parts = append(parts, intent)
	}
	return idem.Fingerprint(1, parts...)
}

// RefundOrder implements OrderService. The refund, the void tickets and the job that calls Stripe are written in one
// transaction with the key, under the order's lock.
func (s *Service) RefundOrder(ctx context.Context, req *checkoutv1.RefundOrderRequest) (*checkoutv1.RefundOrderResponse, error) {
	f := order.RefundRequest{
		ID: s.Orders.Policy.NewID(), IntentID: req.GetPaymentIntentId(), TicketIDs: req.GetTicketIds(), Note: req.GetNote(),
		By: rpc.CallerFrom(ctx).Name,
	}
	if a := req.GetAmount(); a != nil {
		f.Amount = &order.Amount{Currency: a.GetCurrency(), MinorUnits: a.GetMinorUnits()}
	}
	return idem.Do(ctx, s.Orders.Pool, s.Orders.Clock.Now(), refundFingerprint(req), func(ctx context.Context, tx pgx.Tx) (*checkoutv1.RefundOrderResponse, error) {
		o, _, err := s.Orders.ObserveTx(ctx, tx, orderstore.Key{ID: req.GetOrderId()}, nil, f)
		if err != nil {
			return nil, err
		}
		return &checkoutv1.RefundOrderResponse{Refund: orderproto.RefundToProto(o.Refund(f.ID)), Order: orderproto.OrderToProto(&o, s.Codes)}, nil
	})
}

// acceptFingerprint covers what is accepted.
func acceptFingerprint(req *checkoutv1.AcceptPaymentRequest) []byte {
	return idem.Fingerprint(1, req.GetOrderId(), req.GetPaymentIntentId(), req.GetNote())
}

// AcceptPayment implements OrderService. The sweep for due orders makes the attempt.
func (s *Service) AcceptPayment(ctx context.Context, req *checkoutv1.AcceptPaymentRequest) (*checkoutv1.AcceptPaymentResponse, error) {
	f := order.PaymentAccepted{IntentID: req.GetPaymentIntentId(), By: rpc.CallerFrom(ctx).Name, Note: req.GetNote()}
	return idem.Do(ctx, s.Orders.Pool, s.Orders.Clock.Now(), acceptFingerprint(req), func(ctx context.Context, tx pgx.Tx) (*checkoutv1.AcceptPaymentResponse, error) {
		o, _, err := s.Orders.ObserveTx(ctx, tx, orderstore.Key{ID: req.GetOrderId()}, nil, f)
		if err != nil {
			return nil, err
		}
		return &checkoutv1.AcceptPaymentResponse{Order: orderproto.OrderToProto(&o, s.Codes)}, nil
	})
}

// ImportGuests implements OrderService.
func (s *Service) ImportGuests(ctx context.Context, req *checkoutv1.ImportGuestsRequest) (*checkoutv1.ImportGuestsResponse, error) {
	return s.Invite(ctx, req)
}

// RetryOrder implements OrderService. It moves the next attempt to now; the sweep for due orders makes it.
func (s *Service) RetryOrder(ctx context.Context, req *checkoutv1.RetryOrderRequest) (*checkoutv1.RetryOrderResponse, error) {
	o, err := s.Orders.Read(ctx, orderstore.Key{ID: req.GetOrderId()})
	if err != nil {
		return nil, err
	}
	fingerprint := idem.Fingerprint(1, req.GetOrderId())
	return idem.Do(ctx, s.Orders.Pool, s.Orders.Clock.Now(), fingerprint, func(ctx context.Context, tx pgx.Tx) (*checkoutv1.RetryOrderResponse, error) {
		due, err := s.q.MakeAttemptDue(ctx, tx, o.ID)
		if err != nil {
			return nil, fmt.Errorf("make attempt due: %w", err)
		}
		return &checkoutv1.RetryOrderResponse{Order: orderproto.OrderToProto(&o, s.Codes), Retried: due > 0}, nil
	})
}

// ResendReceipt implements OrderService. The mail has an id of its own, so that no reader takes it for the first one.
func (s *Service) ResendReceipt(ctx context.Context, req *checkoutv1.ResendReceiptRequest) (*checkoutv1.ResendReceiptResponse, error) {
	o, err := s.Orders.Read(ctx, orderstore.Key{ID: req.GetOrderId()})
	if err != nil {
		return nil, err
	}
	if o.Fulfilment != order.FulfilmentCompleted { // which is final
		return nil, problem.New(connect.CodeFailedPrecondition, "ORDER_NOT_COMPLETED",
			"there is no receipt of an order that is not complete: it is "+string(o.Fulfilment))
	}
	fingerprint := idem.Fingerprint(1, req.GetOrderId())
	return idem.Do(ctx, s.Orders.Pool, s.Orders.Clock.Now(), fingerprint, func(ctx context.Context, tx pgx.Tx) (*checkoutv1.ResendReceiptResponse, error) {
		if err := s.q.ForgetReceipt(ctx, tx, o.ID); err != nil {
			return nil, fmt.Errorf("forget receipt: %w", err)
		}
		mail := orderstore.Task{OrderID: o.ID, Work: order.Work{Kind: order.WorkSendReceipt, ID: s.Orders.Policy.NewID()}}
		if err := s.Orders.Enqueue(ctx, tx, mail); err != nil {
			return nil, err
		}
		return &checkoutv1.ResendReceiptResponse{Order: orderproto.OrderToProto(&o, s.Codes)}, nil
	})
}
