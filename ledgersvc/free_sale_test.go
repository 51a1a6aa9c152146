package ledgersvc_test

import (
	"sync"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
)

// freeSale is the sale of order n, which costs nothing.
func freeSale(n int) *ledgerv1.RecordSaleRequest {
	return &ledgerv1.RecordSaleRequest{FreeSale: &ledgerv1.FreeSale{OrderId: order(n), OrganizerId: organizer, Currency: "EUR", SaleTime: timestamppb.New(noon)}}
}

// A free sale is one entry without postings, whoever records it how often, and no transaction of the ledger.
func TestFreeSale(t *testing.T) {
	t.Parallel()
	w := newHarness(t)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			ctx := w.fresh()
			if i%2 == 0 {
				ctx = keyed(t.Context(), "same")
			}
			res, err := w.client.RecordSale(ctx, freeSale(1))
			if e := res.GetEntry(); err != nil || e.GetReference() != "free:"+order(1) || e.GetKind() != ledgerv1.EntryKind_ENTRY_KIND_SALE || e.GetOrderId() != order(1) ||
				len(e.GetPostings()) != 0 || e.GetLedgerTransactionId() != "" || !e.GetEffectiveTime().AsTime().Equal(noon) || res.GetStripeFeePosted() {
				t.Errorf("%v, %v", res, err)
			}
		})
	}
	all.Wait()
	statement, err := w.statements.GetOrderStatement(t.Context(), &ledgerv1.GetOrderStatementRequest{OrderId: order(1)})
	if err != nil || len(statement.GetEntries()) != 1 || statement.GetEntries()[0].GetReference() != "free:"+order(1) {
		t.Errorf("the statement: %v, %v", statement, err)
	}
	entry, err := w.statements.GetEntry(t.Context(), &ledgerv1.GetEntryRequest{Reference: "free:" + order(1)})
	if err != nil || entry.GetEntry().GetOrderId() != order(1) {
		t.Errorf("the entry: %v, %v", entry, err)
	}
	_, err = w.statements.GetEntry(t.Context(), &ledgerv1.GetEntryRequest{Reference: "free:" + order(2)})
	wantProblem(t, err, connect.CodeNotFound, "ENTRY_NOT_FOUND")
	listed, err := w.statements.ListEntries(t.Context(), &ledgerv1.ListEntriesRequest{})
	if err != nil || len(listed.GetEntries()) != 0 {
		t.Errorf("the ledger's entries: %v, %v", listed, err)
	}
}

func TestFreeSaleIsRefused(t *testing.T) {
	t.Parallel()
	w := newHarness(t)
	must[*ledgerv1.RecordSaleResponse](t)(w.client.RecordSale(keyed(t.Context(), "first"), freeSale(1)))
	other := freeSale(1)
	other.FreeSale.Currency = "USD"
	_, err := w.client.RecordSale(w.fresh(), other)
	wantProblem(t, err, connect.CodeAlreadyExists, "LEDGER_CONFLICT")
	_, err = w.client.RecordSale(keyed(t.Context(), "first"), other)
	wantProblem(t, err, connect.CodeAlreadyExists, "IDEMPOTENCY_KEY_REUSED")
	for name, change := range map[string]func(r *ledgerv1.RecordSaleRequest){
		"neither":         func(r *ledgerv1.RecordSaleRequest) { r.FreeSale = nil },
		"both":            func(r *ledgerv1.RecordSaleRequest) { r.Capture = capture(2) },
		"a fee":           func(r *ledgerv1.RecordSaleRequest) { r.ApplicationFeeMinorUnits = 1 },
		"a tax":           func(r *ledgerv1.RecordSaleRequest) { r.Taxes = sale(2).GetTaxes() },
		"no currency":     func(r *ledgerv1.RecordSaleRequest) { r.FreeSale.Currency = "XXX" },
		"without a time":  func(r *ledgerv1.RecordSaleRequest) { r.FreeSale.SaleTime = nil },
		"without a buyer": func(r *ledgerv1.RecordSaleRequest) { r.FreeSale.OrderId = "" },
	} {
		req := freeSale(2)
		change(req)
		_, err := w.client.RecordSale(w.fresh(), req)
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		wantProblem(t, err, connect.CodeInvalidArgument, "INVALID_FIELD")
	}
}
