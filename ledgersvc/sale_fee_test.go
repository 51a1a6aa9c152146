package ledgersvc_test

import (
	"math"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/devenv/sandbox/fault"
	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/internal/chassis/problem"
)

// stripeFee is Stripe's fee of sale n: 3.49.
func stripeFee(n int) *ledgerv1.RecordStripeFeeRequest {
	return &ledgerv1.RecordStripeFeeRequest{
		BalanceTransactionId: "txn_1", OrderId: order(n), OrganizerId: organizer, PaymentIntentId: intent(n), Fee: eur(349), ChargeTime: timestamppb.New(noon),
	}
}

func saleWithFee(n int) *ledgerv1.RecordSaleRequest {
	r := sale(n)
	r.StripeFee = stripeFee(n)
	return r
}

// A sale and Stripe's fee of it are one request to the ledger, and are there once, whoever asks again.
func TestSaleWithFee(t *testing.T) {
	t.Parallel()
	w := newHarness(t)
	key := w.fresh()
	res := must[*ledgerv1.RecordSaleResponse](t)(w.client.RecordSale(key, saleWithFee(1)))
	if !res.GetStripeFeePosted() || res.GetEntry().GetKind() != ledgerv1.EntryKind_ENTRY_KIND_SALE {
		t.Fatalf("%v", res)
	}
	if posts := w.books.gate.count("POST", "/_bulk") + w.books.gate.count("POST", "/transactions"); posts != 1 {
		t.Errorf("%d requests to the ledger", posts)
	}
	w.checkReferences(map[string]int64{"capture:" + intent(1): 11900, "fee:txn_1": 349})
	for name, repeat := range map[string]*ledgerv1.RecordSaleRequest{"as before": saleWithFee(1), "without the fee": sale(1)} {
		if res, err := w.client.RecordSale(key, repeat); err != nil || res.GetStripeFeePosted() {
			t.Errorf("%s: %v, %v; the fee is not posted again", name, res, err)
		}
	}
	if got := must[*ledgerv1.RecordStripeFeeResponse](t)(w.client.RecordStripeFee(w.fresh(), stripeFee(1))); got.GetEntry().GetReference() != "fee:txn_1" {
		t.Errorf("the fee is %v", got.GetEntry())
	}
	if got := w.balance("platform:costs:stripe_fees"); got != "-349" {
		t.Errorf("fees %s", got)
	}
	if entries := w.entries(); len(entries) != 2 {
		t.Errorf("%d entries", len(entries))
	}
}

// A zero fee posts nothing, and nothing is left to post.
func TestSaleWithZeroFee(t *testing.T) {
	t.Parallel()
	w := newHarness(t)
	r := saleWithFee(1)
	r.StripeFee.Fee.MinorUnits = 0
	if res := must[*ledgerv1.RecordSaleResponse](t)(w.client.RecordSale(w.fresh(), r)); !res.GetStripeFeePosted() {
		t.Errorf("%v", res)
	}
	w.checkReferences(map[string]int64{"capture:" + intent(1): 11900})
}

// Whatever becomes of the request of both, the sale is posted once, and the fee may be posted by itself after it.
func TestSaleWithFeeDespiteFaults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault  fault.Fault
		posted bool // the ledger has the fee already
	}{
		"refused":        {fault.Fault{Mode: fault.Refuse, Count: 1, Match: "_bulk"}, false},
		"its reply lost": {fault.Fault{Mode: fault.LostReply, Count: 1, Match: "_bulk"}, true},
		"half its reply": {fault.Fault{Mode: fault.HalfBody, Count: 1, Match: "_bulk"}, true},
		"an error":       {fault.Fault{Mode: fault.ServerError, Status: 500, Count: 1, Match: "_bulk"}, false},
		"it hangs":       {fault.Fault{Mode: fault.Hang, Count: 1, Match: "_bulk"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newHarnessOn(t, newBooks(t), impatient())
			w.books.fail(t, c.fault)
			key := w.fresh()
			res, err := w.client.RecordSale(key, saleWithFee(1))
			for problem.Reason(err) == "LEDGER_UNAVAILABLE" {
				res, err = w.client.RecordSale(key, saleWithFee(1))
			}
			if err != nil || res.GetStripeFeePosted() {
				t.Fatalf("%v, %v", res, err)
			}
			held := w.books.transactions(t)
			if held["capture:"+intent(1)] != "11900" || (held["fee:txn_1"] != "") != c.posted {
				t.Errorf("the ledger holds %v", held)
			}
			must[*ledgerv1.RecordStripeFeeResponse](t)(w.client.RecordStripeFee(w.fresh(), stripeFee(1)))
			w.checkReferences(map[string]int64{"capture:" + intent(1): 11900, "fee:txn_1": 349})
		})
	}
}

// The sale of a bare receipt does not take place, and its fee is posted by itself.
func TestFeeBesideAReceipt(t *testing.T) {
	t.Parallel()
	w := newHarness(t)
	w.capture(1, true, "")
	res := must[*ledgerv1.RecordSaleResponse](t)(w.client.RecordSale(w.fresh(), saleWithFee(1)))
	if res.GetStripeFeePosted() || res.GetEntry().GetKind() != ledgerv1.EntryKind_ENTRY_KIND_RECEIPT {
		t.Errorf("%v", res)
	}
}

func TestSaleWithWrongFee(t *testing.T) {
	t.Parallel()
	w := newHarness(t)
	for name, c := range map[string]struct {
		change func(f *ledgerv1.RecordStripeFeeRequest)
		field  string
	}{
		"of another payment": {func(f *ledgerv1.RecordStripeFeeRequest) { f.PaymentIntentId = "pi_other" }, "stripe_fee.payment_intent_id"},
		"of another account": {func(f *ledgerv1.RecordStripeFeeRequest) { f.StripeAccount = account }, "stripe_fee.payment_intent_id"},
		"out of range":       {func(f *ledgerv1.RecordStripeFeeRequest) { f.Fee.MinorUnits = math.MinInt64 }, "stripe_fee.fee.minor_units"},
	} {
		r := saleWithFee(1)
		c.change(r.GetStripeFee())
		_, err := w.client.RecordSale(w.fresh(), r)
		if problem.Reason(err) != "INVALID_FIELD" || !strings.Contains(err.Error(), c.field+":") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Equal calls at once, and the fee's own at the same time, leave one sale and one fee.
func TestSaleWithFeeAtOnce(t *testing.T) {
	t.Parallel()
	w := newHarness(t)
	w.books.fail(t, fault.Fault{Mode: fault.Slow, LatencyMS: 20, Match: "POST "})
	key := w.fresh()
	var calls sync.WaitGroup
	for range 8 {
		calls.Go(func() {
			if _, err := w.client.RecordSale(key, saleWithFee(1)); err != nil {
				t.Errorf("sale: %v", err)
			}
		})
		calls.Go(func() {
			if _, err := w.client.RecordStripeFee(w.fresh(), stripeFee(1)); err != nil {
				t.Errorf("fee: %v", err)
			}
		})
	}
	calls.Wait()
	w.checkReferences(map[string]int64{"capture:" + intent(1): 11900, "fee:txn_1": 349})
}
