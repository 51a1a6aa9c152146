package checkoutsvc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"connectrpc.com/connect"
	stripe "github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/client"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	"github.com/dayof/dayof/internal/chassis/breaker"
	"github.com/dayof/dayof/internal/chassis/config"
	"github.com/dayof/dayof/internal/chassis/problem"
)

// stripeAPI is Stripe as checkoutsvc uses it: without global state, without the library's own retries (its sleeps
// ignore the context, and its keys would not survive a crash of ours), behind a breaker.
type stripeAPI struct {
	client  *client.API
	breaker *breaker.Breaker
}

func newStripeAPI(c Config, transport http.RoundTripper, b *breaker.Breaker) stripeAPI {
	httpClient := &http.Client{Timeout: c.StripeTimeout, Transport: transport}
	backend := func() *stripe.BackendConfig { // a new value per backend: the library writes into it
		return &stripe.BackendConfig{
			URL:               new(strings.TrimSuffix(c.StripeURL, "/")),
			HTTPClient:        httpClient,
			LeveledLogger:     &stripe.LeveledLogger{Level: stripe.LevelNull},
			MaxNetworkRetries: stripe.Int64(0),
			EnableTelemetry:   new(false),
		}
	}
	return stripeAPI{
		breaker: b,
		client: client.New(c.StripeKey.Reveal(), &stripe.Backends{
			API:     stripe.GetBackendWithConfig(stripe.APIBackend, backend()),
			Connect: stripe.GetBackendWithConfig(stripe.ConnectBackend, backend()),
			Uploads: stripe.GetBackendWithConfig(stripe.UploadsBackend, backend()),
		}),
	}
}

// call runs f behind the breaker.
func (a stripeAPI) call(ctx context.Context, f func() error) error {
	return a.breaker.Do(ctx, func(context.Context) error { return f() })
}

// stripeAway says whether an error leaves the outcome unknown or asks for another try.
// Source: Stripe API reference, "Errors" and "Idempotent requests".
func stripeAway(err error) bool {
	if err == nil {
		return false
	}
	var e *stripe.Error
	if !errors.As(err, &e) {
		return true // no answer at all
	}
	return e.HTTPStatusCode >= 500 || e.HTTPStatusCode == http.StatusTooManyRequests || e.HTTPStatusCode == http.StatusConflict
}

// stripeCode is the error code of Stripe's answer, such as charge_already_refunded; empty if there is none.
func stripeCode(err error) stripe.ErrorCode {
	var e *stripe.Error
	if !errors.As(err, &e) {
		return ""
	}
	return e.Code
}

// stripeNotFound says whether Stripe knows no such object.
func stripeNotFound(err error) bool {
	var e *stripe.Error
	return errors.As(err, &e) && e.HTTPStatusCode == http.StatusNotFound
}

// stripeProblem is what a caller is told when Stripe cannot answer.
func stripeProblem(err error) error {
	p := problem.New(connect.CodeUnavailable, "PAYMENT_PROVIDER_UNAVAILABLE",
		"the payment provider did not answer; retry with the same key")
	p.RetryAfter = time.Second
	p.Err = err
	return p
}

// createIntent makes the payment intent of a row. The key is of the row, so a repeat returns the same intent.
func (a stripeAPI) createIntent(ctx context.Context, o createIntentOrder) (*stripe.PaymentIntent, error) {
	params := &stripe.PaymentIntentParams{
		Amount:   new(o.AmountMinorUnits),
		Currency: new(strings.ToLower(o.Currency)),
		AutomaticPaymentMethods: &stripe.PaymentIntentAutomaticPaymentMethodsParams{
			Enabled: new(true),
		},
		Description: new("Tickets"),
	}
	params.Context = ctx
	params.AddMetadata("order_id", o.OrderID)
	params.SetIdempotencyKey(fmt.Sprintf("order:%s:pi:v%d", o.OrderID, o.Number))
	if o.StripeAccount != "" {
		params.SetStripeAccount(o.StripeAccount)
	}
	var pi *stripe.PaymentIntent
	err := a.call(ctx, func() (err error) {
		pi, err = a.client.PaymentIntents.New(params)
		return err
	})
	return pi, err
}

// createIntentOrder is what a payment intent is made of, all of it frozen in its row.
type createIntentOrder struct {
	OrderID          string
	Number           int32
	StripeAccount    string
	Currency         string
	AmountMinorUnits int64
}

// getIntent fetches an intent with its latest charge and that charge's balance transaction.
func (a stripeAPI) getIntent(ctx context.Context, account, id string) (*stripe.PaymentIntent, error) {
	params := &stripe.PaymentIntentParams{}
	params.Context = ctx
	params.AddExpand("latest_charge.balance_transaction")
	if account != "" {
		params.SetStripeAccount(account)
	}
	var pi *stripe.PaymentIntent
	err := a.call(ctx, func() (err error) {
		pi, err = a.client.PaymentIntents.Get(id, params)
		return err
	})
	return pi, err
}

