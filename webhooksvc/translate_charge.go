package webhooksvc

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
)

// charge is what we read of Stripe's Charge.
type charge struct {
	ID                 string    `json:"id"`
	Amount             int64     `json:"amount"`
	AmountCaptured     *int64    `json:"amount_captured"` // absent in old API versions
	AmountRefunded     int64     `json:"amount_refunded"`
	BalanceTransaction reference `json:"balance_transaction"`
	Captured           bool      `json:"captured"`
	Currency           text      `json:"currency"`
	FailureCode        text      `json:"failure_code"`
	// FailureBalanceTransaction returns what a debit that failed later had brought; Stripe keeps a fee of it.
	FailureBalanceTransaction reference `json:"failure_balance_transaction"`
	Metadata                  metadata  `json:"metadata"`
	Paid                      *bool     `json:"paid"`
	PaymentIntent             reference `json:"payment_intent"`
	Status                    text      `json:"status"`
}

func chargeHandlers() []handler {
	return []handler{
		{
			"charge.pending", "An asynchronous charge started.",
			"RecordCharge: links the charge to its intent; no money yet.", "(charge, pending)", translateCharge,
		},
		{
			"charge.succeeded", "A charge is authorized or captured.",
			"RecordCharge: a captured one is the same fact as payment_intent.succeeded.", "(charge, succeeded)", translateCharge,
		},
		{
			"charge.captured", "A reserved charge was captured, perhaps in part.",
			"RecordCharge: captured is the captured amount; the released rest is no refund.", "(charge, captured)", translateCharge,
		},
		{
			"charge.updated", "A field changed: mostly the balance transaction, which brings Stripe's fee.",
			"RecordCharge: the fee is fetched and posted once.", "(charge, balance transaction)", translateCharge,
		},
		{
			"charge.failed", "The charge of one attempt failed; not the order's end.",
			"RecordCharge: notes the failure. RecordStripeFee: what Stripe keeps of a debit that failed is fetched and posted once.",
			"(charge, failed), balance transaction", translateCharge,
		},
		{
			"charge.expired", "Reserved money was released without capture. Stripe shows it as refunded, which it is not.",
			"RecordCharge: not captured; the order ends by payment_intent.canceled.", "(charge, expired)", translateCharge,
		},
		{
			"charge.refunded", "The cumulative refunded amount changed.",
			"RecordCharge: the refunds are fetched; what of the sum they do not explain counts until they do.",
			"(charge, amount refunded); money by refund id", translateCharge,
		},
	}
}

func translateCharge(e event) (translation, error) {
	c, err := decodeObject[charge](e)
	if err != nil {
		return translation{}, err
	}
	if c.PaymentIntent == "" {
		return refused(refusalNoIntent) // made without an intent, so not by us
	}
	succeeded := c.Status == "succeeded" && (c.Paid == nil || *c.Paid)
	captured := c.Captured && succeeded // a pending charge says captured while nothing is paid
	request := &checkoutv1.RecordChargeRequest{
		StripeAccount:      e.account,
		ChargeId:           c.ID,
		PaymentIntentId:    string(c.PaymentIntent),
		OrderId:            c.Metadata.orderID(),
		Succeeded:          succeeded,
		Captured:           captured,
		Amount:             money(c.Amount, c.Currency),
		RefundedMinorUnits: c.AmountRefunded,
		Livemode:           e.livemode,
		ObservedTime:       timestamppb.New(e.created),
		FailureCode:        string(c.FailureCode),
	}
	if succeeded { // that of a debit which is on its way, or failed, is not the payment's
		request.BalanceTransactionId = string(c.BalanceTransaction)
	}
	if captured {
		request.CapturedMinorUnits = c.Amount
		if c.AmountCaptured != nil {
			request.CapturedMinorUnits = *c.AmountCaptured
		}
	}
	t := translation{calls: []call{{request: request, ours: named(e.account, c.Metadata.orderID())}}}
	if c.Status == "failed" && c.FailureBalanceTransaction != "" {
		t.calls = append(t.calls, keptOf(e, c, "fee", c.BalanceTransaction), keptOf(e, c, "failure-fee", c.FailureBalanceTransaction))
	}
	return t, nil
}

// keptOf books what Stripe kept with a balance transaction of a charge that failed. The platform bears it, or on a connected account the
// organiser: no order has paid for it.
func keptOf(e event, c charge, suffix string, transaction reference) call {
	request := &ledgerv1.RecordStripeFeeRequest{}
	return call{suffix: suffix, request: request, prepare: func(ctx context.Context, l lookups) error {
		if transaction == "" {
			return errNotNeeded
		}
		t, err := l.balanceTransaction(ctx, e.account, string(transaction))
		if err != nil {
			return err
		}
		kept := t.kept()
		if kept == 0 {
			return errNotNeeded
		}
		if e.account != "" {
			if request.OrganizerId, err = l.organizer(ctx, e.account); err != nil {
				return err
			}
		}
		request.BalanceTransactionId, request.StripeAccount = string(transaction), e.account
		request.OrderId, request.PaymentIntentId = c.Metadata.orderID(), string(c.PaymentIntent)
		request.Fee, request.ChargeTime = money(kept, t.Currency), t.Created.timestamp()
		return nil
	}}
}
