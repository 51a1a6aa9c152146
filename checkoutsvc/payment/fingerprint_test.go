package payment

import (
	"encoding/hex"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/checkoutsvc/order"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
)

// TestFingerprints pins what makes two requests the same, over releases: a repeat of yesterday's call must be known.
func TestFingerprints(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	at := timestamppb.New(noon)
	for name, c := range map[string]struct {
		got  []byte
		want string
	}{
		"payment": {paymentFingerprint(order.Payment{
			Account: "acct_1", IntentID: "pi_1", OrderID: "o1", Status: order.IntentSucceeded, Currency: "EUR", AmountMinorUnits: 8900,
			ReceivedMinorUnits: 8900, Livemode: true, Time: noon, ChargeID: "ch_1", BalanceTransactionID: "txn_1", FailureCode: "f",
		}), "614e117b29b6c2acebb2e6671e811b45465b500f025a11267380c4f05a98eb1d"},
		"refund": {refundFingerprint(order.RefundObserved{
			Account: "acct_1", IntentID: "pi_1", OrderID: "o1", RefundID: "r1", StripeID: "re_1", State: order.RefundSucceeded, Currency: "EUR",
			Amount: 100, TicketIDs: []string{"t1"}, FailureCode: "f", Time: noon,
		}), "ff2cae99b2f61b8cae65990f9cf35bf5b48652eeab665c5844c310fbc739008f"},
		"dispute": {disputeFingerprint(&checkoutv1.RecordDisputeRequest{
			StripeAccount: "acct_1", DisputeId: "du_1", PaymentIntentId: "pi_1", ChargeId: "ch_1",
			Status: checkoutv1.DisputeStatus_DISPUTE_STATUS_LOST, Amount: &moneyv1.Money{Currency: "EUR", MinorUnits: 8900},
			DisputeReason: "fraudulent", ObservedTime: at,
			Funds: []*checkoutv1.DisputeFunds{{BalanceTransactionId: "txn_1", MinorUnits: -8900, FeeMinorUnits: 1500}},
		}), "63a44a4a586f912c54ea34bec1b043ceb29434533b3b1949beaf6bb857764280"},
		"fraud warning": {warningFingerprint(&checkoutv1.RecordFraudWarningRequest{
			StripeAccount: "acct_1", FraudWarningId: "issfr_1", PaymentIntentId: "pi_1", ChargeId: "ch_1", Actionable: true, FraudType: "misc", ObservedTime: at,
		}), "817407185a9fd3024349fc7ed2b64a98e42c9b18885db477173b20546abc91b9"},
		"review": {reviewFingerprint(&checkoutv1.RecordReviewRequest{
			StripeAccount: "acct_1", ReviewId: "prv_1", PaymentIntentId: "pi_1", ChargeId: "ch_1", Open: true, ClosedReason: "approved", ObservedTime: at,
		}), "2544c50a4dbf992c28ef25cefea3911d4333bc4ada84f0d8915a3df4e6bd7c7b"},
		"session end": {sessionEndFingerprint(&checkoutv1.RecordSessionEndRequest{
			StripeAccount: "acct_1", SessionId: "cs_1", PaymentIntentId: "pi_1", OrderId: "o1", ObservedTime: at,
		}), "724f8078bc353e2cd9a9b8b92b06066eb9897274561b7b9ca41549c5d2c74c2d"},
	} {
		if got := hex.EncodeToString(c.got); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
