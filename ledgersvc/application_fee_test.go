package ledgersvc_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
	"github.com/dayof/dayof/internal/chassis/problem"
)

func appFee(id, paymentIntentID string, refunded int64) *ledgerv1.RecordApplicationFeeRequest {
	return &ledgerv1.RecordApplicationFeeRequest{
		ApplicationFeeId: id, StripeAccount: account, OrganizerId: organizer, PaymentIntentId: paymentIntentID,
		Amount: eur(1000), RefundedMinorUnits: refunded, FeeTime: timestamppb.New(noon),
	}
}

// platformMoney is what the platform holds at Stripe, over all shards of its clearing account.
func (w *harness) platformMoney() int64 {
	w.t.Helper()
	var sum int64
	for _, e := range w.entries() {
		for _, p := range e.GetPostings() {
			var amount int64
			if _, err := fmt.Sscan(p.GetAmount(), &amount); err != nil {
				w.t.Fatal(err)
			}
			if strings.HasPrefix(p.GetSource(), "stripe:platform:") {
				sum += amount
			}
			if strings.HasPrefix(p.GetDestination(), "stripe:platform:") {
				sum -= amount
			}
		}
	}
	return sum
}

// TestApplicationFee books the fee of each place that a charge's money may lie in, beside its sale.
func TestApplicationFee(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		capture func(w *harness) string // its intent
		moved   int64                   // how much more the platform holds by the fee's entries
		fee     string                  // postings of appfee, %s the shards
		income  int64                   // what is revenue in the end, sale included
	}{
		"charge made elsewhere": {
			capture: func(*harness) string { return "" }, moved: 1000, income: 1000,
			fee: "organizers:organizer00000001:connect:receivable > platform:revenue:application_fees:S 1000 EUR/2\nstripe:platform:main:S > stripe:connect:acct_1 1000 EUR/2\n",
		},
		"destination charge": {
			capture: func(w *harness) string {
				must[*ledgerv1.RecordSaleResponse](w.t)(w.client.RecordSale(w.fresh(), sale(1)))
				return intent(1)
			}, moved: 1000, income: 900,
			fee: "organizers:organizer00000001:connect:receivable > organizers:organizer00000001:payable 1000 EUR/2\nstripe:platform:main:S > stripe:connect:acct_1 1000 EUR/2\n",
		},
		"direct charge whose sale holds a part of it": {
			capture: func(w *harness) string {
				direct := sale(1)
				direct.Capture.StripeAccount = account
				must[*ledgerv1.RecordSaleResponse](w.t)(w.client.RecordSale(w.fresh(), direct))
				return intent(1)
			}, moved: 100, income: 1000,
			fee: "organizers:organizer00000001:connect > platform:revenue:application_fees:S 100 EUR/2\nstripe:platform:main:S > stripe:connect:acct_1 100 EUR/2\n",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newHarness(t)
			pi := c.capture(w)
			before := w.platformMoney()
			res := must[*ledgerv1.RecordApplicationFeeResponse](t)(w.client.RecordApplicationFee(w.fresh(), appFee("fee_1", pi, 0)))
			if len(res.GetEntries()) != 1 || res.GetEntries()[0].GetReference() != "appfee:fee_1" {
				t.Fatalf("entries %v", res.GetEntries())
			}
			if got := hideShards(lines(res.GetEntries()[0])); got != c.fee {
				t.Errorf("posted\n%s, want\n%s", got, c.fee)
			}
			if got := w.platformMoney() - before; got != c.moved {
				t.Errorf("the platform holds %d more, want %d", got, c.moved)
			}
			if got := w.income(); got != c.income {
				t.Errorf("revenue is %d, want %d", got, c.income)
			}
			again := must[*ledgerv1.RecordApplicationFeeResponse](t)(w.client.RecordApplicationFee(w.fresh(), appFee("fee_1", pi, 0)))
			if again.GetEntries()[0].GetLedgerTransactionId() != res.GetEntries()[0].GetLedgerTransactionId() {
				t.Error("a repeat posted again")
			}
		})
	}
}

func hideShards(text string) string {
	for i := range 16 {
		for _, prefix := range []string{"main:", "fees:"} {
			text = strings.ReplaceAll(text, fmt.Sprintf("%s%02d", prefix, i), prefix+"S")
		}
	}
	return text
}

// income is what the platform earned by application fees.
func (w *harness) income() int64 {
	w.t.Helper()
	var sum int64
	for i := range 16 {
		var shard int64
		if _, err := fmt.Sscan(w.balance(fmt.Sprintf("platform:revenue:application_fees:%02d", i)), &shard); err != nil {
			w.t.Fatal(err)
		}
		sum += shard
	}
	return sum
}

