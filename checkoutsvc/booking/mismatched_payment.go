package booking

import (
	"context"
	"fmt"

	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/wire"
	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// bookMismatchedPayment books money that fits no order as a bare receipt once it moves again: a person sent it back at
// Stripe, or the buyer's bank took it. Until then it waits for that person, outside of the books. Without the receipt what
// follows would wait for its capture for ever.
//
// Idempotent: the second time it is the same entry, since all of it is frozen in the intent's row.
func (j *Jobs) bookMismatchedPayment(ctx context.Context, o *order.Order, p *order.PaymentIntent, currency string) error {
	if p.Mismatch == order.MismatchNone || p.CapturedMinorUnits == 0 {
		return nil
	}
	capture := Capture(o, p, p.CreateTime)
	capture.Gross = wire.MoneyToProto(currency, p.CapturedMinorUnits) // perhaps not the order's currency
	_, err := j.Ledger.RecordReceipt(rpc.WithIdempotencyKey(ctx, "order/"+o.ID+"/record-receipt/"+p.StripeID),
		&ledgerv1.RecordReceiptRequest{Capture: capture})
	if err != nil {
		return fmt.Errorf("record receipt of money that fits no order: %w", err)
	}
	return j.Insert(ctx, o.ID, order.Work{Kind: order.WorkRecordFee, ID: p.ID})
}
