package payment

import (
	"context"

	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/orderproto"
	"github.com/dayof/dayof/checkoutsvc/orderstore"
	"github.com/dayof/dayof/checkoutsvc/refund"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/idem"
)

// Service implements PaymentService. All fields are required.
type Service struct {
	Orders   *orderstore.Store
	Payments *Payments
	Refunds  *refund.Refunds
}

// paymentFingerprint covers all that a payment reports.
func paymentFingerprint(f order.Payment) []byte {
	return idem.Fingerprint(1, f.Account, f.IntentID, f.OrderID, string(f.Status), f.Currency, f.AmountMinorUnits,
		f.ReceivedMinorUnits, f.Livemode, f.Time, f.ChargeID, f.BalanceTransactionID, f.FailureCode)
}

// RecordPayment implements PaymentService.
func (s *Service) RecordPayment(ctx context.Context, req *checkoutv1.RecordPaymentRequest) (*checkoutv1.RecordPaymentResponse, error) {
	f := order.Payment{
		Account:  req.GetStripeAccount(),
		IntentID: req.GetPaymentIntentId(),
		OrderID:  req.GetOrderId(),
		Status:   orderproto.IntentStatusFromProto[req.GetStatus()],
		Currency: req.GetAmount().GetCurrency(), AmountMinorUnits: req.GetAmount().GetMinorUnits(),
		ReceivedMinorUnits: req.GetReceivedMinorUnits(),
		Livemode:           req.GetLivemode(),
		Time:               req.GetObservedTime().AsTime(),
		ChargeID:           req.GetChargeId(),
		FailureCode:        req.GetFailureCode(),
	}
	o, _, err := s.Payments.Record(ctx, keyOf(f), paymentFingerprint(f), adopting(f))
	if err != nil {
		return nil, err
	}
	return &checkoutv1.RecordPaymentResponse{
		OrderId: o.ID, PaymentState: orderproto.PaymentToProto[o.Payment], FulfilmentState: orderproto.FulfilmentToProto[o.Fulfilment],
	}, nil
}

// RecordCharge implements PaymentService.
func (s *Service) RecordCharge(ctx context.Context, req *checkoutv1.RecordChargeRequest) (*checkoutv1.RecordChargeResponse, error) {
	f := order.Charge{
		Account:   req.GetStripeAccount(),
		IntentID:  req.GetPaymentIntentId(),
		OrderID:   req.GetOrderId(),
		ChargeID:  req.GetChargeId(),
		Succeeded: req.GetSucceeded(), Captured: req.GetCaptured(),
		Currency: req.GetAmount().GetCurrency(), AmountMinorUnits: req.GetAmount().GetMinorUnits(),
		CapturedMinorUnits: req.GetCapturedMinorUnits(), RefundedMinorUnits: req.GetRefundedMinorUnits(),
		Livemode:             req.GetLivemode(),
		Time:                 req.GetObservedTime().AsTime(),
		BalanceTransactionID: req.GetBalanceTransactionId(),
		FailureCode:          req.GetFailureCode(),
	}
	p := f.Payment()
	o, c, err := s.Payments.Record(ctx, keyOf(p), paymentFingerprint(p), func(adopt bool) order.Fact {
		f.Adopt = adopt
		return f
	})
	if err != nil {
		return nil, err
	}
	if c.FetchRefunds != nil {
		if err := s.Refunds.Fetch(ctx, *c.FetchRefunds); err != nil {
			return nil, err
		}
	}
	return &checkoutv1.RecordChargeResponse{
		OrderId: o.ID, PaymentState: orderproto.PaymentToProto[o.Payment], FulfilmentState: orderproto.FulfilmentToProto[o.Fulfilment],
	}, nil
}
