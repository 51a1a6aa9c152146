package webhooksvc

import (
	"context"
	"errors"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
)

// Whoever has a connected account may write anything into the metadata of their objects. Metadata name an order or an
// organiser; the account that the event comes from authorises what is done. checkoutsvc refuses what an account reports of
// an order that is not sold on it; what reaches no order is refused here.

// caseForeignAccount is the kind of review cases about accounts that name what is not theirs; checkoutsvc raises it of orders.
const caseForeignAccount = "foreign_account"

// errNotNeeded is the answer of a prepare that finds that its call need not be made.
var errNotNeeded = errors.New("the call need not be made")

// foreign refuses an event that only the platform's own account may report, and tells a person of the account.
func foreign(e event) (translation, error) {
	return translation{refusal: refusalForeign, calls: []call{{request: foreignCase(e.account, "event", e.typ, e.objectID)}}}, nil
}

// claims are the calls that tell a person of metadata that name another organiser than the account's.
func claims(account, objectID string, m metadata) []call {
	claimed := string(m["organizer_id"])
	if account == "" || claimed == "" {
		return nil
	}
	return []call{{
		suffix: "claim", request: foreignCase(account, "organizer", storable(claimed), objectID),
		prepare: func(ctx context.Context, l lookups) error {
			organizer, err := l.organizer(ctx, account)
			if err == nil && organizer == claimed {
				return errNotNeeded
			}
			return err
		},
	}}
}

// foreignCase is one case per account and kind of claim, however many events make it.
func foreignCase(account, kind, claimed, objectID string) *checkoutv1.RaiseReviewCaseRequest {
	return &checkoutv1.RaiseReviewCaseRequest{
		Kind: caseForeignAccount, Subject: account + "/" + kind,
		Facts:           map[string]string{"stripe_account": account, "claimed_" + kind: claimed, "object_id": objectID},
		SuggestedAction: "This connected account reports what only the platform may, or names an organiser that is not its own; nothing was booked for others. Ask its owner why.",
	}
}

// named says whether an object may be of an order of ours: every intent that we make names its order, and so do its charge
// and its page. An account that names an order which does not exist only names it.
func named(account, orderID string) func(context.Context, lookups) (bool, error) {
	return func(context.Context, lookups) (bool, error) { return account == "" && orderID != "", nil }
}

// ofOurs says whether an object without metadata of its own, or with those of name, may be of an order of ours, by its charge,
// else by its intent. What Stripe does not show us may be.
func ofOurs(account, name string, chargeID, intentID reference) func(context.Context, lookups) (bool, error) {
	return func(ctx context.Context, l lookups) (bool, error) {
		if account != "" || name != "" {
			return account == "", nil
		}
		var m metadata
		var err error
		switch {
		case chargeID != "":
			var c charge
			c, err = l.charge(ctx, account, string(chargeID))
			m = c.Metadata
		case intentID != "":
			var p paymentIntent
			p, err = l.paymentIntent(ctx, account, string(intentID))
			m = p.Metadata
		}
		if errors.Is(err, errNotAtStripe) || errors.Is(err, errNoStripeKey) {
			return true, nil
		}
		return m.orderID() != "", err
	}
}
