package booking

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/riverqueue/river"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/orderstore"
	"github.com/dayof/dayof/checkoutsvc/stripecalls"
	"github.com/dayof/dayof/checkoutsvc/wire"
	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
	"github.com/dayof/dayof/internal/chassis/jobs"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// RecordFeeArgs names a captured intent whose Stripe fee shall be booked.
type RecordFeeArgs struct {
	OrderID string `json:"order_id"`
	// PaymentIntentRow is the intent's id of ours.
	PaymentIntentRow string `json:"payment_intent_row"`
}

// Kind implements river.JobArgs.
func (RecordFeeArgs) Kind() string { return string(order.WorkRecordFee) }

const (
	// feeWaitMin is the first pause before Stripe is asked again for a balance transaction that does not exist yet. Each is a
	// quarter of the time that the fee has waited, so that an hour takes about fifteen questions.
	feeWaitMin = 30 * time.Second
	// feeWaitMax is for how long we ask before a person is; with asynchronous capture charge.updated reports it in the end.
	feeWaitMax = time.Hour
)

// RecordFee fetches what Stripe kept of a captured intent and posts it, and what Stripe changed into the balance's
// currency. The fee's balance transaction is missing at first with asynchronous capture; charge.updated brings it and
// this job again. Idempotent: the second time it is the same entry.
func (j *Jobs) RecordFee(ctx context.Context, job *river.Job[RecordFeeArgs]) error {
	o, err := j.Orders.Read(ctx, orderstore.Key{ID: job.Args.OrderID})
	if err != nil {
		return err
	}
	p := o.IntentByID(job.Args.PaymentIntentRow)
	if p == nil {
		return jobs.Cancel(errors.New("the order has no such payment intent"))
	}
	id, err := j.balanceTransaction(ctx, p)
	if err != nil {
		return err
	}
	if id == "" {
		waited := j.Orders.Clock.Now().Sub(job.CreatedAt)
		if waited < feeWaitMax {
			return jobs.Snooze(max(feeWaitMin, waited/4))
		}
		_, _, err := j.Orders.Observe(ctx, orderstore.Key{ID: o.ID}, nil, order.FeeOverdue{PaymentIntentRow: p.ID})
		return err
	}
	bt, err := j.Stripe.GetBalanceTransaction(ctx, p.StripeAccount, id)
	if err != nil {
		return fmt.Errorf("get balance transaction: %w", err)
	}
	currency, at := strings.ToUpper(string(bt.Currency)), time.Unix(bt.Created, 0)
	_, err = j.Ledger.RecordStripeFee(rpc.WithIdempotencyKey(ctx, "order/"+o.ID+"/record-stripe-fee/"+bt.ID),
		StripeFee(&o, p, bt.ID, wire.MoneyToProto(currency, stripecalls.KeptByStripe(bt)), at))
	if err != nil {
		return fmt.Errorf("record stripe fee: %w", err)
	}
	if currency == p.Currency || bt.Amount <= 0 {
		return nil
	}
	return j.recordConversion(ctx, &ledgerv1.RecordConversionRequest{
		BalanceTransactionId: bt.ID, OrderId: o.ID, OrganizerId: o.OrganizerID, PaymentIntentId: p.StripeID, StripeAccount: p.StripeAccount,
		From: wire.MoneyToProto(p.Currency, p.CapturedMinorUnits), To: wire.MoneyToProto(currency, bt.Amount), ConversionTime: timestamppb.New(at),
	})
}

// StripeFee names what Stripe kept of an intent's money for the ledger.
func StripeFee(o *order.Order, p *order.PaymentIntent, balanceTransactionID string, fee *moneyv1.Money, at time.Time) *ledgerv1.RecordStripeFeeRequest {
	return &ledgerv1.RecordStripeFeeRequest{
		BalanceTransactionId: balanceTransactionID, OrderId: o.ID, OrganizerId: o.OrganizerID, PaymentIntentId: p.StripeID,
		StripeAccount: p.StripeAccount, Fee: fee, ChargeTime: timestamppb.New(at),
	}
}

// balanceTransaction is the id of what a captured intent did to our balance; empty while Stripe does not know it.
func (j *Jobs) balanceTransaction(ctx context.Context, p *order.PaymentIntent) (string, error) {
	if p.BalanceTransactionID != "" {
		return p.BalanceTransactionID, nil
	}
	pi, err := j.Stripe.GetIntent(ctx, p.StripeAccount, p.StripeID)
	if err != nil {
		return "", fmt.Errorf("get payment intent: %w", err)
	}
	f := stripecalls.ObservedPayment(pi, p.StripeAccount, j.Orders.Clock.Now())
	if p.ChargeID == "" && f.ChargeID != "" && f.BalanceTransactionID == "" { // what is reported of the charge finds the order by it
		if _, _, err := j.Orders.Observe(ctx, orderstore.Key{StripeAccount: p.StripeAccount, StripeID: p.StripeID}, nil, f); err != nil {
			return "", err
		}
	}
	return f.BalanceTransactionID, nil
}
