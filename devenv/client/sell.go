package client

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	passv1 "github.com/dayof/dayof/gen/dayof/pass/v1"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// Via is by which way a sale's payment becomes known.
type Via string

// The ways.
const (
	ViaUI      Via = "ui"      // the browser reports the payment; the sandbox withholds the webhook
	ViaWebhook Via = "webhook" // Stripe reports the payment; the browser was closed after paying
	ViaBoth    Via = "both"    // both at once
)

// ParseVia reads a way as people write it.
func ParseVia(text string) (Via, error) {
	switch v := Via(text); v {
	case ViaUI, ViaWebhook, ViaBoth:
		return v, nil
	}
	return "", fmt.Errorf("-via is ui, webhook or both, not %q", text)
}

// Purchase is what a buyer wants.
type Purchase struct {
	EventID   string // "" takes the first event with tickets left
	VariantID string // "" takes the event's first variant with tickets left
	Tickets   int32
	Via       Via
}

// statePoll is how often an order is read while it is waited for.
const statePoll = 50 * time.Millisecond

// CardThatPays is Stripe's test card that always succeeds.
const CardThatPays = "pm_card_visa"

// Cart is a checkout that was started and not paid yet.
type Cart struct {
	OrderID      string
	AccessToken  string
	IntentID     string // empty of a free order
	ClientSecret string
}

// Start begins a checkout of some tickets of one variant.
func (c *Client) Start(ctx context.Context, variant *checkoutv1.Variant, tickets int32) (Cart, error) {
	return c.StartLines(ctx, variant.GetEventId(), []*checkoutv1.CartLine{{VariantId: variant.GetId(), Quantity: tickets}})
}

// StartLines begins a checkout of several lines of one event.
func (c *Client) StartLines(ctx context.Context, eventID string, lines []*checkoutv1.CartLine) (Cart, error) {
	res, err := c.Checkout.StartCheckout(rpc.WithIdempotencyKey(ctx, "buyer/"+NewKey()), &checkoutv1.StartCheckoutRequest{
		EventId: eventID, Lines: lines,
		Buyer: &checkoutv1.Buyer{Name: "Ada Beispiel", Email: "ada@example.test", Language: "en"},
	})
	if err != nil {
		return Cart{}, fmt.Errorf("start checkout: %w", err)
	}
	return Cart{
		OrderID: res.GetOrder().GetId(), AccessToken: res.GetOrderAccessToken(),
		IntentID: res.GetPaymentIntentId(), ClientSecret: res.GetPaymentClientSecret(),
	}, nil
}

// Complete reports, as the buyer's browser, that the payment went through.
func (c *Client) Complete(ctx context.Context, cart Cart) (*checkoutv1.Order, error) {
	ctx = rpc.WithBearerToken(rpc.WithIdempotencyKey(ctx, "complete/"+NewKey()), cart.AccessToken)
	res, err := c.Checkout.CompleteCheckout(ctx, &checkoutv1.CompleteCheckoutRequest{
		OrderId: cart.OrderID, PaymentIntentId: cart.IntentID,
	})
	if err != nil {
		return nil, fmt.Errorf("complete checkout: %w", err)
	}
	return res.GetOrder(), nil
}

// Sell makes one sale from cart to valid tickets and waits for its end. A sale that ends otherwise is an error and still
// returned.
func (c *Client) Sell(ctx context.Context, p Purchase) (Sale, error) {
	variant, err := c.Choose(ctx, p.EventID, p.VariantID, p.Tickets)
	if err != nil {
		return Sale{}, fmt.Errorf("choose tickets: %w", err)
	}
	cart, err := c.Start(ctx, variant, p.Tickets)
	if err != nil {
		return Sale{}, err
	}
	if err := c.Pay(ctx, cart, p.Via); err != nil {
		return Sale{OrderID: cart.OrderID}, err
	}
	return c.AwaitSale(ctx, cart.OrderID)
}

// Pay confirms the payment and lets it become known in the given way. There is none of a free order.
func (c *Client) Pay(ctx context.Context, cart Cart, via Via) error {
	if cart.IntentID == "" {
		return nil
	}
	if via == ViaUI {
		if err := c.Stripe.Withhold(ctx, cart.IntentID); err != nil {
			return err
		}
	}
	if err := c.Stripe.Confirm(ctx, cart.IntentID, cart.ClientSecret, CardThatPays); err != nil {
		return fmt.Errorf("pay: %w", err)
	}
	if via == ViaWebhook {
		return nil
	}
	_, err := c.Complete(ctx, cart)
	return err
}

