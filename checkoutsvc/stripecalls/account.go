package stripecalls

import (
	"context"
	"regexp"

	stripe "github.com/stripe/stripe-go/v76"

	"github.com/dayof/dayof/internal/chassis/stripeapi"
)

// Account is what Stripe returned of a connected account.
type Account struct {
	OrganizerID                    string // of the metadata; empty when it names none
	ChargesEnabled, PayoutsEnabled bool
	Disconnected                   bool
	DisabledReason                 string
}

// metadataOrganizer is the key of metadata under which an account names its organiser.
const metadataOrganizer = "organizer_id"

// organizerIDPattern is what an organiser's id may be; metadata can hold anything.
var organizerIDPattern = regexp.MustCompile(`^[A-Za-z0-9_]{16,64}$`)

// accountInvalid is Stripe's code for an account that left us. A key that lacks a permission is refused with another one.
const accountInvalid = "account_invalid"

// GetAccount fetches an account. One that left us, or that is gone, is disconnected: that is an answer.
func (c Client) GetAccount(ctx context.Context, id string) (Account, error) {
	params := &stripe.AccountParams{}
	account, err := stripeapi.Call(ctx, c.Client, stripeapi.Target{Account: id, Objects: accounts, Priority: stripeapi.Last}, func(ctx context.Context) (*stripe.Account, error) {
		params.Context = ctx
		return c.Accounts.GetByID(id, params)
	})
	if stripeapi.NotFound(err) || stripeapi.Code(err) == accountInvalid {
		return Account{Disconnected: true}, nil
	}
	if err != nil {
		return Account{}, err
	}
	out := Account{ChargesEnabled: account.ChargesEnabled, PayoutsEnabled: account.PayoutsEnabled}
	if organizer := account.Metadata[metadataOrganizer]; organizerIDPattern.MatchString(organizer) {
		out.OrganizerID = organizer
	}
	if account.Requirements != nil {
		out.DisabledReason = string(account.Requirements.DisabledReason)
	}
	return out, nil
}
