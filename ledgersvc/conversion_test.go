package ledgersvc_test

import (
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
)

// A charge of 119.00 EUR brought 130.90 USD. What undoes it is settled at other rates: the legs return to the charge's, and what the rates
// differ by is a loss or a gain.
func TestConversionThatUndoesACharge(t *testing.T) {
	t.Parallel()
	usd := func(minor int64) *moneyv1.Money { return &moneyv1.Money{Currency: "USD", MinorUnits: minor} }
	for name, c := range map[string]struct {
		from, to *moneyv1.Money
		want     string // of the difference
	}{
		"a part left at a worse rate": {usd(5600), eur(5000), "fx:stripe:txn_re > fx:stripe:txn_ch 5000 EUR/2\n" +
			"fx:stripe:txn_ch > fx:stripe:txn_re 5500 USD/2\nplatform:costs:exchange > fx:stripe:txn_re 100 USD/2\n"},
		"all of it left at a better rate": {usd(13000), eur(11900), "fx:stripe:txn_re > fx:stripe:txn_ch 11900 EUR/2\n" +
			"fx:stripe:txn_ch > fx:stripe:txn_re 13090 USD/2\nfx:stripe:txn_re > platform:costs:exchange 90 USD/2\n"},
		"a part came back at a worse rate": {eur(5000), usd(5400), "fx:stripe:txn_ch > fx:stripe:txn_re 5000 EUR/2\n" +
			"fx:stripe:txn_re > fx:stripe:txn_ch 5500 USD/2\nplatform:costs:exchange > fx:stripe:txn_re 100 USD/2\n"},
		"it came back at a better rate": {eur(5000), usd(5510), "fx:stripe:txn_ch > fx:stripe:txn_re 5000 EUR/2\n" +
			"fx:stripe:txn_re > fx:stripe:txn_ch 5500 USD/2\nfx:stripe:txn_re > platform:costs:exchange 10 USD/2\n"},
		"at the charge's rate":  {usd(110), eur(100), "fx:stripe:txn_re > fx:stripe:txn_ch 100 EUR/2\nfx:stripe:txn_ch > fx:stripe:txn_re 110 USD/2\n"},
		"in another currency":   {&moneyv1.Money{Currency: "GBP", MinorUnits: 4000}, eur(5000), ""},
		"between two of others": {&moneyv1.Money{Currency: "GBP", MinorUnits: 4000}, &moneyv1.Money{Currency: "CHF", MinorUnits: 5000}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newHarness(t)
			conversion := func(txn, charge string, from, to *moneyv1.Money) (*ledgerv1.RecordConversionResponse, error) {
				return w.client.RecordConversion(w.fresh(), &ledgerv1.RecordConversionRequest{
					BalanceTransactionId: txn, ChargeBalanceTransactionId: charge, OrderId: order(1), OrganizerId: organizer, PaymentIntentId: intent(1),
					From: from, To: to, ConversionTime: timestamppb.New(noon.Add(time.Hour)),
				})
			}
			// What happened is booked whatever is known of the charge; the rest waits for it.
			_, err := conversion("txn_re", "txn_ch", c.from, c.to)
			wantProblem(t, err, connect.CodeFailedPrecondition, "CONVERSION_NOT_POSTED")
			if n := len(w.entries()); n != 1 {
				t.Errorf("%d entries while the charge is not known, want 1", n)
			}
			must[*ledgerv1.RecordConversionResponse](t)(conversion("txn_ch", "", eur(11900), usd(13090)))
			for range 2 {
				res := must[*ledgerv1.RecordConversionResponse](t)(conversion("txn_re", "txn_ch", c.from, c.to))
				if got := lines(res.GetDifference()); got != c.want {
					t.Errorf("the difference is\n%swant\n%s", got, c.want)
				}
			}
		})
	}
}

// On a connected account the organiser bears what rates differ by.
func TestConversionOfAConnectedAccount(t *testing.T) {
	t.Parallel()
	w := newHarness(t)
	usd := func(minor int64) *moneyv1.Money { return &moneyv1.Money{Currency: "USD", MinorUnits: minor} }
	req := &ledgerv1.RecordConversionRequest{
		BalanceTransactionId: "txn_ch", OrganizerId: organizer, PaymentIntentId: intent(1), StripeAccount: "acct_1", From: eur(10000), To: usd(11000),
		ConversionTime: timestamppb.New(noon),
	}
	must[*ledgerv1.RecordConversionResponse](t)(w.client.RecordConversion(w.fresh(), req))
	req.BalanceTransactionId, req.ChargeBalanceTransactionId, req.From, req.To = "txn_re", "txn_ch", usd(11200), eur(10000)
	res := must[*ledgerv1.RecordConversionResponse](t)(w.client.RecordConversion(w.fresh(), req))
	want := "fx:stripe:txn_re > fx:stripe:txn_ch 10000 EUR/2\nfx:stripe:txn_ch > fx:stripe:txn_re 11000 USD/2\n" +
		"organizers:" + organizer + ":connect:receivable > fx:stripe:txn_re 200 USD/2\n"
	if got := lines(res.GetDifference()); got != want {
		t.Errorf("the difference is\n%swant\n%s", got, want)
	}
	req.ChargeBalanceTransactionId = "txn_re"
	if _, err := w.client.RecordConversion(w.fresh(), req); err == nil {
		t.Error("a conversion undoes itself")
	}
}
