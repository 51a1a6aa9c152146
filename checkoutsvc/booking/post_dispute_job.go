package booking

import (
	"context"
	"errors"
	"slices"

	"github.com/riverqueue/river"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/orderstore"
	"github.com/dayof/dayof/checkoutsvc/wire"
	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/internal/chassis/jobs"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// PostDisputeFundsArgs names money that a dispute moved.
type PostDisputeFundsArgs struct {
	OrderID              string `json:"order_id"`
	BalanceTransactionID string `json:"balance_transaction_id"`
}

// Kind implements river.JobArgs.
func (PostDisputeFundsArgs) Kind() string { return string(order.WorkPostDisputeFunds) }

// errNoDispute ends a job whose dispute is gone, which never happens.
var errNoDispute = errors.New("the order has no such dispute")

// PostDisputeFunds posts a balance transaction of a dispute. Idempotent: the second time it is the same entry.
func (j *Jobs) PostDisputeFunds(ctx context.Context, job *river.Job[PostDisputeFundsArgs]) error {
	o, err := j.Orders.Read(ctx, orderstore.Key{ID: job.Args.OrderID})
	if err != nil {
		return err
	}
	i := slices.IndexFunc(o.Funds, func(f order.DisputeFunds) bool { return f.BalanceTransactionID == job.Args.BalanceTransactionID })
	if i < 0 {
		return jobs.Cancel(errors.New("the order has no such dispute funds"))
	}
	f := o.Funds[i]
	d := o.Dispute(f.DisputeID)
	if d == nil {
		return jobs.Cancel(errNoDispute)
	}
	if p := o.Intent("", d.PaymentIntent); p != nil {
		if err := j.bookMismatchedPayment(ctx, &o, p, d.Currency); err != nil {
			return err
		}
	}
	req := &ledgerv1.RecordDisputeFundsRequest{
		DisputeId: d.ID, PaymentIntentId: d.PaymentIntent, BalanceTransactionId: f.BalanceTransactionID,
		Amount:        wire.MoneyToProto(d.Currency, f.MinorUnits),
		FeeMinorUnits: f.FeeMinorUnits, FundsTime: timestamppb.New(f.FundsTime),
	}
	if f.Currency != "" && f.Currency != d.Currency {
		if err := j.convertDisputeFunds(ctx, &o, d, f, req); err != nil {
			return j.waitForEntry(err, job.CreatedAt, "convert dispute funds")
		}
	}
	_, err = j.Ledger.RecordDisputeFunds(rpc.WithIdempotencyKey(ctx, "order/"+o.ID+"/record-dispute-funds/"+f.BalanceTransactionID), req)
	return j.waitForEntry(err, job.CreatedAt, "record dispute funds")
}

// convertDisputeFunds posts that Stripe moved the disputed amount in the balance's currency, and has the funds posted in
// the dispute's own, so that its account returns to zero: all of a disputed amount moves at once. The fee stays in the
// balance's currency. Idempotent: the second time it is the same entry.
func (j *Jobs) convertDisputeFunds(
	ctx context.Context, o *order.Order, d *order.Dispute, f order.DisputeFunds, req *ledgerv1.RecordDisputeFundsRequest,
) error {
	balance, disputed := wire.MoneyToProto(f.Currency, f.MinorUnits), wire.MoneyToProto(d.Currency, d.AmountMinorUnits)
	from, to := disputed, balance // reinstated
	if f.MinorUnits < 0 {
		balance.MinorUnits = -f.MinorUnits
		from, to = balance, disputed
		req.Amount = wire.MoneyToProto(d.Currency, -d.AmountMinorUnits)
	} else {
		req.Amount = disputed
	}
	req.FeeCurrency = f.Currency
	account, charge := "", ""
	if p := o.IntentByStripeID(d.PaymentIntent); p != nil {
		var err error
		if charge, err = j.convertedCharge(ctx, p, f.Currency); err != nil {
			return err
		}
		account = p.StripeAccount
	}
	return j.recordConversion(ctx, &ledgerv1.RecordConversionRequest{
		BalanceTransactionId: f.BalanceTransactionID, OrderId: o.ID, OrganizerId: o.OrganizerID, PaymentIntentId: d.PaymentIntent,
		StripeAccount: account, From: from, To: to, ConversionTime: timestamppb.New(f.FundsTime), ChargeBalanceTransactionId: charge,
	})
}

// PostDisputeLossArgs names a dispute that was lost.
type PostDisputeLossArgs struct {
	OrderID   string `json:"order_id"`
	DisputeID string `json:"dispute_id"`
}

// Kind implements river.JobArgs.
func (PostDisputeLossArgs) Kind() string { return string(order.WorkPostDisputeLoss) }

// PostDisputeLoss posts who bears a lost dispute. Idempotent: the second time it is the same entry.
func (j *Jobs) PostDisputeLoss(ctx context.Context, job *river.Job[PostDisputeLossArgs]) error {
	o, err := j.Orders.Read(ctx, orderstore.Key{ID: job.Args.OrderID})
	if err != nil {
		return err
	}
	d := o.Dispute(job.Args.DisputeID)
	if d == nil {
		return jobs.Cancel(errNoDispute)
	}
	_, err = j.Ledger.RecordDisputeLoss(rpc.WithIdempotencyKey(ctx, "order/"+o.ID+"/record-dispute-loss/"+d.ID),
		&ledgerv1.RecordDisputeLossRequest{
			DisputeId: d.ID, PaymentIntentId: d.PaymentIntent, Amount: wire.MoneyToProto(d.Currency, d.AmountMinorUnits),
			CloseTime: timestamppb.New(*d.CloseTime),
		})
	return j.waitForEntry(err, job.CreatedAt, "record dispute loss")
}