// AwaitSale waits until the order's fulfilment has ended and returns what the buyer has.
func (c *Client) AwaitSale(ctx context.Context, orderID string) (Sale, error) {
	order, err := c.Await(ctx, orderID, func(o *checkoutv1.Order) bool {
		return o.GetFulfilmentState() == checkoutv1.FulfilmentState_FULFILMENT_STATE_COMPLETED ||
			o.GetFulfilmentState() == checkoutv1.FulfilmentState_FULFILMENT_STATE_UNFULFILLABLE
	})
	sale := newSale(order, nil)
	sale.OrderID = orderID
	if err != nil {
		return sale, c.explain(ctx, orderID, fmt.Errorf("order %s is %s: %w", orderID, sale.FulfilmentState, err))
	}
	passes, err := c.Passes.ListPasses(ctx, &passv1.ListPassesRequest{OrderId: orderID})
	if err != nil {
		return sale, err
	}
	sale = newSale(order, passes.GetPasses())
	if order.GetFulfilmentState() != checkoutv1.FulfilmentState_FULFILMENT_STATE_COMPLETED {
		return sale, fmt.Errorf("order %s is %s and %s", orderID, sale.FulfilmentState, sale.PaymentState)
	}
	return sale, nil
}

// explain adds to the error of a sale what its order waits for and where to look.
func (c *Client) explain(ctx context.Context, orderID string, err error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), explainTimeout) // the sale's time is over
	defer cancel()
	details, readErr := c.Orders.GetOrderDetails(ctx, &checkoutv1.GetOrderDetailsRequest{OrderId: orderID})
	if readErr != nil {
		return err
	}
	if intent := c.undelivered(ctx, details.GetOrder()); intent != "" {
		return fmt.Errorf("%w; Stripe calls payment intent %s paid, but has not delivered a webhook event of it: look at `dayof webhooks` for what arrived, "+
			"and at `dayof alerts` for stripe_silent, which names the endpoint", err, intent)
	}
	waits := WaitsFor(details.GetOrder())
	if waits == "" {
		return err
	}
	if failure := lastFailure(details.GetTimeline()); failure != "" {
		waits += "; the last attempt failed: " + failure
	}
	return fmt.Errorf("%w; it waits for %s; look at `dayof order show %s` and `dayof alerts`", err, waits, orderID)
}

// undelivered is the payment intent of an order that Stripe calls paid while the order knows nothing of it; "" if there is none, or
// Stripe does not say.
func (c *Client) undelivered(ctx context.Context, o *checkoutv1.Order) string {
	if o.GetFulfilmentState() != checkoutv1.FulfilmentState_FULFILMENT_STATE_NONE || o.GetPaymentState() != checkoutv1.PaymentState_PAYMENT_STATE_AWAITING_PAYMENT {
		return ""
	}
	for _, intent := range o.GetPaymentIntents() {
		var atStripe struct {
			Status string `json:"status"`
		}
		err := c.Stripe.Get(ctx, "/v1/payment_intents/"+url.PathEscape(intent.GetId()), &atStripe)
		if err == nil && atStripe.Status == "succeeded" {
			return intent.GetId()
		}
	}
	return ""
}

// explainTimeout bounds the look at an order whose sale did not end in time.
const explainTimeout = 20 * time.Second

// Await reads an order until it is as wished or ctx ends, and returns it as last read.
func (c *Client) Await(ctx context.Context, orderID string, done func(*checkoutv1.Order) bool) (*checkoutv1.Order, error) {
	var last *checkoutv1.Order
	for {
		res, err := c.Orders.GetOrderDetails(ctx, &checkoutv1.GetOrderDetailsRequest{OrderId: orderID})
		if err == nil {
			last = res.GetOrder()
			if done(last) {
				return last, nil
			}
		}
		select {
		case <-ctx.Done():
			if err != nil && !errors.Is(err, context.DeadlineExceeded) {
				return last, errors.Join(context.Cause(ctx), err)
			}
			return last, context.Cause(ctx)
		case <-time.After(statePoll):
		}
	}
}

// AwaitFee waits until Stripe's fee of a completed order is in the books as well, and returns the order.
func (c *Client) AwaitFee(ctx context.Context, orderID string) (Order, error) {
	return c.AwaitPosting(ctx, orderID, "fee:")
}

// AwaitPosting waits until the books of an order have a reference with this prefix, and returns the order.
func (c *Client) AwaitPosting(ctx context.Context, orderID, prefix string) (Order, error) {
	for {
		order, err := c.Order(ctx, orderID)
		if err == nil && slices.ContainsFunc(order.Postings, func(p Posting) bool { return strings.HasPrefix(p.Reference, prefix) }) {
			return order, nil
		}
		select {
		case <-ctx.Done():
			return order, errors.Join(fmt.Errorf("no %s of order %s is booked: %w", prefix, orderID, context.Cause(ctx)), err)
		case <-time.After(statePoll):
		}
	}
}
