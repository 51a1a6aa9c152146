package booking

import (
	"context"
	"fmt"

	"github.com/riverqueue/river"

	"github.com/dayof/dayof/checkoutsvc/order"
	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// SettleReceiptArgs names a refund of money that bought nothing: duplicate, late, or of an order that was given up.
type SettleReceiptArgs struct {
	RefundID string `json:"refund_id"`
}

// Kind implements river.JobArgs.
func (SettleReceiptArgs) Kind() string { return string(order.WorkSettleReceipt) }

// SettleReceipt books unwanted money as a bare receipt. When the ledger has it as a sale already (the posting of an attempt
// that was given up landed after all), that entry stays and the refund leaves from its shares.
//
// Idempotent: the second time it is the same entry.
func (j *Jobs) SettleReceipt(ctx context.Context, job *river.Job[SettleReceiptArgs]) error {
	o, r, p, err := j.Orders.ReadRefund(ctx, job.Args.RefundID)
	if err != nil {
		return err
	}
	at := r.CreateTime // money of a duplicate payment has no capture time of its own that is frozen
	if o.PayingIntent == r.PaymentIntent {
		at = *o.CaptureTime
	}
	_, err = j.Ledger.RecordReceipt(rpc.WithIdempotencyKey(ctx, "order/"+o.ID+"/record-receipt/"+r.PaymentIntent),
		&ledgerv1.RecordReceiptRequest{Capture: Capture(&o, p, at)})
	if err != nil {
		return fmt.Errorf("record receipt: %w", err)
	}
	return nil
}
