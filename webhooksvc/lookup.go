package webhooksvc

import (
	"context"
	"errors"

	"connectrpc.com/connect"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// lookups answer what an event leaves open. Translations stay pure: they only say what they want to know. A look-up that
// fails is tried again with its event.
type lookups struct {
	// organizer returns whose account it is; errNoOrganizer while nobody knows.
	organizer func(ctx context.Context, stripeAccount string) (string, error)
	// charge returns a charge of an account, the platform's when that is empty; errNotAtStripe if there is none.
	charge func(ctx context.Context, stripeAccount, chargeID string) (charge, error)
	// paymentIntent returns an intent of an account, the platform's when that is empty; errNotAtStripe if there is none.
	paymentIntent func(ctx context.Context, stripeAccount, intentID string) (paymentIntent, error)
	// applicationFee returns a fee of the platform; errNotAtStripe if there is none.
	applicationFee func(ctx context.Context, feeID string) (applicationFee, error)
	// balanceTransaction returns a movement of an account's balance, the platform's when that is empty; errNotAtStripe if there is none.
	balanceTransaction func(ctx context.Context, stripeAccount, transactionID string) (balanceTransaction, error)
	// payoutSum counts and sums the balance transactions of a payout, the payout's own left out.
	payoutSum func(ctx context.Context, stripeAccount, payoutID string) (count, net int64, err error)
}

var errNoOrganizer = errors.New("nobody said whose account it is: link it by RecordAccount")

// lookupsFor are the look-ups of one event, under its key.
func (s *Service) lookupsFor(key string) lookups {
	return lookups{
		organizer:          func(ctx context.Context, account string) (string, error) { return s.organizer(ctx, key, account) },
		charge:             s.stripe.charge,
		paymentIntent:      s.stripe.paymentIntent,
		applicationFee:     s.stripe.applicationFee,
		balanceTransaction: s.stripe.balanceTransaction,
		payoutSum:          s.stripe.payoutSum,
	}
}

// organizer asks checkoutsvc whose account it is. One that checkoutsvc never heard of is recorded first.
func (s *Service) organizer(ctx context.Context, key, account string) (string, error) {
	known, err := s.Accounts.GetAccount(ctx, &checkoutv1.GetAccountRequest{StripeAccount: account})
	if err == nil && known.GetAccount().GetOrganizerId() != "" {
		return known.GetAccount().GetOrganizerId(), nil
	}
	if err != nil && problem.Code(err) != connect.CodeNotFound {
		return "", err
	}
	recorded, err := s.Accounts.RecordAccount(rpc.WithIdempotencyKey(ctx, key+"/account"), &checkoutv1.RecordAccountRequest{StripeAccount: account})
	if err != nil {
		return "", err
	}
	if recorded.GetAccount().GetOrganizerId() == "" {
		return "", errNoOrganizer
	}
	return recorded.GetAccount().GetOrganizerId(), nil
}
