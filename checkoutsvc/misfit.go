package checkoutsvc

import (
	"context"
	"fmt"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// bookMisfit books money that fits no order as a bare receipt once it moves again: a person sent it back at Stripe, or
// the buyer's bank took it. Until then it waits for that person, outside of the books. Without the receipt what follows
// would wait for its capture for ever. Twice: the same entry, since all of it is frozen in the intent's row.
func (s *Service) bookMisfit(ctx context.Context, o *order, p *checkoutdb.PaymentIntent, currency string) error {
	if p.Mismatch == "" || p.CapturedMinorUnits == 0 {
		return nil
	}
	capture := captureOf(o, p, p.CreateTime)
	capture.Gross = &moneyv1.Money{Currency: currency, MinorUnits: p.CapturedMinorUnits} // perhaps not the order's currency
	_, err := s.Ledger.RecordReceipt(rpc.WithIdempotencyKey(ctx, "order/"+o.ID+"/record-receipt/"+*p.StripeID),
		&ledgerv1.RecordReceiptRequest{Capture: capture})
	if err != nil {
		return fmt.Errorf("record receipt of money that fits no order: %w", err)
	}
	return s.Jobs.Insert(ctx, recordFeeArgs{OrderID: o.ID, PaymentIntentRow: p.ID})
}
