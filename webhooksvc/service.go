// Package webhooksvc takes in what Stripe tells us: it verifies, stores, and translates webhook events into RPCs of the
// other services. It has no business rules: facts go out in the order in which they happen to be processed, and the
// receivers merge them.
//
// An event lives in the inbox, one row per (endpoint, event id):
//
//	received -> applied | ignored | rejected
//	received <-> parked (its order is unknown so far)
//	received | parked -> dead (tries used up, or no try can help) -> received (replayed)
//
// The invariant: what was answered with 2xx is a row, and every row that is received or parked has a job.
package webhooksvc

import (
	"github.com/dayof/dayof/gen/dayof/checkout/v1/checkoutv1connect"
	"github.com/dayof/dayof/gen/dayof/ledger/v1/ledgerv1connect"
)

// Service implements WebhookService and the webhook endpoints.
type Service struct {
	Payments checkoutv1connect.PaymentServiceClient // takes payments, charges, refunds and disputes
	Ledger   ledgerv1connect.LedgerServiceClient    // takes payouts and transfers
}
