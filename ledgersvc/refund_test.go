package ledgersvc_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/internal/chassis/problem"
)

func TestRecordRefund(t *testing.T) {
	t.Parallel()
	tax := func(minor int64) []*ledgerv1.TaxShare {
		return []*ledgerv1.TaxShare{{Country: "DE", Kind: "vat", MinorUnits: minor}}
	}
	for name, c := range map[string]struct {
		receipt bool
		account string
		change  func(r *ledgerv1.RecordRefundRequest)
		want    string // %[1]s is the shard, %[2]s the order, %[3]s the refund
	}{
		"fee kept": {
			change: func(*ledgerv1.RecordRefundRequest) {},
			want: `organizers:organizer00000001:payable > orders:%[2]s:refunds:%[3]s 5000 EUR/2
orders:%[2]s:refunds:%[3]s > stripe:platform:main:%[1]s 5000 EUR/2
`,
		},
		"fee and tax returned": {
			change: func(r *ledgerv1.RecordRefundRequest) { r.ApplicationFeeMinorUnits, r.Taxes = 400, tax(800) },
			want: `organizers:organizer00000001:payable > orders:%[2]s:refunds:%[3]s 3800 EUR/2
platform:revenue:application_fees:%[1]s > orders:%[2]s:refunds:%[3]s 400 EUR/2
taxes:de:vat > orders:%[2]s:refunds:%[3]s 800 EUR/2
orders:%[2]s:refunds:%[3]s > stripe:platform:main:%[1]s 5000 EUR/2
`,
		},
		"more than is owed": {
			change: func(r *ledgerv1.RecordRefundRequest) { r.Amount = eur(9400) },
			want: `organizers:organizer00000001:payable > orders:%[2]s:refunds:%[3]s 9100 EUR/2
organizers:organizer00000001:receivable > orders:%[2]s:refunds:%[3]s 300 EUR/2
orders:%[2]s:refunds:%[3]s > stripe:platform:main:%[1]s 9400 EUR/2
`,
		},
		"of a bare receipt": {
			receipt: true,
			change:  func(r *ledgerv1.RecordRefundRequest) { r.Amount = eur(11900) },
			want: `orders:%[2]s:payment > orders:%[2]s:refunds:%[3]s 11900 EUR/2
orders:%[2]s:refunds:%[3]s > stripe:platform:main:%[1]s 11900 EUR/2
`,
		},
		"of a direct charge, fee returned": {
			account: account,
			change:  func(r *ledgerv1.RecordRefundRequest) { r.ApplicationFeeMinorUnits, r.Taxes = 400, tax(800) },
			want: `organizers:organizer00000001:connect > orders:%[2]s:refunds:%[3]s 4600 EUR/2
platform:revenue:application_fees:%[1]s > orders:%[2]s:refunds:%[3]s 400 EUR/2
orders:%[2]s:refunds:%[3]s > stripe:connect:acct_1 5000 EUR/2
stripe:connect:acct_1 > stripe:platform:main:%[1]s 400 EUR/2
`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newHarness(t)
			w.capture(1, c.receipt, c.account)
			before := w.allBalances()
			req := refund(1, "re_1", 5000)
			c.change(req)
			res := must[*ledgerv1.RecordRefundResponse](t)(w.client.RecordRefund(w.fresh(), req))
			want := fmt.Sprintf(c.want, shardOf(1), order(1), "re_1")
			if got := lines(res.GetEntry()); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			if e := res.GetEntry(); e.GetOrderId() != order(1) || e.GetReference() != "refund:re_1" {
				t.Errorf("entry %v", e)
			}
			again := must[*ledgerv1.RecordRefundResponse](t)(w.client.RecordRefund(w.fresh(), req))
			if lines(again.GetEntry()) != want {
				t.Error("a repeat answers otherwise")
			}
			failure := &ledgerv1.RecordRefundFailureRequest{StripeRefundId: "re_1"}
			back := must[*ledgerv1.RecordRefundFailureResponse](t)(w.client.RecordRefundFailure(w.fresh(), failure))
			must[*ledgerv1.RecordRefundFailureResponse](t)(w.client.RecordRefundFailure(w.fresh(), failure))
			if e := back.GetEntry(); e.GetReference() != "refund-fail:re_1" || e.GetKind() != ledgerv1.EntryKind_ENTRY_KIND_REFUND_FAILURE ||
				e.GetOrderId() != order(1) || len(e.GetPostings()) != len(res.GetEntry().GetPostings()) {
				t.Errorf("entry %v", e)
			}
			w.wantBalances(before)
		})
	}
}

