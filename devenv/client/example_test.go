package client_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	"connectrpc.com/connect"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/devenv/cluster"
	"github.com/dayof/dayof/devenv/pgtest"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/gen/dayof/checkout/v1/checkoutv1connect"
)

// A sale as a shop makes it: the generated clients of connect-go, one header with a key for each call that changes
// something, and one with the order's token. A repeat of a call with its key gets the same answer.
func Example_sale() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	system := startSystem(ctx) // `dayof up` does for trying this out; its addresses are in .dayof/dev.json
	defer func() { _ = system.Stop(ctx) }()

	catalog := checkoutv1connect.NewCatalogServiceClient(http.DefaultClient, system.File.CheckoutURL)
	checkout := checkoutv1connect.NewCheckoutServiceClient(http.DefaultClient, system.File.CheckoutURL)

	// What is on sale: anybody may ask.
	events, err := catalog.ListEvents(ctx, &checkoutv1.ListEventsRequest{PageSize: 1})
	if err != nil {
		log.Panic(err)
	}
	event := events.GetEvents()[0]
	variants, err := catalog.ListVariants(ctx, &checkoutv1.ListVariantsRequest{EventId: event.GetId()})
	if err != nil {
		log.Panic(err)
	}

	// The cart is held, and Stripe asked for a payment intent. A buyer has no token yet, so the key is a secret: 128 random bits,
	// which the browser keeps with the cart.
	key := rand.Text()
	started, err := checkout.StartCheckout(withHeaders(ctx, "Idempotency-Key", key), &checkoutv1.StartCheckoutRequest{
		EventId: event.GetId(),
		Lines:   []*checkoutv1.CartLine{{VariantId: variants.GetVariants()[0].GetId(), Quantity: 2}},
		Buyer:   &checkoutv1.Buyer{Name: "Ada Beispiel", Email: "ada@example.test", Language: "en"},
	})
	if err != nil {
		log.Panic(err)
	}
	fmt.Println("payment:", client.Word(started.GetOrder().GetPaymentState()))

	// In a browser Stripe.js does this with the client secret, and the card never comes near us.
	stripe := client.Stripe{BaseURL: system.File.Sandbox.StripeURL, HTTP: http.DefaultClient}
	if err := stripe.Confirm(ctx, started.GetPaymentIntentId(), started.GetPaymentClientSecret(), client.CardThatPays); err != nil {
		log.Panic(err)
	}

	// The browser says so. Stripe's webhook says the same: whichever is first has the order fulfilled.
	headers := withHeaders(ctx, "Idempotency-Key", key+"/complete", "Authorization", "Bearer "+started.GetOrderAccessToken())
	completed, err := checkout.CompleteCheckout(headers, &checkoutv1.CompleteCheckoutRequest{
		OrderId: started.GetOrder().GetId(), PaymentIntentId: started.GetPaymentIntentId(),
	})
	if err != nil {
		log.Panic(err)
	}

	// It answers when the order is fulfilled, or after some seconds with an order that is fulfilled later.
	order := completed.GetOrder()
	for order.GetFulfilmentState() != checkoutv1.FulfilmentState_FULFILMENT_STATE_COMPLETED {
		<-time.After(100 * time.Millisecond)
		token := withHeaders(ctx, "Authorization", "Bearer "+started.GetOrderAccessToken())
		found, err := checkout.GetOrder(token, &checkoutv1.GetOrderRequest{OrderId: order.GetId()})
		if err != nil {
			log.Panic(err)
		}
		order = found.GetOrder()
	}
	fmt.Println("payment:", client.Word(order.GetPaymentState()))
	fmt.Println("fulfilment:", client.Word(order.GetFulfilmentState()))
	for _, ticket := range order.GetTickets() {
		fmt.Println("ticket:", client.Word(ticket.GetState()))
	}

	// Output:
	// payment: awaiting_payment
	// payment: paid
	// fulfilment: completed
	// ticket: valid
	// ticket: valid
}

// withHeaders returns a context whose call carries these headers: names and values in turn.
func withHeaders(ctx context.Context, pairs ...string) context.Context {
	ctx, call := connect.NewClientContext(ctx)
	for i := 0; i < len(pairs); i += 2 {
		call.RequestHeader().Set(pairs[i], pairs[i+1])
	}
	return ctx
}

// startSystem starts a system of its own with one event on sale.
func startSystem(ctx context.Context) *cluster.Cluster {
	system, err := cluster.Start(ctx, cluster.Config{PostgresSettings: pgtest.Settings(), Getenv: func(name string) string {
		if name == "DAYOF_DATABASE_URL" {
			name = "DAYOF_TEST_DATABASE_URL"
		}
		return os.Getenv(name)
	}})
	if err != nil {
		log.Panic(err)
	}
	if _, err := client.NewClient(system.File).Seed(ctx, system.Clock().Now()); err != nil {
		log.Panic(err)
	}
	return system
}
