package webhooksvc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	stripe "github.com/stripe/stripe-go/v76"

	"github.com/dayof/dayof/internal/chassis/replica"
	"github.com/dayof/dayof/internal/chassis/stripeapi"
)

const (
	// stripePageSize is the largest that Stripe gives.
	stripePageSize = 100
	// backfillPagesMax bounds one run for one account and group of types: a hundred thousand events.
	backfillPagesMax = 1000
)

var (
	errNotAtStripe = errors.New("stripe has no such object")
	errNoStripeKey = errors.New("DAYOF_STRIPE_KEY is not set, so that Stripe cannot be asked")
	errPayoutLarge = errors.New("the payout has more balance transactions than are summed here")
)

// stripeAwayError is an error of a fetch that another try may not meet: all but errNotAtStripe, because a key or a
// version that Stripe refuses is replaced without the event's doing.
type stripeAwayError struct{ err error }

func (e *stripeAwayError) Error() string { return e.err.Error() }
func (e *stripeAwayError) Unwrap() error { return e.err }

// stripeReader is Stripe as webhooksvc asks it: its event list, and what events leave open. It never writes.
type stripeReader struct{ *stripeapi.Client }

func newStripeReader(d Deps) stripeReader {
	limits := d.Config.StripeLimits
	limits.Replicas = replica.NewCounter(d.Pool, d.Clock).Count
	return stripeReader{stripeapi.New(stripeapi.Config{
		Key: d.Config.StripeKey, URL: d.Config.StripeURL, Timeout: d.Config.StripeTimeout, Limits: limits, Transport: d.StripeTransport, Logger: d.Logger,
	})}
}

// listSpan says which events to list.
type listSpan struct {
	types       []string
	from, until time.Time // until is not part of it; zero means now
	undelivered bool      // only those that Stripe could not deliver
}

// list calls each with every undelivered event of these types since a time, the newest first, as the bytes that Stripe
// sent: stripe-go's own structs would refuse what is newer than they are.
func (s stripeReader) list(ctx context.Context, account string, types []string, since time.Time, each func(json.RawMessage) error) error {
	return s.listPages(ctx, account, listSpan{types: types, from: since, undelivered: true}, func(page []json.RawMessage) error {
		for _, raw := range page {
			if err := each(raw); err != nil {
				return err
			}
		}
		return nil
	})
}

// listPages calls each with every page of events, the newest first. An error of each ends the list.
func (s stripeReader) listPages(ctx context.Context, account string, span listSpan, each func([]json.RawMessage) error) error {
	after := ""
	for range backfillPagesMax {
		params := &stripe.EventListParams{
			Types:        stripe.StringSlice(span.types),
			CreatedRange: &stripe.RangeQueryParams{GreaterThanOrEqual: span.from.Unix()},
		}
		if span.undelivered {
			params.DeliverySuccess = new(false)
		}
		if !span.until.IsZero() {
			params.CreatedRange.LesserThan = span.until.Unix()
		}
		params.Context = ctx
		params.Single = true // one page per call
		params.Limit = stripe.Int64(stripePageSize)
		if after != "" {
			params.StartingAfter = new(after)
		}
		if account != "" {
			params.SetStripeAccount(account)
		}
		page, err := s.page(ctx, account, params)
		if err != nil {
			return err
		}
		if err := each(page.Data); err != nil {
			return err
		}
		if !page.HasMore || page.lastID == "" {
			return nil
		}
		after = page.lastID
	}
	return fmt.Errorf("list events: more than %d pages", backfillPagesMax)
}

// eventPage is one page of the list.
type eventPage struct {
	Data    []json.RawMessage `json:"data"`
	HasMore bool              `json:"has_more"`
	lastID  string
}

// page fetches one page of an account, behind the breakers.
func (s stripeReader) page(ctx context.Context, account string, params *stripe.EventListParams) (eventPage, error) {
	var page eventPage
	err := s.Do(ctx, stripeapi.Target{Account: account, Objects: "events"}, func() error {
		iter := s.Events.List(params)
		if err := iter.Err(); err != nil {
			return err
		}
		if err := json.Unmarshal(iter.EventList().LastResponse.RawJSON, &page); err != nil {
			return fmt.Errorf("read page: %w", err)
		}
		if data := iter.EventList().Data; len(data) > 0 {
			page.lastID = data[len(data)-1].ID
		}
		return nil
	})
	if err != nil {
		return eventPage{}, fmt.Errorf("list events: %w", err)
	}
	return page, nil
}

