// Package stripecalls is Stripe as checkoutsvc uses it: its calls, and what their answers report of orders.
package stripecalls

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"
	stripe "github.com/stripe/stripe-go/v76"

	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/internal/chassis/instant"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/chassis/stripeapi"
)

// The objects that calls are about. Refunds are read also while none can be made, and so are intents.
const (
	paymentIntents      = "payment_intents"
	intentReads         = "payment_intents/get"
	intentCancels       = "payment_intents/cancel"
	refunds             = "refunds"
	refundLists         = "refunds/list"
	balanceTransactions = "balance_transactions"
	accounts            = "accounts"
	charges             = "charges"
)

// Client makes the calls.
type Client struct {
	*stripeapi.Client
}

// New returns a client, or what is wrong with its configuration. Without a key it refuses: later an absent key could not be
// distinguished from a wrong one by Stripe's answers.
func New(c stripeapi.Config) (Client, error) {
	client := stripeapi.New(c)
	if !client.HasKey() {
		return Client{}, errors.New("DAYOF_STRIPE_KEY is not set: no payment could be taken")
	}
	return Client{client}, nil
}

// Problem is what a caller gets when Stripe cannot answer.
func Problem(err error) error {
	p := problem.New(connect.CodeUnavailable, "PAYMENT_PROVIDER_UNAVAILABLE",
		"the payment provider did not answer; retry with the same key")
	p.RetryAfter = time.Second
	p.Err = err
	return p
}

// codeUnnamed stands for a refusal to which Stripe gives no code, as of a currency that it does not charge.
const codeUnnamed = "invalid_request_error"

// RefusedForGood says whether Stripe refuses what a call asks for, so that no repeat helps, and its code. A key, an account
// or a permission that is wrong says nothing about the request.
func RefusedForGood(err error) (code string, final bool) {
	if err == nil || stripeapi.Status(err) != http.StatusBadRequest || stripeapi.Away(err) {
		return "", false
	}
	return cmp.Or(string(stripeapi.Code(err)), codeUnnamed), true
}

// Refused is what a caller gets whose payment Stripe refuses for good.
func Refused(code string) error {
	return problem.New(connect.CodeFailedPrecondition, "PAYMENT_REFUSED",
		"the payment provider takes no payment of this amount in this currency ("+code+"); the tickets are on sale again, a retry does not help")
}

// attemptKey is the key of an attempt: what it is about, and its number after the first.
func attemptKey(subject string, attempt int32) string {
	if attempt > 1 {
		return subject + ":" + strconv.Itoa(int(attempt))
	}
	return subject
}

// CreateIntent makes the payment intent of a row. The key is of the row's attempt, so a repeat returns the same intent.
func (c Client) CreateIntent(ctx context.Context, o IntentRequest) (*stripe.PaymentIntent, error) {
	params := &stripe.PaymentIntentParams{
		Amount:   new(o.AmountMinorUnits),
		Currency: new(strings.ToLower(o.Currency)),
		AutomaticPaymentMethods: &stripe.PaymentIntentAutomaticPaymentMethodsParams{
			Enabled: new(true),
		},
		Description: new("Tickets"),
	}
	params.AddMetadata("order_id", o.OrderID)
	params.SetIdempotencyKey(attemptKey(fmt.Sprintf("order:%s:pi:v%d", o.OrderID, o.Number), o.Attempt))
	if o.StripeAccount != "" {
		params.SetStripeAccount(o.StripeAccount)
	}
	return stripeapi.Call(ctx, c.Client, stripeapi.Target{Account: o.StripeAccount, Objects: paymentIntents}, func(ctx context.Context) (*stripe.PaymentIntent, error) {
		params.Context = ctx
		return c.PaymentIntents.New(params)
	})
}

// passing are the codes of refusals that time or an operator ends, without another request of ours.
// Source: Stripe API reference, "Error codes", and "Refunds" for the balance that a refund is taken from.
var passing = []stripe.ErrorCode{
	stripe.ErrorCodeBalanceInsufficient, stripe.ErrorCodeChargeDisputed, stripe.ErrorCodeAPIKeyExpired, stripe.ErrorCodePlatformAPIKeyExpired,
	stripe.ErrorCodeAccountInvalid, stripe.ErrorCodeSecretKeyRequired, stripe.ErrorCodeRateLimit, stripe.ErrorCodeLockTimeout,
}

// Passes says whether the same request may be granted later: the reason lies in the balance, a dispute, or the key we call with.
func Passes(err error) bool {
	status := stripeapi.Status(err)
	return status == http.StatusUnauthorized || status == http.StatusForbidden || slices.Contains(passing, stripeapi.Code(err))
}

