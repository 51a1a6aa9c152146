package ordeal

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"connectrpc.com/connect"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/chassis/rpc"
	"github.com/dayof/dayof/internal/dev"
)

// buyerPatience is how long a buyer keeps trying the same click, with the same key.
const buyerPatience = 90 * time.Second

// retryPause is between a buyer's tries.
const retryPause = 100 * time.Millisecond

// buyAll lets all sales happen, some at once.
func (o *ordeal) buyAll(ctx context.Context, variant *checkoutv1.Variant) error {
	work := make(chan int)
	var mu sync.Mutex
	var failure error
	var wg sync.WaitGroup
	for range max(o.config.Buyers, 1) {
		wg.Go(func() {
			for i := range work {
				if err := o.buy(ctx, variant, i); err != nil {
					mu.Lock()
					failure = errors.Join(failure, fmt.Errorf("sale %d: %w", i, err))
					mu.Unlock()
				}
			}
		})
	}
	for i := range o.config.Sales {
		work <- i
	}
	close(work)
	wg.Wait()
	return failure
}

// buy is one buyer: starts a checkout, pays, and half of the time tells so; the other half closes the browser. The click
// is repeated on any replica, with one key, until it is answered.
func (o *ordeal) buy(ctx context.Context, variant *checkoutv1.Variant, i int) error {
	ctx, cancel := context.WithTimeout(ctx, buyerPatience)
	defer cancel()
	req := &checkoutv1.StartCheckoutRequest{
		EventId: variant.GetEventId(),
		Lines:   []*checkoutv1.CartLine{{VariantId: variant.GetId(), Quantity: int32(1 + o.chance(2))}},
		Buyer:   &checkoutv1.Buyer{Name: "Ada Beispiel", Email: "ada@example.test", Language: "en"},
	}
	var started *checkoutv1.StartCheckoutResponse
	err := o.insist(ctx, func(c *dev.Client) (err error) {
		started, err = c.Checkout.StartCheckout(rpc.WithIdempotencyKey(ctx, fmt.Sprintf("ordeal/%d/start", i)), req)
		return err
	})
	if err != nil {
		return fmt.Errorf("start checkout: %w", err)
	}
	tells := o.chance(2) == 0
	err = o.insist(ctx, func(c *dev.Client) error {
		err := c.Stripe.Confirm(ctx, started.GetPaymentIntentId(), started.GetPaymentClientSecret(), dev.CardThatPays)
		if err != nil && o.captured(ctx, c, started.GetPaymentIntentId()) {
			return nil // it was done, only the reply was lost
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("pay: %w", err)
	}
	o.mu.Lock()
	o.paid = append(o.paid, started.GetOrder().GetId())
	o.mu.Unlock()
	if o.chance(5) == 0 {
		return o.refund(ctx, i, started.GetOrder().GetId())
	}
	if !tells {
		return nil
	}
	// What the browser says may get lost: nothing may depend on it.
	_, _ = o.anyone().Checkout.CompleteCheckout(
		rpc.WithBearerToken(rpc.WithIdempotencyKey(ctx, fmt.Sprintf("ordeal/%d/complete", i)), started.GetOrderAccessToken()),
		&checkoutv1.CompleteCheckoutRequest{OrderId: started.GetOrder().GetId(), PaymentIntentId: started.GetPaymentIntentId()})
	return nil
}

// refund sends all of an order's money back, as staff would: as soon as the payment is known, which may be in the middle of
// the walk.
func (o *ordeal) refund(ctx context.Context, i int, orderID string) error {
	for {
		err := o.insist(ctx, func(c *dev.Client) error {
			_, err := c.Orders.RefundOrder(rpc.WithIdempotencyKey(ctx, fmt.Sprintf("ordeal/%d/refund", i)), &checkoutv1.RefundOrderRequest{OrderId: orderID})
			return err
		})
		if problem.Reason(err) != "ORDER_NOT_PAID" {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, context.Cause(ctx))
		case <-time.After(retryPause):
		}
	}
}

// captured asks Stripe whether an intent has succeeded.
func (o *ordeal) captured(ctx context.Context, c *dev.Client, intentID string) bool {
	var intent struct {
		Status string `json:"status"`
	}
	return c.Stripe.Get(ctx, "/v1/payment_intents/"+intentID, &intent) == nil && intent.Status == "succeeded"
}

func (o *ordeal) anyone() *dev.Client { return o.clients[o.chance(len(o.clients))] }

// insist repeats a call on any replica until it is answered. A refusal that a repeat cannot change ends it.
func (o *ordeal) insist(ctx context.Context, call func(c *dev.Client) error) error {
	for {
		err := call(o.anyone())
		if err == nil {
			return nil
		}
		switch problem.Code(err) { //nolint:exhaustive // the rest may pass
		case connect.CodeInvalidArgument, connect.CodeAlreadyExists, connect.CodeNotFound, connect.CodeFailedPrecondition, connect.CodeResourceExhausted:
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, context.Cause(ctx))
		case <-time.After(retryPause):
		}
	}
}