// capture records order n as a sale or a bare receipt.
func (w *harness) capture(n int, receipt bool, stripeAccount string) {
	w.t.Helper()
	c := capture(n)
	c.StripeAccount = stripeAccount
	var err error
	if receipt {
		_, err = w.client.RecordReceipt(w.fresh(), &ledgerv1.RecordReceiptRequest{Capture: c})
	} else {
		req := sale(n)
		req.Capture = c
		_, err = w.client.RecordSale(w.fresh(), req)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// allBalances returns all balances that are not zero, by account and asset.
func (w *harness) allBalances() map[string]string {
	w.t.Helper()
	all := w.books.balances(w.t)
	for k, v := range all {
		if v == "0" {
			delete(all, k)
		}
	}
	return all
}

func (w *harness) wantBalances(want map[string]string) {
	w.t.Helper()
	got := w.allBalances()
	for k, v := range got {
		if want[k] != v {
			w.t.Errorf("%s is %s, want %q", k, v, want[k])
		}
	}
	for k, v := range want {
		if _, ok := got[k]; !ok {
			w.t.Errorf("%s is 0, want %s", k, v)
		}
	}
}

func TestRefundNeedsItsCapture(t *testing.T) {
	t.Parallel()
	w := newHarness(t)
	_, err := w.client.RecordRefund(keyed(t.Context(), "refund"), refund(1, "re_1", 100))
	wantProblem(t, err, connect.CodeFailedPrecondition, "CAPTURE_NOT_POSTED")
	_, err = w.client.RecordRefundFailure(keyed(t.Context(), "failure"), &ledgerv1.RecordRefundFailureRequest{StripeRefundId: "re_1"})
	wantProblem(t, err, connect.CodeFailedPrecondition, "REFUND_NOT_POSTED")
	if problem.RetryAfter(err) <= 0 {
		t.Error("nothing is said about when to retry")
	}
	w.capture(1, false, "")
	// The same calls with the same keys: a refused call stores nothing.
	must[*ledgerv1.RecordRefundResponse](t)(w.client.RecordRefund(keyed(t.Context(), "refund"), refund(1, "re_1", 100)))
	must[*ledgerv1.RecordRefundFailureResponse](t)(w.client.RecordRefundFailure(keyed(t.Context(), "failure"), &ledgerv1.RecordRefundFailureRequest{StripeRefundId: "re_1"}))
}

func TestRefundIsBounded(t *testing.T) {
	t.Parallel()
	w := newHarness(t)
	w.capture(1, true, "")
	w.capture(2, false, "")
	must[*ledgerv1.RecordRefundResponse](t)(w.client.RecordRefund(w.fresh(), refund(1, "re_1", 11000)))
	before := w.allBalances()
	for name, c := range map[string]struct {
		request *ledgerv1.RecordRefundRequest
		change  func(r *ledgerv1.RecordRefundRequest)
		code    connect.Code
		reason  string
	}{
		"more than the receipt has": {refund(1, "re_2", 901), func(*ledgerv1.RecordRefundRequest) {}, connect.CodeFailedPrecondition, "INSUFFICIENT_FUNDS"},
		"more fee than was earned": {
			refund(2, "re_3", 11900),
			func(r *ledgerv1.RecordRefundRequest) { r.ApplicationFeeMinorUnits = 901 },
			connect.CodeFailedPrecondition, "INSUFFICIENT_FUNDS",
		},
		"other currency": {refund(2, "re_4", 100), func(r *ledgerv1.RecordRefundRequest) { r.Amount.Currency = "USD" }, connect.CodeInvalidArgument, "INVALID_FIELD"},
		"zero":           {refund(2, "re_5", 0), func(*ledgerv1.RecordRefundRequest) {}, connect.CodeInvalidArgument, "INVALID_FIELD"},
		"fee above it":   {refund(2, "re_6", 100), func(r *ledgerv1.RecordRefundRequest) { r.ApplicationFeeMinorUnits = 101 }, connect.CodeInvalidArgument, "INVALID_FIELD"},
	} {
		c.change(c.request)
		_, err := w.client.RecordRefund(w.fresh(), c.request)
		if problem.Code(err) != c.code || problem.Reason(err) != c.reason {
			t.Errorf("%s: got %v, want %v %s", name, err, c.code, c.reason)
		}
	}
	// Another amount under the same refund is another entry.
	_, err := w.client.RecordRefund(w.fresh(), refund(1, "re_1", 10999))
	wantProblem(t, err, connect.CodeAlreadyExists, "LEDGER_CONFLICT")
	w.wantBalances(before)
}

func TestRecordStripeFee(t *testing.T) {
	t.Parallel()
	w := newHarness(t)
	request := func(txn string, fee int64) *ledgerv1.RecordStripeFeeRequest {
		return &ledgerv1.RecordStripeFeeRequest{
			BalanceTransactionId: txn, OrderId: order(1), OrganizerId: organizer, PaymentIntentId: intent(1), Fee: eur(fee),
			ChargeTime: timestamppb.New(noon.Add(time.Minute)),
		}
	}
	res := must[*ledgerv1.RecordStripeFeeResponse](t)(w.client.RecordStripeFee(w.fresh(), request("txn_1", 349)))
	want := fmt.Sprintf("platform:costs:stripe_fees > stripe:platform:main:%s 349 EUR/2\n", shardOf(1))
	if got := lines(res.GetEntry()); got != want || res.GetEntry().GetReference() != "fee:txn_1" {
		t.Errorf("got %v", res)
	}
	must[*ledgerv1.RecordStripeFeeResponse](t)(w.client.RecordStripeFee(w.fresh(), request("txn_1", 349)))
	none := must[*ledgerv1.RecordStripeFeeResponse](t)(w.client.RecordStripeFee(w.fresh(), request("txn_2", 0)))
	if none.GetEntry() != nil {
		t.Errorf("a fee of zero is posted: %v", none)
	}
	res = must[*ledgerv1.RecordStripeFeeResponse](t)(w.client.RecordStripeFee(w.fresh(), request("txn_3", -25)))
	want = fmt.Sprintf("stripe:platform:main:%s > platform:costs:stripe_fees 25 EUR/2\n", shardOf(1))
	if got := lines(res.GetEntry()); got != want {
		t.Errorf("a fee that came back: got %v", res)
	}
	_, err := w.client.RecordStripeFee(w.fresh(), request("txn_5", math.MinInt64))
	wantProblem(t, err, connect.CodeInvalidArgument, problem.ReasonInvalidField)

	direct := request("txn_4", 349)
	direct.StripeAccount = account
	res = must[*ledgerv1.RecordStripeFeeResponse](t)(w.client.RecordStripeFee(w.fresh(), direct))
	want = "organizers:organizer00000001:connect:receivable > stripe:connect:acct_1 349 EUR/2\n" // no sale yet
	if got := lines(res.GetEntry()); got != want {
		t.Errorf("got %s", got)
	}
	direct.OrganizerId = ""
	_, err = w.client.RecordStripeFee(w.fresh(), direct)
	wantProblem(t, err, connect.CodeInvalidArgument, problem.ReasonInvalidField)

	// A fee that belongs to nothing else is spread by its own id.
	alone := must[*ledgerv1.RecordStripeFeeResponse](t)(w.client.RecordStripeFee(w.fresh(), &ledgerv1.RecordStripeFeeRequest{
		BalanceTransactionId: "txn_5", Fee: eur(1), ChargeTime: timestamppb.New(noon),
	}))
	if alone.GetEntry().GetOrderId() != "" || len(alone.GetEntry().GetPostings()) != 1 {
		t.Errorf("got %v", alone)
	}
}
