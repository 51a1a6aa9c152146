package checkoutsvc_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
)

// TestWeakerEventsHideNothing reports pairs of events of one payment in both orders: the weaker one, which Stripe made later, hides
// nothing. All pairs are observed by the rules alone, see the package order.
func TestWeakerEventsHideNothing(t *testing.T) {
	t.Parallel()
	w := newHarnessAlone(t)
	r := w.replicas[0].payments
	const processing, failed, succeeded = checkoutv1.PaymentIntentStatus_PAYMENT_INTENT_STATUS_PROCESSING,
		checkoutv1.PaymentIntentStatus_PAYMENT_INTENT_STATUS_FAILED, checkoutv1.PaymentIntentStatus_PAYMENT_INTENT_STATUS_SUCCEEDED
	at := func(second int) *timestamppb.Timestamp {
		return timestamppb.New(time.Date(2026, 1, 2, 3, 4, second, 0, time.UTC))
	}
	type report func(o *checkoutv1.Order, key string) error
	intent := func(status checkoutv1.PaymentIntentStatus, second int) report {
		return func(o *checkoutv1.Order, key string) error {
			req := paid(o)
			req.Status, req.ObservedTime = status, at(second)
			if status != succeeded {
				req.ReceivedMinorUnits = 0
			}
			_, err := r.RecordPayment(w.keyed(key), req)
			return err
		}
	}
	declined := func(o *checkoutv1.Order, key string) error {
		_, err := r.RecordCharge(w.keyed(key), &checkoutv1.RecordChargeRequest{
			PaymentIntentId: o.GetPaymentIntents()[0].GetId(), OrderId: o.GetId(), ChargeId: "ch_declined", Amount: o.GetTotal(),
			FailureCode: "card_declined", ObservedTime: at(40),
		})
		return err
	}
	refund := func(state checkoutv1.RefundState, second int) report {
		return func(o *checkoutv1.Order, key string) error {
			_, err := r.RecordRefund(w.keyed(key), &checkoutv1.RecordRefundRequest{
				StripeRefundId: "re_" + o.GetId(), PaymentIntentId: o.GetPaymentIntents()[0].GetId(), OrderId: o.GetId(), Amount: money(100),
				State: state, RefundTime: at(second),
			})
			return err
		}
	}
	refundIs := func(state checkoutv1.RefundState) func(o *checkoutv1.Order) bool {
		return func(o *checkoutv1.Order) bool {
			return len(o.GetRefunds()) == 1 && o.GetRefunds()[0].GetState() == state
		}
	}
	paymentIs := func(states ...checkoutv1.PaymentState) func(o *checkoutv1.Order) bool {
		return func(o *checkoutv1.Order) bool { return slices.Contains(states, o.GetPaymentState()) }
	}
	for name, c := range map[string]struct {
		strong, weak report
		stands       func(o *checkoutv1.Order) bool
	}{
		"a debit under way, and an update of the card declined before": {
			intent(processing, 20), declined, paymentIs(checkoutv1.PaymentState_PAYMENT_STATE_PROCESSING),
		},
		"money, and a failed attempt": {
			intent(succeeded, 20), intent(failed, 30), paymentIs(checkoutv1.PaymentState_PAYMENT_STATE_PAID),
		},
		"a refund that failed, and its creation": {
			refund(checkoutv1.RefundState_REFUND_STATE_FAILED, 20), refund(checkoutv1.RefundState_REFUND_STATE_PENDING, 30),
			refundIs(checkoutv1.RefundState_REFUND_STATE_FAILED),
		},
		"a refund that came, and one that waits": {
			refund(checkoutv1.RefundState_REFUND_STATE_SUCCEEDED, 20), refund(checkoutv1.RefundState_REFUND_STATE_PENDING, 30),
			refundIs(checkoutv1.RefundState_REFUND_STATE_SUCCEEDED),
		},
	} {
		for order, reports := range map[string][]report{"the stronger first": {c.strong, c.weak}, "the weaker first": {c.weak, c.strong}} {
			o := w.start(name+order, 1).GetOrder()
			for n, report := range reports {
				if err := report(o, fmt.Sprint(name, order, n)); err != nil {
					t.Fatalf("%s, %s: %v", name, order, err)
				}
			}
			if got := w.order(o.GetId()); !c.stands(got) {
				t.Errorf("%s, %s: payment is %v, refunds %v", name, order, got.GetPaymentState(), got.GetRefunds())
			}
		}
	}
}
