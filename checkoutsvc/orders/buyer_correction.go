package orders

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/orderproto"
	"github.com/dayof/dayof/checkoutsvc/orderstore"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/idem"
	"github.com/dayof/dayof/internal/chassis/rpc"
	"github.com/dayof/dayof/internal/personal"
)

// correctFingerprint covers what is corrected.
func correctFingerprint(req *checkoutv1.CorrectBuyerRequest) []byte {
	b := req.GetBuyer()
	return idem.Fingerprint(1, req.GetOrderId(), b.GetName(), b.GetEmail(), b.GetLanguage(), req.GetNote(), req.GetOverLimit())
}

// CorrectBuyer implements OrderService. The limits of the new address are checked in the transaction that writes it.
func (s *Service) CorrectBuyer(ctx context.Context, req *checkoutv1.CorrectBuyerRequest) (*checkoutv1.CorrectBuyerResponse, error) {
	b := req.GetBuyer()
	f := order.BuyerCorrected{
		Name: personal.Text(b.GetName()), Email: personal.Text(b.GetEmail()), Language: b.GetLanguage(),
		MailID: s.Orders.Policy.NewID(), Note: req.GetNote(), By: rpc.CallerFrom(ctx).Name,
	}
	return idem.Do(ctx, s.Orders.Pool, s.Orders.Clock.Now(), correctFingerprint(req), func(ctx context.Context, tx pgx.Tx) (*checkoutv1.CorrectBuyerResponse, error) {
		o, c, err := s.Orders.ObserveTx(ctx, tx, orderstore.Key{ID: req.GetOrderId()}, nil, f)
		if err != nil {
			return nil, err
		}
		if c.BuyerKey && !req.GetOverLimit() {
			if err := s.Orders.CheckCorrectedBuyer(ctx, tx, &o); err != nil {
				return nil, err
			}
		}
		return &checkoutv1.CorrectBuyerResponse{
			Order: orderproto.OrderToProto(&o, s.Codes),
			Buyer: &checkoutv1.Buyer{Name: string(o.BuyerName), Email: string(o.BuyerEmail), Language: o.Language},
		}, nil
	})
}