// TestApplicationFeeInAnyOrder reports cumulative refunds of a fee in random orders, doubled and at once, to two replicas:
// the platform keeps what is left of the fee.
func TestApplicationFeeInAnyOrder(t *testing.T) {
	t.Parallel()
	w := newHarness(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	for round := range 8 {
		observed := []int64{0, 0, 300, 300, 700, 700, 650, 100}
		random.Shuffle(len(observed), func(i, j int) { observed[i], observed[j] = observed[j], observed[i] })
		before, id := w.platformMoney(), fmt.Sprintf("fee_%d", round)
		var wg sync.WaitGroup
		for i, refunded := range observed {
			report := func() {
				if _, err := w.client.RecordApplicationFee(keyed(context.WithoutCancel(t.Context()), fmt.Sprintf("%s-%d", id, i)), appFee(id, "", refunded)); err != nil {
					t.Errorf("round %d, %d of %v: %v", round, refunded, observed, err)
				}
			}
			if round%2 == 0 {
				wg.Go(report)
			} else {
				report()
			}
		}
		wg.Wait()
		if got := w.platformMoney() - before; got != 300 {
			t.Errorf("round %d: %v leave the platform %d of 1000, want 300", round, observed, got)
		}
	}
}

func TestApplicationFeeRefuses(t *testing.T) {
	t.Parallel()
	w := newHarness(t)
	_, err := w.client.RecordApplicationFee(w.fresh(), appFee("fee_1", intent(1), 0))
	wantProblem(t, err, connect.CodeFailedPrecondition, "CAPTURE_NOT_POSTED")
	if _, err := w.client.RecordApplicationFee(w.fresh(), appFee("fee_1", "", 1001)); problem.Reason(err) != problem.ReasonInvalidField {
		t.Errorf("more went back than was taken: %v", err)
	}
	must[*ledgerv1.RecordApplicationFeeResponse](t)(w.client.RecordApplicationFee(w.fresh(), appFee("fee_1", "", 0)))
	other := appFee("fee_1", "", 0)
	other.Amount = eur(999)
	_, err = w.client.RecordApplicationFee(w.fresh(), other)
	wantProblem(t, err, connect.CodeAlreadyExists, "LEDGER_CONFLICT")
}

func TestConversion(t *testing.T) {
	t.Parallel()
	w := newHarness(t)
	usd := func(minor int64) *moneyv1.Money { return &moneyv1.Money{Currency: "USD", MinorUnits: minor} }
	req := &ledgerv1.RecordConversionRequest{
		BalanceTransactionId: "txn_fx", PaymentIntentId: intent(1), From: usd(12000), To: eur(11000), ConversionTime: timestamppb.New(noon),
	}
	res := must[*ledgerv1.RecordConversionResponse](t)(w.client.RecordConversion(w.fresh(), req))
	want := "fx:stripe:txn_fx > stripe:platform:main:S 12000 USD/2\nstripe:platform:main:S > fx:stripe:txn_fx 11000 EUR/2\n"
	if got := hideShards(lines(res.GetEntry())); got != want || res.GetEntry().GetReference() != "fx:txn_fx" {
		t.Errorf("posted %s\n%s, want\n%s", res.GetEntry().GetReference(), got, want)
	}
	must[*ledgerv1.RecordConversionResponse](t)(w.client.RecordConversion(w.fresh(), req))
	req.To = eur(11001)
	_, err := w.client.RecordConversion(w.fresh(), req)
	wantProblem(t, err, connect.CodeAlreadyExists, "LEDGER_CONFLICT")
	req.BalanceTransactionId, req.To = "txn_same", usd(1)
	if _, err := w.client.RecordConversion(w.fresh(), req); problem.Reason(err) != problem.ReasonInvalidField {
		t.Errorf("a conversion into the same currency: %v", err)
	}
}

// TestRecovery pays an advance back out of later sales, and no more than is owed.
func TestRecovery(t *testing.T) {
	t.Parallel()
	w := newHarness(t)
	must[*ledgerv1.RecordSaleResponse](t)(w.client.RecordSale(w.fresh(), sale(1)))
	owed := w.balance("organizers:" + organizer + ":payable")
	recovery := func(id string, amount int64) error {
		_, err := w.client.RecordRecovery(w.fresh(), &ledgerv1.RecordRecoveryRequest{
			RecoveryId: id, OrganizerId: organizer, Amount: eur(amount), RecoveryTime: timestamppb.New(noon),
		})
		return err
	}
	if err := recovery("recovery00000001", 300); err != nil {
		t.Fatal(err)
	}
	if err := recovery("recovery00000001", 300); err != nil {
		t.Fatal(err)
	}
	if got := w.balance("organizers:" + organizer + ":receivable"); got != "300" {
		t.Errorf("receivable is %s after 300 of %s were recovered, want 300", got, owed)
	}
	wantProblem(t, recovery("recovery00000002", 1_000_000), connect.CodeFailedPrecondition, "INSUFFICIENT_FUNDS")
}

func TestPayoutTransactions(t *testing.T) {
	t.Parallel()
	w := newHarness(t)
	req := &ledgerv1.RecordPayoutTransactionsRequest{
		PayoutId: "po_1", Amount: eur(4000), TransactionCount: 3, NetMinorUnits: 4000, CompleteTime: timestamppb.New(noon),
	}
	if res := must[*ledgerv1.RecordPayoutTransactionsResponse](t)(w.client.RecordPayoutTransactions(w.fresh(), req)); res.GetDifferenceMinorUnits() != 0 {
		t.Errorf("difference %d", res.GetDifferenceMinorUnits())
	}
	req.NetMinorUnits = -1
	if res := must[*ledgerv1.RecordPayoutTransactionsResponse](t)(w.client.RecordPayoutTransactions(w.fresh(), req)); res.GetDifferenceMinorUnits() != -4001 {
		t.Errorf("difference %d, want -4001", res.GetDifferenceMinorUnits())
	}
	if len(w.entries()) != 0 {
		t.Error("a comparison was posted")
	}
}
