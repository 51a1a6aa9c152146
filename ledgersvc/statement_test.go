package ledgersvc_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/internal/chassis/problem"
)

func TestOrderStatement(t *testing.T) {
	t.Parallel()
	w := newHarness(t)
	w.capture(1, false, "")
	w.capture(2, false, "")
	must[*ledgerv1.RecordStripeFeeResponse](t)(w.client.RecordStripeFee(w.fresh(), &ledgerv1.RecordStripeFeeRequest{
		BalanceTransactionId: "txn_1", OrderId: order(1), OrganizerId: organizer, PaymentIntentId: intent(1), Fee: eur(349), ChargeTime: timestamppb.New(noon),
	}))
	must[*ledgerv1.RecordRefundResponse](t)(w.client.RecordRefund(w.fresh(), refund(1, "re_1", 100)))
	must[*ledgerv1.RecordRefundFailureResponse](t)(w.client.RecordRefundFailure(w.fresh(), &ledgerv1.RecordRefundFailureRequest{StripeRefundId: "re_1"}))
	w.funds(funds(1, "txn_2", -11900, 1500))
	w.loss(loss(1, 0))
	res := must[*ledgerv1.GetOrderStatementResponse](t)(w.statements.GetOrderStatement(t.Context(), &ledgerv1.GetOrderStatementRequest{OrderId: order(1)}))
	var got []string
	for _, e := range res.GetEntries() {
		got = append(got, e.GetReference())
	}
	want := []string{"capture:pi_1", "fee:txn_1", "refund:re_1", "refund-fail:re_1", "dispute-w:txn_2", "dispute-lost:du_1"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	none := must[*ledgerv1.GetOrderStatementResponse](t)(w.statements.GetOrderStatement(t.Context(), &ledgerv1.GetOrderStatementRequest{OrderId: order(9)}))
	if len(none.GetEntries()) != 0 {
		t.Errorf("an order without entries has %v", none)
	}
}

func TestAccountStatement(t *testing.T) {
	t.Parallel()
	w := newHarness(t)
	for n := range 7 {
		req := sale(n)
		req.Capture.CaptureTime = timestamppb.New(noon.Add(time.Duration(n) * time.Hour))
		must[*ledgerv1.RecordSaleResponse](t)(w.client.RecordSale(w.fresh(), req))
	}
	must[*ledgerv1.RecordRefundResponse](t)(w.client.RecordRefund(w.fresh(), refund(3, "re_1", 600)))
	req := &ledgerv1.GetAccountStatementRequest{Account: "organizers:" + organizer + ":payable", PageSize: 3}
	var got []string
	for {
		res := must[*ledgerv1.GetAccountStatementResponse](t)(w.statements.GetAccountStatement(t.Context(), req))
		if b := res.GetBalances()["EUR/2"]; b != fmt.Sprint(7*9100-600) {
			t.Errorf("balance %s", b)
		}
		if len(res.GetLines()) > 3 {
			t.Errorf("%d lines on a page of 3", len(res.GetLines()))
		}
		for _, l := range res.GetLines() {
			got = append(got, fmt.Sprint(l.GetPosting().GetReference(), " ", l.GetPosting().GetAmount(), " ", l.GetEffectiveTime().AsTime().Format("15:04")))
		}
		if req.PageToken = res.GetNextPageToken(); req.PageToken == "" {
			break
		}
	}
	var want []string
	for n := range 7 {
		want = append(want, fmt.Sprintf("capture:pi_%d 9100 %02d:00", n, 12+n))
	}
	want = append(want, "refund:re_1 600 13:00")
	if !slices.Equal(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
	unused := must[*ledgerv1.GetAccountStatementResponse](t)(w.statements.GetAccountStatement(t.Context(),
		&ledgerv1.GetAccountStatementRequest{Account: "organizers:nobody:payable"}))
	if len(unused.GetLines()) != 0 || len(unused.GetBalances()) != 0 {
		t.Errorf("an account that was never used has %v", unused)
	}
}

func TestListEntries(t *testing.T) {
	t.Parallel()
	w := newHarness(t)
	for n := range 9 {
		w.capture(n, n%3 == 0, "")
	}
	for _, c := range []struct {
		kind ledgerv1.EntryKind
		want int
	}{{ledgerv1.EntryKind_ENTRY_KIND_UNSPECIFIED, 9}, {ledgerv1.EntryKind_ENTRY_KIND_SALE, 6}, {ledgerv1.EntryKind_ENTRY_KIND_RECEIPT, 3}} {
		kind, want := c.kind, c.want
		req := &ledgerv1.ListEntriesRequest{Kind: kind, PageSize: 2}
		listed := map[string]int{}
		last := int64(-1)
		for {
			res := must[*ledgerv1.ListEntriesResponse](t)(w.statements.ListEntries(t.Context(), req))
			for _, e := range res.GetEntries() {
				listed[e.GetReference()]++
				if id := number(t, e.GetLedgerTransactionId()); id <= last {
					t.Errorf("number %d after %d", id, last)
				} else {
					last = id
				}
				if kind != 0 && e.GetKind() != kind {
					t.Errorf("a %v among %v", e.GetKind(), kind)
				}
				if len(e.GetPostings()) == 0 {
					t.Errorf("%s has no postings", e.GetReference())
				}
			}
			if req.PageToken = res.GetNextPageToken(); req.PageToken == "" {
				break
			}
		}
		if len(listed) != want {
			t.Errorf("%v: %d entries, want %d", kind, len(listed), want)
		}
		for reference, n := range listed {
			if n != 1 {
				t.Errorf("%s is listed %d times", reference, n)
			}
		}
	}
}

func TestStatementsRefuse(t *testing.T) {
	t.Parallel()
	w := newHarness(t)
	w.capture(1, false, "")
	w.capture(2, false, "")
	page := must[*ledgerv1.ListEntriesResponse](t)(w.statements.ListEntries(t.Context(), &ledgerv1.ListEntriesRequest{PageSize: 1}))
	_, err := w.statements.GetEntry(t.Context(), &ledgerv1.GetEntryRequest{Reference: "capture:pi_9"})
	wantProblem(t, err, connect.CodeNotFound, "ENTRY_NOT_FOUND")
	for _, token := range []string{"x", page.GetNextPageToken() + "x", page.GetNextPageToken()} {
		_, err = w.statements.GetAccountStatement(t.Context(), &ledgerv1.GetAccountStatementRequest{Account: "a", PageToken: token})
		wantProblem(t, err, connect.CodeInvalidArgument, problem.ReasonInvalidField)
	}
	_, err = w.statements.ListEntries(t.Context(), &ledgerv1.ListEntriesRequest{Kind: ledgerv1.EntryKind_ENTRY_KIND_SALE, PageToken: page.GetNextPageToken()})
	wantProblem(t, err, connect.CodeInvalidArgument, problem.ReasonInvalidField)
	_, err = w.statements.GetAccountStatement(t.Context(), &ledgerv1.GetAccountStatementRequest{Account: "bad account"})
	wantProblem(t, err, connect.CodeInvalidArgument, problem.ReasonInvalidField)
}

func TestTrialBalance(t *testing.T) {
	t.Parallel()
	w := newHarness(t)
	empty := must[*ledgerv1.GetTrialBalanceResponse](t)(w.statements.GetTrialBalance(t.Context(), &ledgerv1.GetTrialBalanceRequest{}))
	if len(empty.GetBalances()) != 0 {
		t.Errorf("an empty ledger has %v", empty)
	}
	for n, currency := range []string{"EUR", "JPY", "KWD"} {
		req := sale(n)
		req.Capture.Gross.Currency = currency
		must[*ledgerv1.RecordSaleResponse](t)(w.client.RecordSale(w.fresh(), req))
	}
	res := must[*ledgerv1.GetTrialBalanceResponse](t)(w.statements.GetTrialBalance(t.Context(), &ledgerv1.GetTrialBalanceRequest{}))
	if got := fmt.Sprint(res.GetBalances()); got != "map[EUR/2:0 JPY:0 KWD/3:0]" {
		t.Errorf("got %s", got)
	}
}