// payoutPagesMax bounds one sum: ten thousand balance transactions take some twenty seconds to list.
const payoutPagesMax = 100

func (s stripeReader) charge(ctx context.Context, account, id string) (charge, error) {
	params := &stripe.ChargeParams{}
	params.Context = ctx
	if account != "" {
		params.SetStripeAccount(account)
	}
	return fetch[charge](ctx, s, account, func() (*stripe.APIResponse, error) {
		c, err := s.Charges.Get(id, params)
		if err != nil {
			return nil, err
		}
		return c.LastResponse, nil
	})
}

func (s stripeReader) paymentIntent(ctx context.Context, account, id string) (paymentIntent, error) {
	params := &stripe.PaymentIntentParams{}
	params.Context = ctx
	if account != "" {
		params.SetStripeAccount(account)
	}
	return fetch[paymentIntent](ctx, s, account, func() (*stripe.APIResponse, error) {
		pi, err := s.PaymentIntents.Get(id, params)
		if err != nil {
			return nil, err
		}
		return pi.LastResponse, nil
	})
}

func (s stripeReader) applicationFee(ctx context.Context, id string) (applicationFee, error) {
	params := &stripe.ApplicationFeeParams{}
	params.Context = ctx
	return fetch[applicationFee](ctx, s, "", func() (*stripe.APIResponse, error) {
		fee, err := s.ApplicationFees.Get(id, params)
		if err != nil {
			return nil, err
		}
		return fee.LastResponse, nil
	})
}

func (s stripeReader) balanceTransaction(ctx context.Context, account, id string) (balanceTransaction, error) {
	params := &stripe.BalanceTransactionParams{}
	params.Context = ctx
	if account != "" {
		params.SetStripeAccount(account)
	}
	return fetch[balanceTransaction](ctx, s, account, func() (*stripe.APIResponse, error) {
		t, err := s.BalanceTransactions.Get(id, params)
		if err != nil {
			return nil, err
		}
		return t.LastResponse, nil
	})
}

// payoutTransaction is what is summed of a BalanceTransaction.
type payoutTransaction struct {
	ID     string    `json:"id"`
	Net    int64     `json:"net"`
	Source reference `json:"source"`
}

func (s stripeReader) payoutSum(ctx context.Context, account, payoutID string) (count, net int64, err error) {
	type transactionPage struct {
		Data    []payoutTransaction `json:"data"`
		HasMore bool                `json:"has_more"`
	}
	after := ""
	for range payoutPagesMax {
		params := &stripe.BalanceTransactionListParams{Payout: new(payoutID)}
		params.Context, params.Single, params.Limit = ctx, true, stripe.Int64(stripePageSize)
		if after != "" {
			params.StartingAfter = new(after)
		}
		if account != "" {
			params.SetStripeAccount(account)
		}
		page, err := fetch[transactionPage](ctx, s, account, func() (*stripe.APIResponse, error) {
			iter := s.BalanceTransactions.List(params)
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

// fetch makes one call for an account and reads its bytes into one of our small structs.
func fetch[T any](ctx context.Context, s stripeReader, account string, call func() (*stripe.APIResponse, error)) (T, error) {
	var out T
	if !s.HasKey() {
		return out, errNoStripeKey
	}
	var found *stripe.APIResponse
	err := s.Do(ctx, stripeapi.Target{Account: account}, func() (err error) {
		found, err = call()
		return err
	})
	switch {
	case err == nil:
	case stripeapi.NotFound(err), stripeapi.Status(err) == http.StatusForbidden:
		return out, fmt.Errorf("%w: %w", errNotAtStripe, err)
	default:
		return out, &stripeAwayError{err: fmt.Errorf("ask stripe: %w", err)}
	}
	if err := json.Unmarshal(found.RawJSON, &out); err != nil {
		return out, fmt.Errorf("read stripe's answer: %w", err)
	}
	return out, nil
}
