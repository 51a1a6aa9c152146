package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"

	"github.com/dayof/dayof/devenv/client"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// buyerPatience is how long a buyer keeps trying the same click, with the same key.
const buyerPatience = 5 * time.Minute

// retryPause is between a buyer's tries.
const retryPause = 100 * time.Millisecond

// buyAll lets all sales happen: half of them at once, as when a sale opens, and the others one by one while things break.
func (h *harness) buyAll(ctx context.Context, variant *checkoutv1.Variant) error {
	work := make(chan int)
	var wg sync.WaitGroup
	for range max(h.config.Buyers, 1) {
		wg.Go(func() {
			for i := range work {
				h.awaitTurn(ctx, i)
				if err := h.buy(ctx, variant, i); err != nil {
					h.mu.Lock()
					h.unserved = append(h.unserved, fmt.Sprintf("sale %d: %v", i, err))
					h.mu.Unlock()
				}
			}
		})
	}
	for i := range h.config.Sales {
		work <- i
	}
	close(work)
	wg.Wait()
	if len(h.paid) == 0 {
		return fmt.Errorf("nobody could pay: %s", strings.Join(h.unserved, "; "))
	}
	h.violated("buyer_is_served", h.unserved...)
	return nil
}

// awaitTurn waits until so many injections were injected that the sale is in proportion.
func (h *harness) awaitTurn(ctx context.Context, i int) {
	rush := h.config.Sales / 2
	for i >= rush && int(h.injected.Load())*(h.config.Sales-rush) < (i-rush)*len(h.plan) && ctx.Err() == nil {
		rest(ctx, retryPause)
	}
}

// buyer draws from a source of its own, so that what it does depends on the seed and not on others.
type buyer struct {
	mu      sync.Mutex
	random  *rand.Rand
	clients []*client.Client
}

func (h *harness) newBuyer(number int) *buyer {
	return &buyer{random: rand.New(rand.NewPCG(h.config.Seed, uint64(2+number))), clients: h.clients}
}

func (b *buyer) chance(n int) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.random.IntN(n)
}

func (b *buyer) anyone() *client.Client { return b.clients[b.chance(len(b.clients))] }

