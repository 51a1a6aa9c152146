package client

import (
	"crypto/rand"
	"net/http"
	"time"

	"connectrpc.com/connect"

	"github.com/dayof/dayof/gen/dayof/checkout/v1/checkoutv1connect"
	"github.com/dayof/dayof/gen/dayof/ledger/v1/ledgerv1connect"
	"github.com/dayof/dayof/gen/dayof/pass/v1/passv1connect"
	"github.com/dayof/dayof/gen/dayof/webhook/v1/webhookv1connect"
	"github.com/dayof/dayof/internal/chassis/config"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// callTimeout bounds one call: much longer than the 5 s for which a checkout answers at the latest, for busy machines.
const callTimeout = 30 * time.Second

// Client reaches a running dayof as an operator: every call carries the operator token. A buyer's call is made with
// rpc.WithBearerToken; a changing call needs a key, see Keyed.
type Client struct {
	File File

	Catalog    checkoutv1connect.CatalogServiceClient
	Checkout   checkoutv1connect.CheckoutServiceClient
	Orders     checkoutv1connect.OrderServiceClient
	Payments   checkoutv1connect.PaymentServiceClient
	Admission  checkoutv1connect.AdmissionServiceClient
	Tickets    checkoutv1connect.TicketServiceClient
	Operations checkoutv1connect.OperationsServiceClient
	Accounts   checkoutv1connect.AccountServiceClient
	Events     checkoutv1connect.EventOperationServiceClient
	Rooms      checkoutv1connect.WaitingRoomServiceClient
	Passes     passv1connect.PassServiceClient
	Ledger     ledgerv1connect.LedgerServiceClient
	Statements ledgerv1connect.StatementServiceClient
	Books      ledgerv1connect.ReconciliationServiceClient
	Webhooks   webhookv1connect.WebhookServiceClient

	Stripe Stripe

	// HTTP is for what is no RPC: webhooks, passes, logs of the sandbox.
	HTTP *http.Client
}

// NewClient returns clients for the system that the file describes. Nothing is connected yet.
func NewClient(f File) *Client {
	plain := &http.Client{Timeout: callTimeout}
	return &Client{
		File:       f,
		Catalog:    dial(f.CheckoutURL, f, checkoutv1connect.NewCatalogServiceClient),
		Checkout:   dial(f.CheckoutURL, f, checkoutv1connect.NewCheckoutServiceClient),
		Orders:     dial(f.CheckoutURL, f, checkoutv1connect.NewOrderServiceClient),
		Payments:   dial(f.CheckoutURL, f, checkoutv1connect.NewPaymentServiceClient),
		Admission:  dial(f.CheckoutURL, f, checkoutv1connect.NewAdmissionServiceClient),
		Tickets:    dial(f.CheckoutURL, f, checkoutv1connect.NewTicketServiceClient),
		Operations: dial(f.CheckoutURL, f, checkoutv1connect.NewOperationsServiceClient),
		Accounts:   dial(f.CheckoutURL, f, checkoutv1connect.NewAccountServiceClient),
		Events:     dial(f.CheckoutURL, f, checkoutv1connect.NewEventOperationServiceClient),
		Rooms:      dial(f.CheckoutURL, f, checkoutv1connect.NewWaitingRoomServiceClient),
		Passes:     dial(f.PassURL, f, passv1connect.NewPassServiceClient),
		Ledger:     dial(f.LedgerURL, f, ledgerv1connect.NewLedgerServiceClient),
		Statements: dial(f.LedgerURL, f, ledgerv1connect.NewStatementServiceClient),
		Books:      dial(f.LedgerURL, f, ledgerv1connect.NewReconciliationServiceClient),
		Webhooks:   dial(f.WebhookURL, f, webhookv1connect.NewWebhookServiceClient),
		Stripe:     Stripe{BaseURL: f.Sandbox.StripeURL, HTTP: plain},
		HTTP:       plain,
	}
}

func dial[C any](baseURL string, f File, newClient func(connect.HTTPClient, string, ...connect.ClientOption) C) C {
	system, options := rpc.Dial(rpc.DialConfig{
		BaseURL: baseURL, Token: config.NewSecret(f.OperatorToken), Timeout: callTimeout,
	})
	return newClient(system, baseURL, options...)
}

// NewKey returns an idempotency key, or the suffix of made-up ids: 26 letters and digits.
func NewKey() string { return rand.Text() }
