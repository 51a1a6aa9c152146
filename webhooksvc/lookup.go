package webhooksvc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"connectrpc.com/connect"
	stripe "github.com/stripe/stripe-go/v76"

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
	// applicationFee returns a fee of the platform; errNotAtStripe if there is none.
	applicationFee func(ctx context.Context, feeID string) (applicationFee, error)
	// payoutSum counts and sums the balance transactions of a payout, the payout's own left out.
	payoutSum func(ctx context.Context, stripeAccount, payoutID string) (count, net int64, err error)
}

var (
	errNoOrganizer = errors.New("nobody said whose account it is: link it by RecordAccount")
	errNotAtStripe = errors.New("stripe has no such object")
	errNoStripeKey = errors.New("DAYOF_STRIPE_KEY is not set, so that Stripe cannot be asked")
	errPayoutLarge = errors.New("the payout has more balance transactions than are summed here")
)

// stripeAwayError is a failure of Stripe's that another try may not meet.
type stripeAwayError struct{ err error }

func (e *stripeAwayError) Error() string { return e.err.Error() }
func (e *stripeAwayError) Unwrap() error { return e.err }

// lookupsFor are the look-ups of one event, under its key.
func (s *Service) lookupsFor(key string) lookups {
	return lookups{
		organizer:      func(ctx context.Context, account string) (string, error) { return s.organizer(ctx, key, account) },
		charge:         s.stripe.charge,
		applicationFee: s.stripe.applicationFee,
		payoutSum:      s.stripe.payoutSum,
	}
}

// organizer asks checkoutsvc whose account it is. One that checkoutsvc never heard of is looked at first.
func (s *Service) organizer(ctx context.Context, key, account string) (string, error) {
	known, err := s.Accounts.GetAccount(ctx, &checkoutv1.GetAccountRequest{StripeAccount: account})
	if err == nil && known.GetAccount().GetOrganizerId() != "" {
		return known.GetAccount().GetOrganizerId(), nil
	}
	if err != nil && problem.Code(err) != connect.CodeNotFound {
		return "", err
	}
	seen, err := s.Accounts.RecordAccount(rpc.WithIdempotencyKey(ctx, key+"/account"), &checkoutv1.RecordAccountRequest{StripeAccount: account})
	if err != nil {
		return "", err
	}
	if seen.GetAccount().GetOrganizerId() == "" {
		return "", errNoOrganizer
	}
	return seen.GetAccount().GetOrganizerId(), nil
}

// payoutPagesMax bounds one sum: ten thousand balance transactions take some twenty seconds to list.
const payoutPagesMax = 100

func (s stripeEvents) charge(ctx context.Context, account, id string) (charge, error) {
	params := &stripe.ChargeParams{}
	params.Context = ctx
	if account != "" {
		params.SetStripeAccount(account)
	}
	return look[charge](ctx, s, func() (*stripe.APIResponse, error) {
		c, err := s.client.Charges.Get(id, params)
		if err != nil {
			return nil, err
		}
		return c.LastResponse, nil
	})
}

func (s stripeEvents) applicationFee(ctx context.Context, id string) (applicationFee, error) {
	params := &stripe.ApplicationFeeParams{}
	params.Context = ctx
	return look[applicationFee](ctx, s, func() (*stripe.APIResponse, error) {
		fee, err := s.client.ApplicationFees.Get(id, params)
		if err != nil {
			return nil, err
		}
		return fee.LastResponse, nil
	})
}

// payoutTransaction is what is summed of a BalanceTransaction.
type payoutTransaction struct {
	ID     string    `json:"id"`
	Net    int64     `json:"net"`
	Source reference `json:"source"`
}

func (s stripeEvents) payoutSum(ctx context.Context, account, payoutID string) (count, net int64, err error) {
	type transactionPage struct {
		Data    []payoutTransaction `json:"data"`
		HasMore bool                `json:"has_more"`
	}
	after := ""
	for range payoutPagesMax {
		params := &stripe.BalanceTransactionListParams{Payout: new(payoutID)}
		params.Context, params.Single, params.Limit = ctx, true, stripe.Int64(backfillPageSize)
		if after != "" {
			params.StartingAfter = new(after)
		}
		if account != "" {
			params.SetStripeAccount(account)
		}
		page, err := look[transactionPage](ctx, s, func() (*stripe.APIResponse, error) {
			iter := s.client.BalanceTransactions.List(params)
			if err := iter.Err(); err != nil {
				return nil, err
			}
			return iter.BalanceTransactionList().LastResponse, nil
		})
		if err != nil {
			return 0, 0, err
		}
		for _, t := range page.Data {
			after = t.ID
			if string(t.Source) != payoutID {
				count, net = count+1, net+t.Net
			}
		}
		if !page.HasMore || len(page.Data) == 0 {
			return count, net, nil
		}
	}
	return 0, 0, errPayoutLarge
}

// look makes one call behind the breaker and reads its bytes into one of our small structs.
func look[T any](ctx context.Context, s stripeEvents, call func() (*stripe.APIResponse, error)) (T, error) {
	var out T
	if !s.hasKey {
		return out, errNoStripeKey
	}
	var found *stripe.APIResponse
	err := s.breaker.Do(ctx, func(context.Context) (err error) {
		found, err = call()
		return err
	})
	switch status := stripeStatus(err); {
	case err == nil:
	case status == http.StatusNotFound, status == http.StatusForbidden:
		return out, fmt.Errorf("%w: %w", errNotAtStripe, err)
	default:
		return out, &stripeAwayError{err: fmt.Errorf("ask stripe: %w", err)}
	}
	if err := json.Unmarshal(found.RawJSON, &out); err != nil {
		return out, fmt.Errorf("read stripe's answer: %w", err)
	}
	return out, nil
}

// stripeStatus is the HTTP status of Stripe's refusal; 0 when there was no answer.
func stripeStatus(err error) int {
	if refused, ok := errors.AsType[*stripe.Error](err); ok {
		return refused.HTTPStatusCode
	}
	return 0
}

// speaksAgainstStripe tells failures of Stripe from its decisions, for the breaker.
func speaksAgainstStripe(err error) bool {
	status := stripeStatus(err)
	return err != nil && (status == 0 || status >= http.StatusInternalServerError || status == http.StatusTooManyRequests)
}
