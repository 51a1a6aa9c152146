package webhooksvc

import (
	"cmp"
	"context"
	"errors"

	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
)

// applicationFee is what we read of Stripe's ApplicationFee.
type applicationFee struct {
	ID             string    `json:"id"`
	Account        reference `json:"account"`
	Amount         int64     `json:"amount"`
	AmountRefunded int64     `json:"amount_refunded"`
	Charge         reference `json:"charge"`
	Created        seconds   `json:"created"`
	Currency       text      `json:"currency"`
	// OriginatingTransaction is the platform's charge where the money came by one; else the charge is the account's own.
	OriginatingTransaction reference `json:"originating_transaction"`
}

// feeRefund is what we read of Stripe's FeeRefund.
type feeRefund struct {
	Fee reference `json:"fee"`
}

func feeHandlers() []handler {
	const action = "RecordApplicationFee: what the charge's own entry does not hold is posted once; "
	return []handler{
		{
			"application_fee.created", "The platform kept its fee of a charge.",
			action + "for a charge of ours the order is looked up.", "application fee", translateFee,
		},
		{
			"application_fee.refunded", "A part of a platform fee was given back. The amount in the fee is cumulative.",
			action + "the highest sum counts.", "(application fee, amount refunded)", translateFee,
		},
		{
			"application_fee.refund.updated", "A refund of a platform fee changed.",
			action + "the fee is fetched, because the refund does not tell the sum.", "(application fee, amount refunded)", translateFeeRefund,
		},
	}
}

func translateFee(e event) (translation, error) {
	fee, err := decodeObject[applicationFee](e)
	if err != nil {
		return translation{}, err
	}
	if e.account != "" {
		return foreign(e)
	}
	if fee.Account == "" {
		return refused(refusalNoAccount)
	}
	request := &ledgerv1.RecordApplicationFeeRequest{}
	return translation{calls: []call{{request: request, prepare: func(ctx context.Context, l lookups) error {
		return fillFee(ctx, l, request, fee)
	}}}}, nil
}

func translateFeeRefund(e event) (translation, error) {
	r, err := decodeObject[feeRefund](e)
	if err != nil {
		return translation{}, err
	}
	if e.account != "" {
		return foreign(e)
	}
	if r.Fee == "" {
		return refused(refusalNoFee)
	}
	request := &ledgerv1.RecordApplicationFeeRequest{}
	return translation{calls: []call{{request: request, prepare: func(ctx context.Context, l lookups) error {
		fee, err := l.applicationFee(ctx, string(r.Fee))
		if err != nil {
			return err
		}
		return fillFee(ctx, l, request, fee)
	}}}}, nil
}

// fillFee says whose fee it is and of which order's money. A charge without our order id is one that the organiser made
// elsewhere; so is one that Stripe no longer shows us.
func fillFee(ctx context.Context, l lookups, request *ledgerv1.RecordApplicationFeeRequest, fee applicationFee) error {
	organizer, err := l.organizer(ctx, string(fee.Account))
	if err != nil {
		return err
	}
	account := string(fee.Account)
	if fee.OriginatingTransaction != "" {
		account = ""
	}
	if id := cmp.Or(fee.OriginatingTransaction, fee.Charge); id != "" {
		c, err := l.charge(ctx, account, string(id))
		if err != nil && !errors.Is(err, errNotAtStripe) {
			return err
		}
		if c.Metadata.orderID() != "" {
			request.PaymentIntentId = string(c.PaymentIntent)
		}
	}
	request.ApplicationFeeId, request.StripeAccount, request.OrganizerId = fee.ID, string(fee.Account), organizer
	request.Amount, request.RefundedMinorUnits = money(fee.Amount, fee.Currency), fee.AmountRefunded
	request.FeeTime = fee.Created.timestamp()
	return nil
}
