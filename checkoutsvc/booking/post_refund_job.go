package booking

import (
	"context"
	"fmt"

	"github.com/riverqueue/river"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/wire"
	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// PostRefundArgs names a refund whose state the books shall follow.
type PostRefundArgs struct {
	RefundID string `json:"refund_id"`
}

// Kind implements river.JobArgs.
func (PostRefundArgs) Kind() string { return string(order.WorkPostRefund) }

// PostRefund posts a refund, and its reversal when it failed or was canceled. Idempotent: the second time these are the same
// entries.
func (j *Jobs) PostRefund(ctx context.Context, job *river.Job[PostRefundArgs]) error {
	o, r, p, err := j.Orders.ReadRefund(ctx, job.Args.RefundID)
	if err != nil {
		return err
	}
	id, at := r.LedgerID(), r.CreateTime
	if id == "" {
		return nil // Stripe never made it
	}
	if r.RefundTime != nil {
		at = *r.RefundTime
	}
	if err := j.bookMismatchedPayment(ctx, &o, p, r.Currency); err != nil {
		return err
	}
	_, err = j.Ledger.RecordRefund(rpc.WithIdempotencyKey(ctx, "order/"+o.ID+"/record-refund/"+id), &ledgerv1.RecordRefundRequest{
		StripeRefundId: id, PaymentIntentId: p.StripeID, Amount: wire.MoneyToProto(r.Currency, r.AmountMinorUnits),
		ApplicationFeeMinorUnits: r.ApplicationFeeMinorUnits, Taxes: TaxesToProto(r.Taxes), RefundTime: timestamppb.New(at),
	})
	if err := j.waitForEntry(err, r.CreateTime, "record refund"); err != nil {
		return err
	}
	if r.State != order.RefundFailed && r.State != order.RefundCanceled {
		return nil
	}
	_, err = j.Ledger.RecordRefundFailure(rpc.WithIdempotencyKey(ctx, "order/"+o.ID+"/record-refund-failure/"+id),
		&ledgerv1.RecordRefundFailureRequest{StripeRefundId: id})
	if err != nil {
		return fmt.Errorf("record refund failure: %w", err)
	}
	if r.Reason == order.RefundUnmatched {
		return nil // a known refund took its place
	}
	// A charge's refunded sum that was reported before the failure may have hidden another refund behind this one; where
	// Stripe reports refunds by their sums only, nobody else would find it.
	return j.FetchRefunds(ctx, order.IntentRef{Account: p.StripeAccount, IntentID: p.StripeID})
}