// buy is one buyer: starts a checkout, pays, and half of the time completes the checkout; the other half closes the browser. The click
// is repeated on any replica, with one key, until it is answered. Some have a device, some get their money back.
func (h *harness) buy(ctx context.Context, variant *checkoutv1.Variant, i int) error {
	ctx, cancel := context.WithTimeout(ctx, buyerPatience)
	defer cancel()
	b := h.newBuyer(i)
	tickets, completes, hasDevice, refunds := int32(1+b.chance(2)), b.chance(2) == 0, b.chance(4) == 0, b.chance(4) == 0
	if h.config.AllHaveDevices {
		hasDevice = true
	}
	req := &checkoutv1.StartCheckoutRequest{
		EventId: variant.GetEventId(),
		Lines:   []*checkoutv1.CartLine{{VariantId: variant.GetId(), Quantity: tickets}},
		Buyer:   &checkoutv1.Buyer{Name: "Ada Beispiel", Email: fmt.Sprintf("ada+%d@example.test", i), Language: "en"},
	}
	var started *checkoutv1.StartCheckoutResponse
	err := b.insist(ctx, func(c *client.Client) (err error) {
		started, err = c.Checkout.StartCheckout(rpc.WithIdempotencyKey(ctx, fmt.Sprintf("chaos/%d/start", i)), req)
		return err
	})
	if err != nil {
		return fmt.Errorf("start checkout: %w", err)
	}
	err = b.insist(ctx, func(c *client.Client) error {
		err := c.Stripe.Confirm(ctx, started.GetPaymentIntentId(), started.GetPaymentClientSecret(), client.CardThatPays)
		if err != nil && captured(ctx, c, started.GetPaymentIntentId()) {
			return nil // it was done, only the reply was lost
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("pay: %w", err)
	}
	orderID := started.GetOrder().GetId()
	h.mu.Lock()
	h.paid = append(h.paid, orderID)
	h.mu.Unlock()
	if i%5 == 0 {
		if err := h.takeFree(ctx, b, i); err != nil {
			return fmt.Errorf("take what is free: %w", err)
		}
	}
	if completes {
		// What the browser says may get lost: nothing may depend on it.
		_, _ = b.anyone().Checkout.CompleteCheckout(
			rpc.WithBearerToken(rpc.WithIdempotencyKey(ctx, fmt.Sprintf("chaos/%d/complete", i)), started.GetOrderAccessToken()),
			&checkoutv1.CompleteCheckoutRequest{OrderId: orderID, PaymentIntentId: started.GetPaymentIntentId()})
	}
	if hasDevice {
		if err := h.addDevice(ctx, b, i, orderID); err != nil {
			return fmt.Errorf("device: %w", err)
		}
	}
	if refunds || hasDevice && i%2 == 0 {
		return b.refund(ctx, i, orderID)
	}
	return nil
}

// takeFree gets two tickets that cost nothing, and gives one of them up. Nothing is paid, so that the answer of the first click is all there is.
func (h *harness) takeFree(ctx context.Context, b *buyer, i int) error {
	var orderID string
	err := b.insist(ctx, func(c *client.Client) error {
		started, err := c.Checkout.StartCheckout(rpc.WithIdempotencyKey(ctx, fmt.Sprintf("chaos/%d/free", i)), &checkoutv1.StartCheckoutRequest{
			EventId: h.freeVariant.GetEventId(), Lines: []*checkoutv1.CartLine{{VariantId: h.freeVariant.GetId(), Quantity: 2}},
			Buyer: &checkoutv1.Buyer{Name: "Ada Beispiel", Email: fmt.Sprintf("ada+%d@example.test", i), Language: "en"},
		})
		orderID = started.GetOrder().GetId()
		return err
	})
	if err != nil {
		return err
	}
	h.mu.Lock()
	h.free = append(h.free, orderID)
	h.mu.Unlock()
	return b.insist(ctx, func(c *client.Client) error {
		details, err := c.Orders.GetOrderDetails(ctx, &checkoutv1.GetOrderDetailsRequest{OrderId: orderID})
		if err != nil {
			return err
		}
		_, err = c.Checkout.ReleaseTickets(rpc.WithIdempotencyKey(ctx, fmt.Sprintf("chaos/%d/release", i)), &checkoutv1.ReleaseTicketsRequest{
			OrderId: orderID, TicketIds: []string{details.GetOrder().GetTickets()[0].GetId()},
		})
		return err
	})
}

// refund sends all of an order's money back, as staff would: as soon as the payment is known, which may be in the middle of
// a fulfilment attempt.
func (b *buyer) refund(ctx context.Context, i int, orderID string) error {
	for {
		err := b.insist(ctx, func(c *client.Client) error {
			_, err := c.Orders.RefundOrder(rpc.WithIdempotencyKey(ctx, fmt.Sprintf("chaos/%d/refund", i)), &checkoutv1.RefundOrderRequest{OrderId: orderID})
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
func captured(ctx context.Context, c *client.Client, intentID string) bool {
	var intent struct {
		Status string `json:"status"`
	}
	return c.Stripe.Get(ctx, "/v1/payment_intents/"+intentID, &intent) == nil && intent.Status == "succeeded"
}

// insist repeats a call on any replica until it is answered. A refusal that a repeat cannot change ends it.
func (b *buyer) insist(ctx context.Context, call func(c *client.Client) error) error {
	for {
		err := call(b.anyone())
		if err == nil {
			return nil
		}
		switch problem.Code(err) { //nolint:exhaustive // the rest may pass
		case connect.CodeInvalidArgument, connect.CodeAlreadyExists, connect.CodeNotFound, connect.CodeFailedPrecondition:
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, context.Cause(ctx))
		case <-time.After(retryPause):
		}
	}
}
