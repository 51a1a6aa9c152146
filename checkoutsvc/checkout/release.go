package checkout

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/orderproto"
	"github.com/dayof/dayof/checkoutsvc/orderstore"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/idem"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// ReleaseTickets implements CheckoutService. The void tickets, their seats and the jobs that void their passes are written in one
// transaction with the key, under the order's lock.
func (s *Service) ReleaseTickets(ctx context.Context, req *checkoutv1.ReleaseTicketsRequest) (*checkoutv1.ReleaseTicketsResponse, error) {
	if _, err := s.orderOfToken(ctx, req.GetOrderId()); err != nil {
		return nil, err
	}
	caller := rpc.CallerFrom(ctx)
	f := order.TicketsReleased{TicketIDs: req.GetTicketIds(), By: caller.Name, Note: req.GetNote()}
	if caller.Role < rpc.RoleOperator {
		f.By, f.ByBuyer = "buyer", true
	}
	fingerprint := idem.Fingerprint(1, req.GetOrderId(), req.GetTicketIds(), req.GetNote())
	return idem.Do(ctx, s.Orders.Pool, s.Orders.Clock.Now(), fingerprint, func(ctx context.Context, tx pgx.Tx) (*checkoutv1.ReleaseTicketsResponse, error) {
		o, _, err := s.Orders.ObserveTx(ctx, tx, orderstore.Key{ID: req.GetOrderId()}, nil, f)
		if err != nil {
			return nil, err
		}
		return &checkoutv1.ReleaseTicketsResponse{Order: orderproto.BuyerOrderToProto(&o, s.Codes)}, nil
	})
}
