package checkoutsvc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/riverqueue/river"
	stripe "github.com/stripe/stripe-go/v76"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
	"github.com/dayof/dayof/internal/chassis/jobs"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// recordFeeArgs names a captured intent whose Stripe fee shall be booked.
type recordFeeArgs struct {
	OrderID          string `json:"order_id"`
	PaymentIntentRow string `json:"payment_intent_row"`
}

// Kind implements river.JobArgs.
func (recordFeeArgs) Kind() string { return "record_fee" }

const (
	// feeWait is the pause before Stripe is asked again for a balance transaction that does not exist yet.
	feeWait = 30 * time.Second
	// feeWaitMax is for how long we ask; with asynchronous capture charge.updated tells it in the end.
	feeWaitMax = 2 * time.Minute
	// feeOfApplication is the type of fee detail of a platform's application fee.
	feeOfApplication = "application_fee"
)

// keptByStripe is the part of a transaction's fee that Stripe keeps. On a connected account the platform's application
// fee is in it, too, which the sale has booked already.
// Source: Stripe API reference, balance transaction, fee_details.
func keptByStripe(bt *stripe.BalanceTransaction) int64 {
	kept := bt.Fee
	for _, detail := range bt.FeeDetails {
		if detail.Type == feeOfApplication {
			kept -= detail.Amount
		}
	}
	return kept
}

// recordFee fetches what Stripe kept of a captured intent and posts it, and what Stripe changed into the balance's
// currency. The fee's balance transaction is missing at first with asynchronous capture; charge.updated brings it and
// this job again. Twice: the same entry.
func (s *Service) recordFee(ctx context.Context, job *river.Job[recordFeeArgs]) error {
	o, err := readOrder(ctx, s.Pool, orderKey{ID: job.Args.OrderID})
	if err != nil {
		return err
	}
	i := slices.IndexFunc(o.Intents, func(p checkoutdb.PaymentIntent) bool { return p.ID == job.Args.PaymentIntentRow })
	if i < 0 {
		return jobs.Cancel(errors.New("the order has no such payment intent"))
	}
	p := o.Intents[i]
	id := p.BalanceTransactionID
	if id == "" {
		pi, err := s.stripe.getIntent(ctx, p.StripeAccount, *p.StripeID)
		if err != nil {
			return fmt.Errorf("get payment intent: %w", err)
		}
		if id = observed(pi, p.StripeAccount, s.Clock.Now()).BalanceTransactionID; id == "" {
			if s.Clock.Now().Sub(job.CreatedAt) < feeWaitMax {
				return jobs.Snooze(feeWait)
			}
			return nil
		}
	}
	bt, err := s.stripe.getBalanceTransaction(ctx, p.StripeAccount, id)
	if err != nil {
		return fmt.Errorf("get balance transaction: %w", err)
	}
	_, err = s.Ledger.RecordStripeFee(rpc.WithIdempotencyKey(ctx, "order/"+o.ID+"/record-stripe-fee/"+bt.ID), &ledgerv1.RecordStripeFeeRequest{
		BalanceTransactionId: bt.ID, OrderId: o.ID, OrganizerId: o.OrganizerID, PaymentIntentId: *p.StripeID, StripeAccount: p.StripeAccount,
		Fee:        &moneyv1.Money{Currency: strings.ToUpper(string(bt.Currency)), MinorUnits: keptByStripe(bt)},
		ChargeTime: timestamppb.New(time.Unix(bt.Created, 0)),
	})
	if err != nil {
		return fmt.Errorf("record stripe fee: %w", err)
	}
	balance := &moneyv1.Money{Currency: strings.ToUpper(string(bt.Currency)), MinorUnits: bt.Amount}
	if balance.GetCurrency() == p.Currency || balance.GetMinorUnits() <= 0 {
		return nil
	}
	return s.recordConversion(ctx, o, bt.ID, &ledgerv1.RecordConversionRequest{
		BalanceTransactionId: bt.ID, OrderId: o.ID, OrganizerId: o.OrganizerID, PaymentIntentId: *p.StripeID, StripeAccount: p.StripeAccount,
		From: &moneyv1.Money{Currency: p.Currency, MinorUnits: p.CapturedMinorUnits}, To: balance,
		ConversionTime: timestamppb.New(time.Unix(bt.Created, 0)),
	})
}