// cancelIntent cancels an intent. Canceling a canceled one is an error at Stripe; callers look at the intent then.
func (a stripeAPI) cancelIntent(ctx context.Context, account, id string) (*stripe.PaymentIntent, error) {
	params := &stripe.PaymentIntentCancelParams{CancellationReason: new("abandoned")}
	params.Context = ctx
	params.SetIdempotencyKey("cancel:" + id)
	if account != "" {
		params.SetStripeAccount(account)
	}
	var pi *stripe.PaymentIntent
	err := a.call(ctx, func() (err error) {
		pi, err = a.client.PaymentIntents.Cancel(id, params)
		return err
	})
	return pi, err
}

// metadataValueMax is the longest value that Stripe keeps. Source: Stripe API reference, "Metadata".
const metadataValueMax = 500

// createRefund sends money of an intent back. The key is of the row, so a repeat within a day returns the same refund;
// the row's id travels in the metadata, so that it is found after that, too.
func (a stripeAPI) createRefund(ctx context.Context, account string, r checkoutdb.Refund) (*stripe.Refund, error) {
	params := &stripe.RefundParams{PaymentIntent: new(r.PaymentIntent), Amount: new(r.AmountMinorUnits)}
	params.Context = ctx
	params.AddMetadata("refund_id", r.ID)
	params.AddMetadata("refund_request_id", r.ID) // the name that people look for in Stripe's dashboard
	if tickets := strings.Join(r.TicketIds, ","); tickets != "" && len(tickets) <= metadataValueMax {
		params.AddMetadata("ticket_ids", tickets)
	}
	params.AddMetadata("order_id", r.OrderID)
	params.SetIdempotencyKey("refund:" + r.ID)
	if account != "" {
		params.SetStripeAccount(account)
	}
	var refund *stripe.Refund
	err := a.call(ctx, func() (err error) {
		refund, err = a.client.Refunds.New(params)
		return err
	})
	return refund, err
}

// listRefunds returns the refunds of an intent; Stripe allows some hundreds at most.
func (a stripeAPI) listRefunds(ctx context.Context, account, intentID string) ([]*stripe.Refund, error) {
	params := &stripe.RefundListParams{PaymentIntent: new(intentID)}
	params.Context = ctx
	params.Filters.AddFilter("limit", "", "100")
	if account != "" {
		params.SetStripeAccount(account)
	}
	var refunds []*stripe.Refund
	err := a.call(ctx, func() error {
		refunds = nil
		list := a.client.Refunds.List(params)
		for list.Next() {
			refunds = append(refunds, list.Refund())
		}
		return list.Err()
	})
	return refunds, err
}

// getBalanceTransaction fetches what a charge did to our balance.
func (a stripeAPI) getBalanceTransaction(ctx context.Context, account, id string) (*stripe.BalanceTransaction, error) {
	params := &stripe.BalanceTransactionParams{}
	params.Context = ctx
	if account != "" {
		params.SetStripeAccount(account)
	}
	var bt *stripe.BalanceTransaction
	err := a.call(ctx, func() (err error) {
		bt, err = a.client.BalanceTransactions.Get(id, params)
		return err
	})
	return bt, err
}

// observed turns a fetched intent into an observation of now.
func observed(pi *stripe.PaymentIntent, account string, now time.Time) observation {
	ob := observation{
		Account: account, IntentID: pi.ID, OrderID: pi.Metadata["order_id"], Status: string(pi.Status),
		Currency: strings.ToUpper(string(pi.Currency)), AmountMinorUnits: pi.Amount, ReceivedMinorUnits: pi.AmountReceived,
		Livemode: pi.Livemode, Time: now,
	}
	if _, known := statusRank[ob.Status]; !known && ob.Status != intentSucceeded && ob.Status != intentCanceled {
		ob.Status = intentRequiresPaymentMethod // requires_confirmation and whatever comes: no money yet
	}
	if pi.LatestCharge != nil {
		ob.ChargeID = pi.LatestCharge.ID
		if bt := pi.LatestCharge.BalanceTransaction; bt != nil {
			ob.BalanceTransactionID = bt.ID
		}
		if ob.captured() && pi.LatestCharge.Created > 0 {
			ob.Time = time.Unix(pi.LatestCharge.Created, 0).UTC()
		}
	}
	return ob
}

// requireStripeKey refuses to start without a key: later an absent key could not be told from a wrong one by Stripe's
// answers.
func requireStripeKey(key config.Secret) error {
	if key.Reveal() == "" {
		return errors.New("DAYOF_STRIPE_KEY is not set: no payment could be taken")
	}
	return nil
}
