package checkoutsvc

import (
	"time"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	"github.com/dayof/dayof/internal/chassis/idem"
)

// The statuses of a payment intent, as stored. The final ones are facts of their own: succeeded and canceled.
const (
	intentRequiresPaymentMethod = "requires_payment_method"
	intentRequiresAction        = "requires_action"
	intentProcessing            = "processing"
	intentRequiresCapture       = "requires_capture"
	intentSucceeded             = "succeeded"
	intentFailed                = "failed"
	intentCanceled              = "canceled"
)

// statusRank decides between two non-final observations of one second; the order itself means nothing, it is only the
// same for every order of arrival.
var statusRank = map[string]int{
	intentRequiresPaymentMethod: 0, intentRequiresAction: 1, intentProcessing: 2, intentRequiresCapture: 3, intentFailed: 4,
}

// observation is what somebody saw of a payment intent: Stripe's webhooks, or we ourselves by fetching it.
type observation struct {
	Account              string
	IntentID             string
	OrderID              string // of the metadata; empty when there is none
	Status               string
	Currency             string
	AmountMinorUnits     int64
	ReceivedMinorUnits   int64
	Livemode             bool
	Time                 time.Time
	ChargeID             string
	BalanceTransactionID string
	FailureCode          string
	adopt                bool // whether an intent that is not ours may join the order
}

// captured says whether the observation tells of money.
func (ob observation) captured() bool { return ob.Status == intentSucceeded }

// zeroTime is earlier than anything that Stripe tells of.
var zeroTime = time.Unix(0, 0).UTC()

// fingerprint covers all that an observation says.
func (ob observation) fingerprint() []byte {
	return idem.Fingerprint(1, ob.Account, ob.IntentID, ob.OrderID, ob.Status, ob.Currency, ob.AmountMinorUnits,
		ob.ReceivedMinorUnits, ob.Livemode, ob.Time, ob.ChargeID, ob.BalanceTransactionID, ob.FailureCode)
}

// mergeIntent merges an observation into an intent's facts. The result does not depend on the order of observations:
// final statuses stick, sums take their maximum, and of the rest the latest by Stripe's clock wins.
// Source: specs of Stripe events, "facts".
func mergeIntent(p checkoutdb.PaymentIntent, ob observation) checkoutdb.PaymentIntent {
	switch ob.Status {
	case intentSucceeded:
		p.Succeeded = true
	case intentCanceled:
		p.Canceled = true
	default:
		later := ob.Time.After(p.StatusTime) || ob.Time.Equal(p.StatusTime) && statusRank[ob.Status] > statusRank[p.Status]
		if later && !p.Succeeded && !p.Canceled {
			p.Status, p.StatusTime = ob.Status, ob.Time
		}
	}
	switch { // a final status hides what was seen before it
	case p.Succeeded:
		p.Status = intentSucceeded
	case p.Canceled:
		p.Status = intentCanceled
	}
	if ob.captured() {
		p.CapturedMinorUnits = max(p.CapturedMinorUnits, ob.ReceivedMinorUnits)
	}
	if ob.ChargeID != "" && (ob.captured() || p.ChargeID == "" || !p.Succeeded && ob.Time.After(p.StatusTime)) {
		p.ChargeID = ob.ChargeID
	}
	if ob.FailureCode != "" {
		p.FailureCode = ob.FailureCode
	}
	if ob.BalanceTransactionID != "" && ob.captured() {
		p.BalanceTransactionID = ob.BalanceTransactionID
	}
	return p
}

// intentMismatch says why captured money does not fit the order; empty when it does.
func (s *Service) intentMismatch(o *order, p checkoutdb.PaymentIntent, ob observation) string {
	switch {
	case ob.OrderID != "" && ob.OrderID != o.ID:
		return "owner"
	case ob.Livemode != s.Config.Livemode:
		return "livemode"
	case ob.Account != o.Intents[0].StripeAccount:
		return "account"
	case ob.Currency != o.Currency:
		return "currency"
	case p.CapturedMinorUnits != o.TotalMinorUnits:
		return "amount"
	}
	return ""
}
