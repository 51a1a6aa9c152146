package payment

import (
	"context"

	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/orderproto"
	"github.com/dayof/dayof/checkoutsvc/wire"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/idem"
)

// disputeFingerprint covers what a dispute reports.
func disputeFingerprint(req *checkoutv1.RecordDisputeRequest) []byte {
	parts := []any{
		req.GetStripeAccount(), req.GetDisputeId(), req.GetPaymentIntentId(), req.GetChargeId(), req.GetStatus(),
		req.GetAmount().GetCurrency(), req.GetAmount().GetMinorUnits(), req.GetDisputeReason(), req.GetObservedTime().AsTime(),
		req.GetEvidenceDueTime() != nil, req.GetEvidenceDueTime().AsTime(),
	}
	for _, f := range req.GetFunds() {
		parts = append(parts, f.GetBalanceTransactionId(), f.GetMinorUnits(), f.GetFeeMinorUnits(), f.GetCurrency(), f.GetTime().AsTime())
	}
	return idem.Fingerprint(1, parts...)
}

// RecordDispute implements PaymentService.
func (s *Service) RecordDispute(ctx context.Context, req *checkoutv1.RecordDisputeRequest) (*checkoutv1.RecordDisputeResponse, error) {
	f := order.DisputeObserved{
		ID: req.GetDisputeId(), IntentID: req.GetPaymentIntentId(), Status: orderproto.DisputeStatusFromProto[req.GetStatus()],
		AmountMinorUnits: req.GetAmount().GetMinorUnits(), Currency: req.GetAmount().GetCurrency(), DisputeReason: req.GetDisputeReason(),
		EvidenceDueTime: wire.TimeFromProto(req.GetEvidenceDueTime()), Time: req.GetObservedTime().AsTime(),
	}
	for _, funds := range req.GetFunds() {
		f.Funds = append(f.Funds, order.DisputeFunds{
			BalanceTransactionID: funds.GetBalanceTransactionId(), MinorUnits: funds.GetMinorUnits(), FeeMinorUnits: funds.GetFeeMinorUnits(),
			FundsTime: funds.GetTime().AsTime(), Currency: funds.GetCurrency(),
		})
	}
	key, err := s.orderOfCharge(ctx, req.GetStripeAccount(), f.IntentID, req.GetChargeId()) // the link may be known a moment later
	if err != nil {
		return nil, err
	}
	f.IntentID = key.StripeID
	o, _, err := s.Orders.Observe(ctx, key, disputeFingerprint(req), f)
	if err != nil {
		return nil, err
	}
	return &checkoutv1.RecordDisputeResponse{OrderId: o.ID, PaymentState: orderproto.PaymentToProto[o.Payment]}, nil
}
