package ledgersvc_test

import (
	"math"
	"slices"
	"testing"

	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/internal/chassis/problem"
)

// TestServiceRulesReportAllViolations breaks several rules that the schema does not have, in one request each.
func TestServiceRulesReportAllViolations(t *testing.T) {
	t.Parallel()
	w := newHarness(t)
	at := timestamppb.New(noon)
	for name, c := range map[string]struct {
		err  error
		want []string
	}{
		"payout": {second(w.client.RecordPayout(w.fresh(), &ledgerv1.RecordPayoutRequest{
			PayoutId: "po_1", StripeAccount: "acct_1", Amount: eur(0), PayoutTime: at, Status: ledgerv1.PayoutStatus_PAYOUT_STATUS_PAID, BankAccountId: "ba:1",
		})), []string{"amount.minor_units", "organizer_id", "bank_account_id"}},
		"fee": {second(w.client.RecordStripeFee(w.fresh(), &ledgerv1.RecordStripeFeeRequest{
			BalanceTransactionId: "txn_1", StripeAccount: "acct_1", Fee: eur(math.MinInt64), ChargeTime: at,
		})), []string{"fee.minor_units", "organizer_id"}},
		"conversion": {second(w.client.RecordConversion(w.fresh(), &ledgerv1.RecordConversionRequest{
			BalanceTransactionId: "txn_1", StripeAccount: "acct_1", From: eur(0), To: eur(0), ConversionTime: at,
		})), []string{"from.minor_units", "to.minor_units", "organizer_id"}},
		"dispute funds": {second(w.client.RecordDisputeFunds(w.fresh(), &ledgerv1.RecordDisputeFundsRequest{
			DisputeId: "du_1", BalanceTransactionId: "txn_1", PaymentIntentId: "pi_1", Amount: eur(0), FeeMinorUnits: math.MinInt64, FundsTime: at,
		})), []string{"amount.minor_units", "fee_minor_units"}},
	} {
		var got []string
		for _, f := range problem.Fields(c.err) {
			got = append(got, f.Path)
		}
		if slices.Sort(got); problem.Reason(c.err) != problem.ReasonInvalidField || !slices.Equal(got, slices.Sorted(slices.Values(c.want))) {
			t.Errorf("%s: %v, want %v", name, c.err, c.want)
		}
	}
}

func second[T any](_ T, err error) error { return err }
