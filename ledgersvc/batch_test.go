package ledgersvc_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/devenv/sandbox/fault"
	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/ledgersvc"
)

// sellAtOnce records sales first..first+count-1 of one organiser at once, each asked for twice, and returns what they
// became.
func (w *harness) sellAtOnce(first, count int) []ledgerv1.EntryKind {
	w.t.Helper()
	kinds := make([]ledgerv1.EntryKind, 2*count)
	errs := make([]error, 2*count)
	var wg sync.WaitGroup
	for i := range kinds {
		n := first + i/2
		wg.Go(func() {
			for {
				res, err := w.client.RecordSale(keyed(w.t.Context(), fmt.Sprintf("sale-%d", n)), sale(n))
				if kinds[i], errs[i] = res.GetEntry().GetKind(), err; problem.Reason(err) != "LEDGER_UNAVAILABLE" {
					return // otherwise: repeat the same request, as every caller does
				}
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		w.t.Fatal(err)
	}
	return kinds
}

// Sales of one organiser that come faster than the ledger go together, whatever happens to a bulk.
func TestBatch(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]fault.Fault{
		"all goes well":         {Mode: fault.Slow, LatencyMS: 20, Match: "POST "},
		"a bulk is refused":     {Mode: fault.Refuse, Count: 1, Match: "_bulk"},
		"a bulk's reply is cut": {Mode: fault.LostReply, Count: 3, Match: "_bulk"},
		"half a bulk's reply":   {Mode: fault.HalfBody, Count: 1, Match: "_bulk"},
		"a bulk hangs":          {Mode: fault.Hang, Count: 1, Match: "_bulk"},
		"a bulk comes late":     {Mode: fault.Slow, LatencyMS: 700, Count: 1, Match: "_bulk"},
		"an error":              {Mode: fault.ServerError, Status: 500, Count: 1, Match: "_bulk"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newHarnessOn(t, newBooks(t), impatient())
			w.books.fail(t, f)
			const count = 40
			for _, kind := range w.sellAtOnce(0, count) {
				if kind != ledgerv1.EntryKind_ENTRY_KIND_SALE {
					t.Errorf("a sale became %v", kind)
				}
			}
			if w.books.gate.count("POST", "/_bulk") == 0 {
				t.Error("nothing went together")
			}
			w.books.faults.ClearAll()
			w.wantSales(count)
		})
	}
}

// Sales and Stripe's fees of the same payments share clearing accounts, and both go together.
func TestBatchOfSalesAndFees(t *testing.T) {
	t.Parallel()
	w := newHarness(t)
	w.books.fail(t, fault.Fault{Mode: fault.Slow, LatencyMS: 20, Match: "POST "})
	const count = 40
	var wg sync.WaitGroup
	errs := make([]error, count)
	wg.Go(func() { w.sellAtOnce(0, count) })
	for n := range count {
		wg.Go(func() {
			_, errs[n] = w.client.RecordStripeFee(keyed(t.Context(), fmt.Sprintf("fee-%d", n)), &ledgerv1.RecordStripeFeeRequest{
				BalanceTransactionId: fmt.Sprintf("txn_%d", n), OrderId: order(n), OrganizerId: organizer, PaymentIntentId: intent(n), Fee: eur(349),
				ChargeTime: timestamppb.New(noon),
			})
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if singles := w.books.gate.count("POST", "/transactions"); singles > count {
		t.Errorf("%d of %d entries went by themselves", singles, 2*count)
	}
	if got, want := w.balance("platform:costs:stripe_fees"), fmt.Sprint(-349*count); got != want {
		t.Errorf("fees %s, want %s", got, want)
	}
	if got, want := w.balance("organizers:"+organizer+":payable"), fmt.Sprint(9100*count); got != want {
		t.Errorf("payable %s, want %s", got, want)
	}
}

// One sale of a batch cannot be posted: its neighbours are, and its caller gets the entry that won.
func TestBatchWithOneBadSale(t *testing.T) {
	t.Parallel()
	b := newBooks(t)
	w, elsewhere := newHarnessOn(t, b, ledgersvc.Config{}), newHarnessOn(t, b, ledgersvc.Config{})
	const count = 30
	for n := 0; n < count; n += 10 {
		elsewhere.capture(n, true, "") // a bare receipt, of which w has no copy
	}
	w.books.fail(t, fault.Fault{Mode: fault.Slow, LatencyMS: 20, Match: "POST "})
	for i, kind := range w.sellAtOnce(0, count) {
		want := ledgerv1.EntryKind_ENTRY_KIND_SALE
		if i/2%10 == 0 {
			want = ledgerv1.EntryKind_ENTRY_KIND_RECEIPT
		}
		if kind != want {
			t.Errorf("sale %d became %v, want %v", i/2, kind, want)
		}
	}
	if len(w.entries()) != count {
		t.Errorf("%d entries", len(w.entries()))
	}
	if got, want := w.balance("organizers:"+organizer+":payable"), fmt.Sprint(9100*(count-3)); got != want {
		t.Errorf("payable %s, want %s", got, want)
	}
}

// wantSales checks that the books hold the sales 0..count-1, each once, and nothing else.
func (w *harness) wantSales(count int) {
	w.t.Helper()
	want := make(map[string]int64)
	for n := range count {
		want["capture:"+intent(n)] = 11900
	}
	w.checkReferences(want)
	if got, want := w.balance("organizers:"+organizer+":payable"), fmt.Sprint(9100*count); got != want {
		w.t.Errorf("payable %s, want %s", got, want)
	}
}
