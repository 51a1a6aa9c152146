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

// PostRefund posts a refund, and its reversal when it failed or was canceled. What came back of the same payment is reversed
// before: else the books would give away the same money twice for a while, and the ledger would refuse the second for lack of
// funds. Idempotent: the second time these are the same entries.
func (j *Jobs) PostRefund(ctx context.Context, job *river.Job[PostRefundArgs]) error {
	o, r, p, err := j.Orders.ReadRefund(ctx, job.Args.RefundID)
	if err != nil {
		return err
	}
	if r.LedgerID() == "" {
		return nil // Stripe never made it
	}
	if err := j.bookMismatchedPayment(ctx, &o, p, r.Currency); err != nil {
		return err
	}
	for _, other := range o.Refunds {
		if other.ID == r.ID || other.PaymentIntent != p.StripeID || !other.State.CameBack() || other.LedgerID() == "" {
			continue
		}
		if err := j.postRefund(ctx, &o, &other); err != nil {
			return err
		}
	}
	if err := j.postRefund(ctx, &o, r); err != nil {
		return err
	}
	if err := j.settleRefund(ctx, &o, r, p); err != nil {
		return err
	}
	if !r.State.CameBack() || r.Reason == order.RefundUnmatched { // a known refund took its place
		return nil
	}
	// A charge's refunded sum that was reported before the failure may have hidden another refund behind this one; where
	// Stripe reports refunds by their sums only, nobody else would find it.
	return j.FetchRefunds(ctx, order.IntentRef{Account: p.StripeAccount, IntentID: p.StripeID})
}

// postRefund posts one refund, and its reversal when its money came back.
func (j *Jobs) postRefund(ctx context.Context, o *order.Order, r *order.Refund) error {
	id, at := r.LedgerID(), r.CreateTime
	if r.RefundTime != nil {
		at = *r.RefundTime
	}
	_, err := j.Ledger.RecordRefund(rpc.WithIdempotencyKey(ctx, "order/"+o.ID+"/record-refund/"+id), &ledgerv1.RecordRefundRequest{
		StripeRefundId: id, PaymentIntentId: r.PaymentIntent, Amount: wire.MoneyToProto(r.Currency, r.AmountMinorUnits),
		ApplicationFeeMinorUnits: r.ApplicationFeeMinorUnits, Taxes: TaxesToProto(r.Taxes), RefundTime: timestamppb.New(at),
	})
	if err := j.waitForEntry(err, r.CreateTime, "record refund"); err != nil || !r.State.CameBack() {
		return err
	}
	_, err = j.Ledger.RecordRefundFailure(rpc.WithIdempotencyKey(ctx, "order/"+o.ID+"/record-refund-failure/"+id),
		&ledgerv1.RecordRefundFailureRequest{StripeRefundId: id})
	if err != nil {
		return fmt.Errorf("record refund failure: %w", err)
	}
	return nil
}
