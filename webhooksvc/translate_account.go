package webhooksvc

import (
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
)

// connectedAccount is what we read of Stripe's Account. What it may do is never read of an event: see RecordAccount.
type connectedAccount struct {
	ID       string   `json:"id"`
	Metadata metadata `json:"metadata"`
}

func accountHandlers() []handler {
	const fetched = "RecordAccount: the account is fetched, because snapshots come in any order; "
	return []handler{
		{
			"account.updated", "Capabilities or requirements of an account changed.",
			fetched + "sales of its organiser close or open.", "(account, fetch)", translateAccount,
		},
		{
			"account.application.authorized", "An organiser connected their account.",
			fetched + "its organiser may sell.", "(account, fetch)", translateAccount,
		},
		{
			"account.application.deauthorized", "An organiser disconnected; the object is the application.",
			fetched + "sales of its organiser close, with an alert.", "(account, fetch)", translateAccount,
		},
		{
			"capability.updated", "A capability of an account changed.",
			fetched + "sales of its organiser close or open.", "(account, fetch)", translateAccount,
		},
		{
			"account.external_account.created", "A bank account was added: payouts may go elsewhere.",
			fetched + "a review case and an alert, without personal data.", "(account, bank account, change, second)", translateBankAccount,
		},
		{
			"account.external_account.deleted", "A bank account was removed.",
			fetched + "a review case and an alert, without personal data.", "(account, bank account, change, second)", translateBankAccount,
		},
		{
			"account.external_account.updated", "A bank account changed.",
			fetched + "a review case and an alert, without personal data.", "(account, bank account, change, second)", translateBankAccount,
		},
	}
}

// translateAccount has the account fetched. An event of the platform's own account is none of an organiser's, unless it
// names one.
func translateAccount(e event) (translation, error) {
	if e.account != "" {
		return translated(&checkoutv1.RecordAccountRequest{StripeAccount: e.account})
	}
	if e.typ != "account.updated" {
		return translation{}, nil
	}
	a, err := decodeObject[connectedAccount](e)
	if err != nil || a.Metadata["organizer_id"] == "" {
		return translation{}, err
	}
	return translated(&checkoutv1.RecordAccountRequest{StripeAccount: a.ID})
}

func translateBankAccount(e event) (translation, error) {
	if e.account == "" {
		return translation{
			refusal: refusalNoAccount, alert: "a bank account of the platform's own Stripe account was changed; make sure that it was you",
		}, nil
	}
	return translated(&checkoutv1.RecordAccountRequest{
		StripeAccount: e.account,
		BankAccountChange: &checkoutv1.BankAccountChange{
			BankAccountId: e.objectID, Change: e.typ[strings.LastIndexByte(e.typ, '.')+1:], ChangeTime: timestamppb.New(e.created),
		},
	})
}
