package checkoutsvc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/riverqueue/river"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
	"github.com/dayof/dayof/internal/chassis/jobs"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// postDisputeFundsArgs names money that a dispute moved.
type postDisputeFundsArgs struct {
	OrderID              string `json:"order_id"`
	BalanceTransactionID string `json:"balance_transaction_id"`
}

// Kind implements river.JobArgs.
func (postDisputeFundsArgs) Kind() string { return "post_dispute_funds" }

// postDisputeLossArgs names a dispute that was lost.
type postDisputeLossArgs struct {
	OrderID   string `json:"order_id"`
	DisputeID string `json:"dispute_id"`
}

// Kind implements river.JobArgs.
func (postDisputeLossArgs) Kind() string { return "post_dispute_loss" }

// postDisputeFunds posts a balance transaction of a dispute. Twice: the same entry.
func (s *Service) postDisputeFunds(ctx context.Context, job *river.Job[postDisputeFundsArgs]) error {
	o, err := readOrder(ctx, s.Pool, orderKey{ID: job.Args.OrderID})
	if err != nil {
		return err
	}
	i := slices.IndexFunc(o.Funds, func(f checkoutdb.DisputeFund) bool { return f.BalanceTransactionID == job.Args.BalanceTransactionID })
	if i < 0 {
		return jobs.Cancel(errors.New("the order has no such dispute funds"))
	}
	f := o.Funds[i]
	d, err := o.dispute(f.DisputeID)
	if err != nil {
		return err
	}
	req := &ledgerv1.RecordDisputeFundsRequest{
		DisputeId: d.ID, PaymentIntentId: d.PaymentIntent, BalanceTransactionId: f.BalanceTransactionID,
		Amount:        &moneyv1.Money{Currency: d.Currency, MinorUnits: f.MinorUnits},
		FeeMinorUnits: f.FeeMinorUnits, FundsTime: timestamppb.New(f.FundsTime),
	}
	if f.Currency != "" && f.Currency != d.Currency {
		if err := s.convertDisputeFunds(ctx, o, d, f, req); err != nil {
			return err
		}
	}
	if p := o.intent("", d.PaymentIntent); p != nil {
		if err := s.bookMisfit(ctx, o, p, d.Currency); err != nil {
			return err
		}
	}
	_, err = s.Ledger.RecordDisputeFunds(rpc.WithIdempotencyKey(ctx, "order/"+o.ID+"/record-dispute-funds/"+f.BalanceTransactionID), req)
	return s.waitForEntry(err, job.CreatedAt, "record dispute funds")
}

// postDisputeLoss posts who bears a lost dispute. Twice: the same entry.
func (s *Service) postDisputeLoss(ctx context.Context, job *river.Job[postDisputeLossArgs]) error {
	o, err := readOrder(ctx, s.Pool, orderKey{ID: job.Args.OrderID})
	if err != nil {
		return err
	}
	d, err := o.dispute(job.Args.DisputeID)
	if err != nil {
		return err
	}
	_, err = s.Ledger.RecordDisputeLoss(rpc.WithIdempotencyKey(ctx, "order/"+o.ID+"/record-dispute-loss/"+d.ID),
		&ledgerv1.RecordDisputeLossRequest{
			DisputeId: d.ID, PaymentIntentId: d.PaymentIntent,
			Amount:    &moneyv1.Money{Currency: d.Currency, MinorUnits: d.AmountMinorUnits},
			CloseTime: timestamppb.New(*d.CloseTime),
		})
	return s.waitForEntry(err, job.CreatedAt, "record dispute loss")
}

// waitForEntry lets a job wait, without spending attempts, for an entry that must be in the ledger first.
func (s *Service) waitForEntry(err error, since time.Time, doing string) error {
	if err == nil {
		return nil
	}
	reason := problem.Reason(err)
	if (reason == "CAPTURE_NOT_POSTED" || reason == "DISPUTE_NOT_WITHDRAWN") && s.Clock.Now().Sub(since) < captureWaitMax {
		return jobs.Snooze(captureWait)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

func (o *order) dispute(id string) (checkoutdb.Dispute, error) {
	i := slices.IndexFunc(o.Disputes, func(d checkoutdb.Dispute) bool { return d.ID == id })
	if i < 0 {
		return checkoutdb.Dispute{}, jobs.Cancel(errors.New("the order has no such dispute"))
	}
	return o.Disputes[i], nil
}

// convertDisputeFunds posts that Stripe moved the disputed amount in the balance's currency, and has the funds posted in
// the dispute's own, so that its account returns to zero: all of a disputed amount moves at once. The fee stays in the
// balance's currency. Twice: the same entry.
func (s *Service) convertDisputeFunds(
	ctx context.Context, o *order, d checkoutdb.Dispute, f checkoutdb.DisputeFund, req *ledgerv1.RecordDisputeFundsRequest,
) error {
	balance := &moneyv1.Money{Currency: f.Currency, MinorUnits: f.MinorUnits}
	disputed := &moneyv1.Money{Currency: d.Currency, MinorUnits: d.AmountMinorUnits}
	from, to := disputed, balance // reinstated
	if f.MinorUnits < 0 {
		balance.MinorUnits = -f.MinorUnits
		from, to = balance, disputed
		req.Amount = &moneyv1.Money{Currency: d.Currency, MinorUnits: -d.AmountMinorUnits}
	} else {
		req.Amount = disputed
	}
	req.FeeCurrency = f.Currency
	account := ""
	if p := o.intentOf(d.PaymentIntent); p != nil {
		account = p.StripeAccount
	}
	return s.recordConversion(ctx, o, f.BalanceTransactionID, &ledgerv1.RecordConversionRequest{
		BalanceTransactionId: f.BalanceTransactionID, OrderId: o.ID, OrganizerId: o.OrganizerID, PaymentIntentId: d.PaymentIntent,
		StripeAccount: account, From: from, To: to, ConversionTime: timestamppb.New(f.FundsTime),
	})
}

// recordConversion posts a conversion. Twice: the same entry.
func (s *Service) recordConversion(ctx context.Context, o *order, transactionID string, req *ledgerv1.RecordConversionRequest) error {
	if _, err := s.Ledger.RecordConversion(rpc.WithIdempotencyKey(ctx, "order/"+o.ID+"/record-conversion/"+transactionID), req); err != nil {
		return fmt.Errorf("record conversion: %w", err)
	}
	return nil
}

// intentOf returns the intent of that id at Stripe, on whichever account; nil if the order has none.
func (o *order) intentOf(stripeID string) *checkoutdb.PaymentIntent {
	i := slices.IndexFunc(o.Intents, func(p checkoutdb.PaymentIntent) bool { return deref(p.StripeID) == stripeID })
	if i < 0 {
		return nil
	}
	return &o.Intents[i]
}
