package ledgersvc

import (
	"encoding/hex"
	"testing"

	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/internal/money"
)

// The fingerprints of requests are kept in rows: a change of one of these needs another fingerprintVersion. Those of
// plans, which the ledger keeps, are pinned by the golden plans.
func TestRequestFingerprints(t *testing.T) {
	t.Parallel()
	amount := money.Money{Currency: "EUR", MinorUnits: 1000}
	for name, c := range map[string]struct {
		got  []byte
		want string
	}{
		"application fee": {applicationFeeFingerprint(&ledgerv1.RecordApplicationFeeRequest{
			ApplicationFeeId: "fee_1", StripeAccount: "acct_1", OrganizerId: "organizer00000001", PaymentIntentId: "pi_1", RefundedMinorUnits: 100,
		}, amount, noon), "84b3e6eaf1db0625d58899b5329797a1f53f3aa200e4014d3b11d6d5a551e8d3"},
		"payout": {payoutFingerprint(&ledgerv1.RecordPayoutRequest{
			PayoutId: "po_1", StripeAccount: "acct_1", OrganizerId: "organizer00000001", BankAccountId: "ba_1",
			Status: ledgerv1.PayoutStatus_PAYOUT_STATUS_PAID,
		}, amount, noon), "dd649c7f2a82774ef05d21988373531a0c5b30e70f03f534516991b8013f410c"},
		"payout transactions": {payoutTransactionsFingerprint(&ledgerv1.RecordPayoutTransactionsRequest{
			PayoutId: "po_1", StripeAccount: "acct_1", TransactionCount: 3, NetMinorUnits: 990,
		}, amount, noon), "f533569e7dbb67d4104093be5dddbea29b288de730d8e5b206eeee8aec9b536a"},
	} {
		if got := hex.EncodeToString(c.got); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
