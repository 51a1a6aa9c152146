package checkoutsvc

import (
	"context"
	"fmt"
	"time"

	"github.com/riverqueue/river"
	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
	"github.com/dayof/dayof/internal/chassis/jobs"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// postRefundArgs names a refund whose state the books shall follow.
type postRefundArgs struct {
	RefundID string `json:"refund_id"`
}

// Kind implements river.JobArgs.
func (postRefundArgs) Kind() string { return "post_refund" }

const (
	// captureWait is the pause before a refund is posted once more whose capture is not in the ledger yet.
	captureWait = 2 * time.Second
	// captureWaitMax is for how long a refund waits for its capture before that counts as a failure.
	captureWaitMax = time.Hour
)

// postRefund posts a refund, and its reversal when it failed or was canceled. Twice: the same entries.
func (s *Service) postRefund(ctx context.Context, job *river.Job[postRefundArgs]) error {
	r, o, p, err := s.readRefund(ctx, job.Args.RefundID)
	if err != nil {
		return err
	}
	if r.StripeRefundID == nil {
		return nil // Stripe never made it
	}
	if err := s.bookMisfit(ctx, o, p, r.Currency); err != nil {
		return err
	}
	taxes, err := readTaxes(r.Taxes)
	if err != nil {
		return err
	}
	req := &ledgerv1.RecordRefundRequest{
		StripeRefundId: *r.StripeRefundID, PaymentIntentId: *p.StripeID,
		Amount:                   &moneyv1.Money{Currency: r.Currency, MinorUnits: r.AmountMinorUnits},
		ApplicationFeeMinorUnits: r.ApplicationFeeMinorUnits, RefundTime: timestamppb.New(refundTime(r)),
	}
	for _, t := range taxes {
		req.Taxes = append(req.Taxes, &ledgerv1.TaxShare{Country: t.Country, Kind: t.Kind, MinorUnits: t.MinorUnits})
	}
	_, err = s.Ledger.RecordRefund(rpc.WithIdempotencyKey(ctx, "order/"+o.ID+"/record-refund/"+*r.StripeRefundID), req)
	if problem.Reason(err) == "CAPTURE_NOT_POSTED" && s.Clock.Now().Sub(r.CreateTime) < captureWaitMax {
		return jobs.Snooze(captureWait)
	}
	if err != nil {
		return fmt.Errorf("record refund: %w", err)
	}
	if r.State != refundFailed && r.State != refundCanceled {
		return nil
	}
	_, err = s.Ledger.RecordRefundFailure(rpc.WithIdempotencyKey(ctx, "order/"+o.ID+"/record-refund-failure/"+*r.StripeRefundID),
		&ledgerv1.RecordRefundFailureRequest{StripeRefundId: *r.StripeRefundID})
	if err != nil {
		return fmt.Errorf("record refund failure: %w", err)
	}
	// A charge's refunded sum that was told before the failure may have hidden another refund behind this one; where Stripe
	// tells refunds by their sums only, nobody else would find it.
	return s.mergeRefunds(ctx, p.StripeAccount, *p.StripeID)
}
