package checkout

import (
	"context"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/orderproto"
	"github.com/dayof/dayof/checkoutsvc/orderstore"
	"github.com/dayof/dayof/checkoutsvc/wire"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/idem"
)

// PreviewRefund implements CheckoutService.
func (s *Service) PreviewRefund(ctx context.Context, req *checkoutv1.PreviewRefundRequest) (*checkoutv1.PreviewRefundResponse, error) {
	o, err := s.orderOfToken(ctx, req.GetOrderId())
	if err != nil {
		return nil, err
	}
	back, err := o.BuyerRefundOf(req.GetTicketIds(), s.Orders.Clock.Now())
	if err != nil {
		return nil, orderstore.ToProblem(err)
	}
	res := &checkoutv1.PreviewRefundResponse{Amount: wire.MoneyToProto(o.Currency, back.MinorUnits), Kept: wire.MoneyToProto(o.Currency, back.KeptMinorUnits)}
	if back.Deadline != nil {
		res.Deadline = timestamppb.New(*back.Deadline)
	}
	return res, nil
}

// RefundTickets implements CheckoutService. The refund, the suspended tickets and the job that calls Stripe are written in one transaction
// with the key, under the order's lock.
func (s *Service) RefundTickets(ctx context.Context, req *checkoutv1.RefundTicketsRequest) (*checkoutv1.RefundTicketsResponse, error) {
	if _, err := s.orderOfToken(ctx, req.GetOrderId()); err != nil {
		return nil, err
	}
	f := order.BuyerRefund{ID: s.Orders.Policy.NewID(), TicketIDs: req.GetTicketIds()}
	if a := req.GetExpectedAmount(); a != nil {
		f.Expected = &order.Amount{Currency: a.GetCurrency(), MinorUnits: a.GetMinorUnits()}
	}
	fingerprint := idem.Fingerprint(1, req.GetOrderId(), req.GetTicketIds(), f.Expected != nil, req.GetExpectedAmount().GetCurrency(), req.GetExpectedAmount().GetMinorUnits())
	return idem.Do(ctx, s.Orders.Pool, s.Orders.Clock.Now(), fingerprint, func(ctx context.Context, tx pgx.Tx) (*checkoutv1.RefundTicketsResponse, error) {
		o, _, err := s.Orders.ObserveTx(ctx, tx, orderstore.Key{ID: req.GetOrderId()}, nil, f)
		if err != nil {
			return nil, err
		}
		return &checkoutv1.RefundTicketsResponse{Refund: orderproto.RefundToProto(o.Refund(f.ID)), Order: orderproto.BuyerOrderToProto(&o, s.Codes)}, nil
	})
}