// CodeOf is Stripe's code of a refusal, or its status where it has none.
func CodeOf(err error) string {
	if code := stripeapi.Code(err); code != "" {
		return string(code)
	}
	return "status_" + strconv.Itoa(stripeapi.Status(err))
}

// IntentRequest is what a payment intent is made of, all of it frozen in its row.
type IntentRequest struct {
	OrderID          string
	Number           int32
	Attempt          int32
	StripeAccount    string
	Currency         string
	AmountMinorUnits int64
}

// GetIntent fetches an intent with its latest charge and that charge's balance transaction.
func (c Client) GetIntent(ctx context.Context, account, id string) (*stripe.PaymentIntent, error) {
	params := &stripe.PaymentIntentParams{}
	params.AddExpand("latest_charge.balance_transaction")
	if account != "" {
		params.SetStripeAccount(account)
	}
	return stripeapi.Call(ctx, c.Client, stripeapi.Target{Account: account, Objects: intentReads}, func(ctx context.Context) (*stripe.PaymentIntent, error) {
		params.Context = ctx
		return c.PaymentIntents.Get(id, params)
	})
}

// IntentOfCharge returns the intent of a charge; empty if it has none.
func (c Client) IntentOfCharge(ctx context.Context, account, id string) (string, error) {
	params := &stripe.ChargeParams{}
	if account != "" {
		params.SetStripeAccount(account)
	}
	charge, err := stripeapi.Call(ctx, c.Client, stripeapi.Target{Account: account, Objects: charges, Priority: stripeapi.Last}, func(ctx context.Context) (*stripe.Charge, error) {
		params.Context = ctx
		return c.Charges.Get(id, params)
	})
	if err != nil || charge.PaymentIntent == nil {
		return "", err
	}
	return charge.PaymentIntent.ID, nil
}

// CancelIntent cancels an intent. Canceling a canceled one is an error at Stripe; callers fetch the intent then.
//
// It has no key: an intent is canceled once by itself, and under a key Stripe would keep a failure of its own, so that no repeat could
// cancel it.
func (c Client) CancelIntent(ctx context.Context, account, id string) (*stripe.PaymentIntent, error) {
	params := &stripe.PaymentIntentCancelParams{CancellationReason: new("abandoned")}
	if account != "" {
		params.SetStripeAccount(account)
	}
	return stripeapi.Call(ctx, c.Client, stripeapi.Target{Account: account, Objects: intentCancels, Priority: stripeapi.Second}, func(ctx context.Context) (*stripe.PaymentIntent, error) {
		params.Context = ctx
		return c.PaymentIntents.Cancel(id, params)
	})
}

// metadataValueMax is the longest value that Stripe keeps. Source: Stripe API reference, "Metadata".
const metadataValueMax = 500

// CreateRefund sends money of an intent back. The key is of the row's attempt, so a repeat within a day returns the same refund;
// the row's id travels in the metadata, so that it is found after that, too.
func (c Client) CreateRefund(ctx context.Context, account, orderID string, r *order.Refund) (*stripe.Refund, error) {
	params := &stripe.RefundParams{PaymentIntent: new(r.PaymentIntent), Amount: new(r.AmountMinorUnits)}
	params.AddMetadata("refund_id", r.ID)
	params.AddMetadata("refund_request_id", r.ID) // the name that people search for in Stripe's dashboard
	if tickets := strings.Join(r.TicketIDs, ","); tickets != "" && len(tickets) <= metadataValueMax {
		params.AddMetadata("ticket_ids", tickets)
	}
	params.AddMetadata("order_id", orderID)
	params.SetIdempotencyKey(attemptKey("refund:"+r.ID, r.Attempt))
	if account != "" {
		params.SetStripeAccount(account)
	}
	return stripeapi.Call(ctx, c.Client, stripeapi.Target{Account: account, Objects: refunds, Priority: stripeapi.Second}, func(ctx context.Context) (*stripe.Refund, error) {
		params.Context = ctx
		return c.Refunds.New(params)
	})
}

// ListRefunds returns the refunds of an intent; Stripe allows some hundreds at most.
func (c Client) ListRefunds(ctx context.Context, account, intentID string) ([]*stripe.Refund, error) {
	params := &stripe.RefundListParams{PaymentIntent: new(intentID)}
	params.Filters.AddFilter("limit", "", "100")
	if account != "" {
		params.SetStripeAccount(account)
	}
	return stripeapi.Call(ctx, c.Client, stripeapi.Target{Account: account, Objects: refundLists, Priority: stripeapi.Second}, func(ctx context.Context) ([]*stripe.Refund, error) {
		params.Context = ctx
		var refunds []*stripe.Refund
		list := c.Refunds.List(params)
		for list.Next() {
			refunds = append(refunds, list.Refund())
		}
		return refunds, list.Err()
	})
}

