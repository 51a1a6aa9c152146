package payment

import (
	"context"

	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/orderproto"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/idem"
)

// refundFingerprint covers all that a refund reports.
func refundFingerprint(f order.RefundObserved) []byte {
	return idem.Fingerprint(1, f.Account, f.IntentID, f.OrderID, f.RefundID, f.StripeID, string(f.State),
		f.Currency, f.Amount, f.TicketIDs, f.FailureCode, f.Time)
}

// RecordRefund implements PaymentService.
func (s *Service) RecordRefund(ctx context.Context, req *checkoutv1.RecordRefundRequest) (*checkoutv1.RecordRefundResponse, error) {
	f := order.RefundObserved{
		Account: req.GetStripeAccount(), IntentID: req.GetPaymentIntentId(), OrderID: req.GetOrderId(), RefundID: req.GetRefundId(),
		StripeID: req.GetStripeRefundId(), State: orderproto.RefundStateFromProto[req.GetState()],
		Currency: req.GetAmount().GetCurrency(), Amount: req.GetAmount().GetMinorUnits(),
		TicketIDs: req.GetTicketIds(), FailureCode: req.GetFailureCode(), Time: req.GetRefundTime().AsTime(),
	}
	o, err := s.Refunds.Observe(ctx, f, refundFingerprint(f))
	if err != nil {
		return nil, err
	}
	res := &checkoutv1.RecordRefundResponse{OrderId: o.ID, PaymentState: orderproto.PaymentToProto[o.Payment]}
	if r := o.RefundOf(f); r != nil {
		res.RefundId = r.ID
	}
	return res, nil
}
