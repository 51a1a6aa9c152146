package booking

import (
	"context"
	"fmt"
	"strings"
	"time"

	stripe "github.com/stripe/stripe-go/v76"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/stripecalls"
	"github.com/dayof/dayof/checkoutsvc/wire"
	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/internal/chassis/rpc"
	"github.com/dayof/dayof/internal/chassis/stripeapi"
)

// recordConversion posts a conversion. Idempotent: the second time it is the same entry.
func (j *Jobs) recordConversion(ctx context.Context, req *ledgerv1.RecordConversionRequest) error {
	key := "order/" + req.GetOrderId() + "/record-conversion/" + req.GetBalanceTransactionId()
	if _, err := j.Ledger.RecordConversion(rpc.WithIdempotencyKey(ctx, key), req); err != nil {
		return fmt.Errorf("record conversion: %w", err)
	}
	return nil
}

// settleRefund books what a refund, and its failure, did to the balance beyond the amount in its own currency: what Stripe kept, and what
// it changed where the balance is kept in another currency. The charge was changed at another rate, so its conversion is named.
//
// A refund that Stripe does not know has changed nothing; one that is pending may have no balance transaction yet, and is booked
// once more when it moves on. Idempotent: the second time these are the same entries.
func (j *Jobs) settleRefund(ctx context.Context, o *order.Order, r *order.Refund, p *order.PaymentIntent) error {
	if r.StripeRefundID == "" {
		return nil
	}
	refund, err := j.Stripe.GetRefund(ctx, p.StripeAccount, r.StripeRefundID)
	if stripeapi.NotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("get refund: %w", err)
	}
	for _, bt := range []*stripe.BalanceTransaction{refund.BalanceTransaction, refund.FailureBalanceTransaction} {
		if bt == nil || bt.Currency == "" { // null, or not to be read
			continue
		}
		if err := j.settle(ctx, o, r, p, bt); err != nil {
			return err
		}
	}
	return nil
}

// settle books one balance transaction of a refund.
func (j *Jobs) settle(ctx context.Context, o *order.Order, r *order.Refund, p *order.PaymentIntent, bt *stripe.BalanceTransaction) error {
	currency, at := strings.ToUpper(string(bt.Currency)), timestamppb.New(time.Unix(bt.Created, 0))
	if kept := stripecalls.KeptByStripe(bt); kept > 0 {
		_, err := j.Ledger.RecordStripeFee(rpc.WithIdempotencyKey(ctx, "order/"+o.ID+"/record-stripe-fee/"+bt.ID), &ledgerv1.RecordStripeFeeRequest{
			BalanceTransactionId: bt.ID, OrderId: o.ID, OrganizerId: o.OrganizerID, PaymentIntentId: p.StripeID, StripeAccount: p.StripeAccount,
			Fee: wire.MoneyToProto(currency, kept), ChargeTime: at,
		})
		if err != nil {
			return fmt.Errorf("record stripe fee: %w", err)
		}
	}
	if currency == r.Currency || bt.Amount == 0 {
		return nil
	}
	charge, err := j.convertedCharge(ctx, p, currency)
	if err != nil {
		return err
	}
	from, to := wire.MoneyToProto(r.Currency, r.AmountMinorUnits), wire.MoneyToProto(currency, bt.Amount) // came back
	if bt.Amount < 0 {
		from, to = wire.MoneyToProto(currency, -bt.Amount), from
	}
	return j.waitForEntry(j.recordConversion(ctx, &ledgerv1.RecordConversionRequest{
		BalanceTransactionId: bt.ID, OrderId: o.ID, OrganizerId: o.OrganizerID, PaymentIntentId: p.StripeID, StripeAccount: p.StripeAccount,
		From: from, To: to, ConversionTime: at, ChargeBalanceTransactionId: charge,
	}), r.CreateTime, "settle refund")
}

// convertedCharge is the balance transaction of an intent's charge, where Stripe changed it into a currency; empty where it did not, or
// where Stripe does not say: then nothing is known that a rate could differ from.
func (j *Jobs) convertedCharge(ctx context.Context, p *order.PaymentIntent, currency string) (string, error) {
	id, err := j.balanceTransaction(ctx, p)
	if err != nil || id == "" {
		return "", err
	}
	bt, err := j.Stripe.GetBalanceTransaction(ctx, p.StripeAccount, id)
	if stripeapi.NotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("get balance transaction of the charge: %w", err)
	}
	if got := strings.ToUpper(string(bt.Currency)); got != currency || got == p.Currency || bt.Amount <= 0 {
		return "", nil
	}
	return id, nil
}
