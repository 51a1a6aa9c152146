package checkoutsvc

import (
	"context"
	"fmt"

	"github.com/riverqueue/river"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// settleReceiptArgs names a refund of money that bought nothing: duplicate, late, or of an order that was given up.
type settleReceiptArgs struct {
	RefundID string `json:"refund_id"`
}

// Kind implements river.JobArgs.
func (settleReceiptArgs) Kind() string { return "settle_receipt" }

// settleReceipt books unwanted money as a bare receipt. When the ledger has it as a sale already (the posting of a walk
// that was given up landed after all), that entry stays and the refund leaves from its shares. Twice: the same entry.
func (s *Service) settleReceipt(ctx context.Context, job *river.Job[settleReceiptArgs]) error {
	r, o, p, err := s.readRefund(ctx, job.Args.RefundID)
	if err != nil {
		return err
	}
	at := r.CreateTime // money of a duplicate payment has no capture time of its own that is frozen
	if o.PayingIntent != nil && *o.PayingIntent == r.PaymentIntent {
		at = *o.CaptureTime
	}
	_, err = s.Ledger.RecordReceipt(rpc.WithIdempotencyKey(ctx, "order/"+o.ID+"/record-receipt/"+r.PaymentIntent),
		&ledgerv1.RecordReceiptRequest{Capture: captureOf(o, p, at)})
	if err != nil {
		return fmt.Errorf("record receipt: %w", err)
	}
	return nil
}

// readRefund loads a refund with its order and the intent whose money goes back.
func (s *Service) readRefund(ctx context.Context, id string) (checkoutdb.Refund, *order, *checkoutdb.PaymentIntent, error) {
	r, err := s.q.GetRefund(ctx, s.Pool, id)
	if err != nil {
		return r, nil, nil, fmt.Errorf("get refund %s: %w", id, err)
	}
	o, err := readOrder(ctx, s.Pool, orderKey{ID: r.OrderID})
	if err != nil {
		return r, nil, nil, err
	}
	for i := range o.Intents {
		if p := &o.Intents[i]; p.StripeID != nil && *p.StripeID == r.PaymentIntent {
			return r, o, p, nil
		}
	}
	return r, nil, nil, fmt.Errorf("refund %s is of an intent that order %s does not have", id, o.ID)
}
