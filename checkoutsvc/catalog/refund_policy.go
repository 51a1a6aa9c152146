package catalog

import (
	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/orderstore"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
)

// feeRefundToProto has the message of what becomes of the application fee.
var feeRefundToProto = map[order.ApplicationFeeRefund]checkoutv1.ApplicationFeeRefund{
	order.ApplicationFeeAsConfigured: checkoutv1.ApplicationFeeRefund_APPLICATION_FEE_REFUND_UNSPECIFIED,
	order.ApplicationFeeReturned:     checkoutv1.ApplicationFeeRefund_APPLICATION_FEE_REFUND_RETURNED,
	order.ApplicationFeeKept:         checkoutv1.ApplicationFeeRefund_APPLICATION_FEE_REFUND_KEPT,
}

// setRefundPolicy sets how tickets of an event are refunded; nil takes the policy away.
func setRefundPolicy(e *checkoutdb.Event, p *checkoutv1.RefundPolicy) {
	e.BuyerRefundSeconds, e.RefundKeptBasisPoints, e.RefundApplicationFee = nil, p.GetKeptBasisPoints(), ""
	if p != nil {
		e.BuyerRefundSeconds = p.BuyerSecondsBeforeStart
	}
	for fee, message := range feeRefundToProto {
		if message == p.GetApplicationFee() {
			e.RefundApplicationFee = string(fee)
		}
	}
}

func refundPolicyToProto(e checkoutdb.Event) *checkoutv1.RefundPolicy {
	p := orderstore.RefundPolicy(e.BuyerRefundSeconds, e.RefundKeptBasisPoints, e.RefundApplicationFee)
	if p == nil {
		return nil
	}
	return &checkoutv1.RefundPolicy{
		BuyerSecondsBeforeStart: p.BuyerSecondsBeforeStart, KeptBasisPoints: p.KeptBasisPoints, ApplicationFee: feeRefundToProto[p.ApplicationFee],
	}
}