// GetRefund fetches a refund with what it did to our balance, and what its failure did.
func (c Client) GetRefund(ctx context.Context, account, id string) (*stripe.Refund, error) {
	params := &stripe.RefundParams{}
	params.AddExpand("balance_transaction")
	params.AddExpand("failure_balance_transaction")
	if account != "" {
		params.SetStripeAccount(account)
	}
	return stripeapi.Call(ctx, c.Client, stripeapi.Target{Account: account, Objects: refundLists, Priority: stripeapi.Second}, func(ctx context.Context) (*stripe.Refund, error) {
		params.Context = ctx
		return c.Refunds.Get(id, params)
	})
}

// GetBalanceTransaction fetches what a charge did to our balance.
func (c Client) GetBalanceTransaction(ctx context.Context, account, id string) (*stripe.BalanceTransaction, error) {
	params := &stripe.BalanceTransactionParams{}
	if account != "" {
		params.SetStripeAccount(account)
	}
	return stripeapi.Call(ctx, c.Client, stripeapi.Target{Account: account, Objects: balanceTransactions, Priority: stripeapi.Last}, func(ctx context.Context) (*stripe.BalanceTransaction, error) {
		params.Context = ctx
		return c.BalanceTransactions.Get(id, params)
	})
}

// ObservedPayment is what a fetched intent reports, as of now.
func ObservedPayment(pi *stripe.PaymentIntent, account string, now time.Time) order.Payment {
	f := order.Payment{
		Account: account, IntentID: pi.ID, OrderID: pi.Metadata["order_id"], Status: order.IntentStatusOf(string(pi.Status)),
		Currency: strings.ToUpper(string(pi.Currency)), AmountMinorUnits: pi.Amount, ReceivedMinorUnits: pi.AmountReceived,
		Livemode: pi.Livemode, Time: now,
	}
	if pi.LatestCharge != nil {
		f.ChargeID = pi.LatestCharge.ID
		if bt := pi.LatestCharge.BalanceTransaction; bt != nil && f.Captured() { // that of a debit which failed is not the payment's
			f.BalanceTransactionID = bt.ID
			f.Fee = feeOf(bt, f.Currency)
		}
		if f.Captured() && pi.LatestCharge.Created > 0 {
			f.Time = instant.FromUnix(pi.LatestCharge.Created, now)
		}
	}
	return f
}

// feeOf is what Stripe kept of a payment in a currency; nil where it was settled in another one, or where the transaction was not fetched.
func feeOf(bt *stripe.BalanceTransaction, currency string) *order.StripeFee {
	if bt.Created == 0 || !strings.EqualFold(string(bt.Currency), currency) {
		return nil
	}
	return &order.StripeFee{MinorUnits: KeptByStripe(bt), Time: time.Unix(bt.Created, 0)}
}

// feeOfApplication is the type of fee detail of a platform's application fee.
const feeOfApplication = "application_fee"

// KeptByStripe is the part of a transaction's fee that Stripe keeps. On a connected account the platform's application
// fee is in it, too, which the sale has booked already.
// Source: Stripe API reference, balance transaction, fee_details.
func KeptByStripe(bt *stripe.BalanceTransaction) int64 {
	kept := bt.Fee
	for _, detail := range bt.FeeDetails {
		if detail.Type == feeOfApplication {
			kept -= detail.Amount
		}
	}
	return kept
}

// ObservedRefund is what a fetched refund reports.
func ObservedRefund(r *stripe.Refund, account string) order.RefundObserved {
	f := order.RefundObserved{
		Account: account, OrderID: r.Metadata["order_id"], RefundID: r.Metadata["refund_id"], StripeID: r.ID,
		State: order.RefundStateOf(string(r.Status)), Currency: strings.ToUpper(string(r.Currency)), Amount: r.Amount,
		FailureCode: string(r.FailureReason), Time: instant.FromUnix(r.Created, instant.First),
	}
	if r.PaymentIntent != nil {
		f.IntentID = r.PaymentIntent.ID
	}
	if tickets := r.Metadata["ticket_ids"]; tickets != "" {
		f.TicketIDs = strings.Split(tickets, ",")
	}
	return f
}
