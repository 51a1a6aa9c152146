package ledgersvc_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/devenv/sandbox/fault"
	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/internal/chassis/problem"
)

// A thousand facts from eight callers while the ledger fails in every way: in the end it holds each reference that was
// meant, once, and nothing else.
func TestThousandPostingsWithFaults(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	w := newHarnessOn(t, newBooks(t), impatient())
	weather := []fault.Fault{
		{Mode: fault.LostReply, Rate: 0.3},
		{Mode: fault.ServerError, Rate: 0.3},
		{Mode: fault.HalfBody, Rate: 0.3},
		{Mode: fault.Hang, Rate: 0.02},
		{Mode: fault.Refuse, Rate: 0.3},
		{Mode: fault.Slow, LatencyMS: 550, Rate: 0.02},
		{Mode: fault.LostReply, Rate: 0.5, Match: "GET "},
	}
	const callers, each = 8, 125
	want := make(map[string]int64) // amount by reference
	jobs := make(chan func() error, callers*each)
	for n := range callers * each {
		reference, call := w.randomFact(random, n)
		amount := random.Int64N(1<<40) + 1000
		want[reference] = amount
		key := keyed(t.Context(), fmt.Sprintf("fact-%d", n))
		jobs <- func() error { return call(key, amount) }
	}
	close(jobs)
	stop := make(chan struct{})
	var turning sync.WaitGroup
	turning.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			w.books.fail(t, weather[i%len(weather)])
			select {
			case <-stop:
				return
			case <-tick.C:
			}
		}
	})
	failed := make([]int, callers)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			for job := range jobs {
				// Again until it is known, as our callers do.
				for err := job(); err != nil; err = job() {
					if problem.Reason(err) != "LEDGER_UNAVAILABLE" {
						t.Error(err)
						return
					}
					failed[i]++
				}
			}
		})
	}
	wg.Wait()
	close(stop)
	turning.Wait()
	w.books.faults.ClearAll()
	t.Logf("answered LEDGER_UNAVAILABLE: %v", failed)
	w.checkReferences(want)
	if got := w.imbalance(); got != "" {
		t.Errorf("trial balance: %s", got)
	}
}

// randomFact returns a fact that needs no other, with its reference.
func (w *harness) randomFact(random *rand.Rand, n int) (reference string, call func(ctx context.Context, amount int64) error) {
	org := fmt.Sprintf("organizer%08d", random.IntN(20))
	c := capture(n)
	c.OrganizerId = org
	at := timestamppb.New(noon.Add(time.Duration(n) * time.Second))
	switch random.IntN(5) {
	case 0:
		return "capture:" + intent(n), func(ctx context.Context, amount int64) error {
			c.Gross = eur(amount)
			_, err := w.client.RecordReceipt(ctx, &ledgerv1.RecordReceiptRequest{Capture: c})
			return err
		}
	case 1:
		txn := fmt.Sprintf("txn_%d", n)
		return "fee:" + txn, func(ctx context.Context, amount int64) error {
			_, err := w.client.RecordStripeFee(ctx, &ledgerv1.RecordStripeFeeRequest{
				BalanceTransactionId: txn, OrderId: c.GetOrderId(), OrganizerId: org, PaymentIntentId: intent(n), Fee: eur(amount), ChargeTime: at,
			})
			return err
		}
	case 2:
		po := fmt.Sprintf("po_%d", n)
		return "payout:" + po, func(ctx context.Context, amount int64) error {
			_, err := w.client.RecordPayout(ctx, &ledgerv1.RecordPayoutRequest{
				PayoutId: po, Status: paid, Amount: eur(amount), BankAccountId: "ba_1", PayoutTime: at,
			})
			return err
		}
	default:
		return "capture:" + intent(n), func(ctx context.Context, amount int64) error {
			c.Gross = eur(amount)
			_, err := w.client.RecordSale(ctx, &ledgerv1.RecordSaleRequest{Capture: c, ApplicationFeeMinorUnits: amount / 10})
			return err
		}
	}
}

// checkReferences compares what the ledger holds, and our copies, with what was meant, by their first amount.
func (w *harness) checkReferences(want map[string]int64) {
	w.t.Helper()
	copies := make(map[string]string)
	for _, e := range w.entries() {
		copies[e.GetReference()] = e.GetPostings()[0].GetAmount()
	}
	held := w.books.transactions(w.t)
	for reference, amount := range want {
		if got := fmt.Sprint(amount); held[reference] != got || copies[reference] != got {
			w.t.Errorf("%s: ledger %s, copy %s, want %s", reference, held[reference], copies[reference], got)
		}
	}
	if len(held) != len(want) || len(copies) != len(want) {
		w.t.Errorf("ledger has %d references, copies %d, want %d", len(held), len(copies), len(want))
	}
}

// imbalance returns the assets whose balances do not sum to zero.
func (w *harness) imbalance() string {
	w.t.Helper()
	res, err := w.statements.GetTrialBalance(w.t.Context(), &ledgerv1.GetTrialBalanceRequest{})
	if err != nil {
		w.t.Fatal(err)
	}
	var off []string
	for asset, sum := range res.GetBalances() {
		if sum != "0" {
			off = append(off, asset+" "+sum)
		}
	}
	slices.Sort(off)
	return strings.Join(off, ", ")
}
