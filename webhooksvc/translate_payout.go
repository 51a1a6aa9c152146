package webhooksvc

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
)

// payout is what we read of Stripe's Payout.
type payout struct {
	ID          string    `json:"id"`
	Amount      int64     `json:"amount"`
	Created     seconds   `json:"created"`
	Currency    text      `json:"currency"`
	Destination reference `json:"destination"`
	Metadata    metadata  `json:"metadata"`
	Status      text      `json:"status"`
}

func payoutHandlers() []handler {
	const action = "RecordPayout: the status with the highest rank counts; "
	return []handler{
		{
			"payout.created", "A payout is planned.",
			action + "a connected account's is posted as in transit.", "(payout, status)", translatePayout,
		},
		{
			"payout.updated", "Dates or status of a payout changed.",
			action + "mostly nothing changes.", "(payout, status)", translatePayout,
		},
		{
			"payout.paid", "Sent to the bank. Not final: it may bounce for days.",
			action + "posts the payout once.", "(payout, paid)", translatePayout,
		},
		{
			"payout.failed", "The bank sent it back; legal after paid.",
			action + "reverses the payout once.", "(payout, failed)", translatePayout,
		},
		{
			"payout.canceled", "Withdrawn before it was sent.",
			action + "reverses it if it was posted.", "(payout, canceled)", translatePayout,
		},
		{
			"payout.reconciliation_completed", "The list of the payout's balance transactions is complete.",
			"RecordPayoutTransactions: they are fetched and summed; a difference from the payout is a review case.",
			"(payout, reconciled)", translatePayoutComplete,
		},
	}
}

func translatePayout(e event) (translation, error) {
	p, err := decodeObject[payout](e)
	if err != nil {
		return translation{}, err
	}
	status, known := payoutStatus(e.typ, string(p.Status))
	if !known {
		return translation{refusal: refusalUnknownStatus, alert: "payout has an unknown status"}, nil
	}
	request := &ledgerv1.RecordPayoutRequest{
		PayoutId:      p.ID,
		StripeAccount: e.account,
		Status:        status,
		Amount:        money(p.Amount, p.Currency),
		BankAccountId: string(p.Destination),
		PayoutTime:    p.Created.timestamp(),
	}
	return translation{calls: append([]call{{request: request, prepare: organizerOf(e.account, &request.OrganizerId)}},
		claims(e.account, p.ID, p.Metadata)...)}, nil
}

// organizerOf finds the organiser of a connected account. What the metadata say of it never counts.
func organizerOf(account string, organizerID *string) func(ctx context.Context, l lookups) error {
	if account == "" {
		return nil
	}
	return func(ctx context.Context, l lookups) (err error) {
		*organizerID, err = l.organizer(ctx, account)
		return err
	}
}

func translatePayoutComplete(e event) (translation, error) {
	p, err := decodeObject[payout](e)
	if err != nil {
		return translation{}, err
	}
	request := &ledgerv1.RecordPayoutTransactionsRequest{
		PayoutId:      p.ID,
		StripeAccount: e.account,
		Amount:        money(p.Amount, p.Currency),
		CompleteTime:  timestamppb.New(e.created),
	}
	return translation{calls: []call{{request: request, prepare: func(ctx context.Context, l lookups) (err error) {
		request.TransactionCount, request.NetMinorUnits, err = l.payoutSum(ctx, e.account, p.ID)
		return err
	}}}}, nil
}

// payoutStatus lets the event's type decide where it names a status.
func payoutStatus(eventType, status string) (ledgerv1.PayoutStatus, bool) {
	switch eventType {
	case "payout.paid":
		return ledgerv1.PayoutStatus_PAYOUT_STATUS_PAID, true
	case "payout.failed":
		return ledgerv1.PayoutStatus_PAYOUT_STATUS_FAILED, true
	case "payout.canceled":
		return ledgerv1.PayoutStatus_PAYOUT_STATUS_CANCELED, true
	}
	switch status {
	case "pending":
		return ledgerv1.PayoutStatus_PAYOUT_STATUS_PENDING, true
	case "in_transit":
		return ledgerv1.PayoutStatus_PAYOUT_STATUS_IN_TRANSIT, true
	case "paid":
		return ledgerv1.PayoutStatus_PAYOUT_STATUS_PAID, true
	case "failed":
		return ledgerv1.PayoutStatus_PAYOUT_STATUS_FAILED, true
	case "canceled":
		return ledgerv1.PayoutStatus_PAYOUT_STATUS_CANCELED, true
	default:
		return ledgerv1.PayoutStatus_PAYOUT_STATUS_UNSPECIFIED, false
	}
}
