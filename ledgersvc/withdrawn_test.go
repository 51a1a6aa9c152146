package ledgersvc_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
)

// What is booked happened at Stripe: it is booked also when finance has remitted the tax and withdrawn the revenue, which
// they post at the ledger itself.
func TestRefundAfterTaxWasRemitted(t *testing.T) {
	t.Parallel()
	w := newHarness(t)
	w.capture(1, false, "")
	revenue := "platform:revenue:application_fees:" + shardOf(1)
	w.withdraw("taxes:de:vat", 1500)
	w.withdraw(revenue, 900)
	before := w.allBalances()

	req := refund(1, "re_1", 11900)
	req.ApplicationFeeMinorUnits, req.Taxes = 900, []*ledgerv1.TaxShare{{Country: "DE", Kind: "vat", MinorUnits: 1900}}
	res := must[*ledgerv1.RecordRefundResponse](t)(w.client.RecordRefund(w.fresh(), req))
	transit := "orders:" + order(1) + ":refunds:re_1"
	want := "organizers:organizer00000001:payable > " + transit + " 9100 EUR/2\n" +
		"platform:costs:application_fees > " + transit + " 900 EUR/2\n" +
		"taxes:de:vat > " + transit + " 400 EUR/2\n" +
		"taxes:de:vat:receivable > " + transit + " 1500 EUR/2\n" +
		transit + " > stripe:platform:main:" + shardOf(1) + " 11900 EUR/2\n"
	if got := lines(res.GetEntry()); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if again := must[*ledgerv1.RecordRefundResponse](t)(w.client.RecordRefund(w.fresh(), req)); lines(again.GetEntry()) != want {
		t.Error("a repeat answers otherwise")
	}
	must[*ledgerv1.RecordRefundFailureResponse](t)(w.client.RecordRefundFailure(w.fresh(), &ledgerv1.RecordRefundFailureRequest{StripeRefundId: "re_1"}))
	w.wantBalances(before)
}

func TestDisputeLossAfterRevenueWasWithdrawn(t *testing.T) {
	t.Parallel()
	w := newHarness(t)
	w.capture(1, false, "")
	w.withdraw("platform:revenue:application_fees:"+shardOf(1), 700)
	must[*ledgerv1.RecordDisputeFundsResponse](t)(w.client.RecordDisputeFunds(w.fresh(), &ledgerv1.RecordDisputeFundsRequest{
		DisputeId: "dp_1", PaymentIntentId: intent(1), BalanceTransactionId: "txn_1", Amount: eur(-11900), FundsTime: timestamppb.New(noon.Add(time.Hour)),
	}))
	loss := must[*ledgerv1.RecordDisputeLossResponse](t)(w.client.RecordDisputeLoss(w.fresh(), &ledgerv1.RecordDisputeLossRequest{
		DisputeId: "dp_1", PaymentIntentId: intent(1), Amount: eur(11900), ApplicationFeeMinorUnits: 900, CloseTime: timestamppb.New(noon.Add(2 * time.Hour)),
	}))
	if got := w.balance("platform:costs:application_fees"); got != "-700" {
		t.Errorf("fees given back beyond the revenue: %s; the loss is\n%s", got, lines(loss.GetEntry()))
	}
}

// withdraw posts at the ledger, as finance does, that money left an account for the platform's bank.
func (w *harness) withdraw(account string, amount int64) {
	w.t.Helper()
	body, err := json.Marshal(map[string]any{"postings": []map[string]any{{
		"source": account, "destination": "bank:platform:finance", "amount": amount, "asset": "EUR/2",
	}}})
	if err != nil {
		w.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, w.books.url+"/v2/"+w.books.ledger+"/transactions", bytes.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		w.t.Fatalf("withdraw answers %s", res.Status)
	}
}
