package ledgersvc_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/internal/chassis/problem"
)

const (
	pending   = ledgerv1.PayoutStatus_PAYOUT_STATUS_PENDING
	inTransit = ledgerv1.PayoutStatus_PAYOUT_STATUS_IN_TRANSIT
	paid      = ledgerv1.PayoutStatus_PAYOUT_STATUS_PAID
	failed    = ledgerv1.PayoutStatus_PAYOUT_STATUS_FAILED
	canceled  = ledgerv1.PayoutStatus_PAYOUT_STATUS_CANCELED
)

func payout(id, stripeAccount string, status ledgerv1.PayoutStatus) *ledgerv1.RecordPayoutRequest {
	req := &ledgerv1.RecordPayoutRequest{
		PayoutId: id, StripeAccount: stripeAccount, Status: status, Amount: eur(4000), BankAccountId: "ba_1",
		PayoutTime: timestamppb.New(noon.Add(24 * time.Hour)),
	}
	if stripeAccount != "" {
		req.OrganizerId, req.BankAccountId = organizer, ""
	}
	return req
}

// Observations in every order, each doubled, end in the same status and balances.
func TestPayoutInAnyOrder(t *testing.T) {
	t.Parallel()
	w := newHarness(t)
	w.capture(1, false, "")
	w.capture(2, false, account) // 110.00 in the connected account; payouts beyond that are its receivable's
	type end struct {
		status                          ledgerv1.PayoutStatus
		bank, transit, connected, owned int64 // what moved: at our bank, on its way, in the connected account, the organiser's part of that
	}
	n := 0
	for _, observed := range [][]ledgerv1.PayoutStatus{
		{pending},
		{pending, inTransit},
		{pending, inTransit, paid},
		{inTransit, paid, failed},
		{pending, canceled},
		{paid},
	} {
		for _, acct := range []string{"", account} {
			last := observed[len(observed)-1]
			want := end{status: last}
			switch {
			case last == paid && acct == "":
				want.bank = -4000
			case last == paid:
				want.connected, want.owned = 4000, -4000
			case (last == pending || last == inTransit) && acct != "":
				want.transit, want.owned = 4000, -4000
			}
			for _, sequence := range permutations(observed) {
				n++
				id := fmt.Sprintf("po_%d", n)
				before := w.books.balances(t)
				var res *ledgerv1.RecordPayoutResponse
				for _, status := range append(sequence, sequence...) {
					res = must[*ledgerv1.RecordPayoutResponse](t)(w.client.RecordPayout(w.fresh(), payout(id, acct, status)))
				}
				after := w.books.balances(t)
				moved := func(addresses ...string) int64 {
					var sum int64
					for _, a := range addresses {
						sum += number(t, after[a+" EUR/2"]) - number(t, before[a+" EUR/2"])
					}
					return sum
				}
				got := end{
					status: res.GetStatus(), bank: moved("bank:platform:ba_1"), transit: moved("organizers:" + organizer + ":payouts:" + id),
					connected: moved("stripe:connect:acct_1"),
					owned:     moved("organizers:"+organizer+":connect", "organizers:"+organizer+":connect:receivable"),
				}
				if got != want {
					t.Errorf("%v of %q ends %+v, want %+v", sequence, acct, got, want)
				}
			}
		}
	}
}

func number(tb testing.TB, text string) int64 {
	tb.Helper()
	if text == "" {
		return 0
	}
	var n int64
	if _, err := fmt.Sscan(text, &n); err != nil {
		tb.Fatal(err)
	}
	return n
}

func permutations[T any](all []T) [][]T {
	if len(all) <= 1 {
		return [][]T{all}
	}
	var out [][]T
	for i := range all {
		rest := append(append([]T(nil), all[:i]...), all[i+1:]...)
		for _, p := range permutations(rest) {
			out = append(out, append([]T{all[i]}, p...))
		}
	}
	return out
}

// A payout of a negative amount debits the bank: Stripe fetches what its balance lacks. In every order it moves the other way
// round, and nothing before it is paid.
func TestPayoutThatDebitsTheBank(t *testing.T) {
	t.Parallel()
	w := newHarness(t)
	n := 0
	for _, observed := range [][]ledgerv1.PayoutStatus{{pending}, {pending, inTransit, paid}, {inTransit, paid, failed}, {pending, canceled}, {paid, canceled}} {
		for _, acct := range []string{"", account} {
			for _, sequence := range permutations(observed) {
				n++
				id := fmt.Sprintf("po_%d", n)
				before := w.books.balances(t)
				for _, status := range append(sequence, sequence...) {
					req := payout(id, acct, status)
					req.Amount = eur(-5000)
					must[*ledgerv1.RecordPayoutResponse](t)(w.client.RecordPayout(w.fresh(), req))
				}
				after := w.books.balances(t)
				moved := map[string]int64{}
				for address := range after {
					if sum := number(t, after[address]) - number(t, before[address]); sum != 0 {
						moved[address] = sum
					}
				}
				want := map[string]int64{}
				if observed[len(observed)-1] == paid {
					want["bank:platform:ba_1 EUR/2"], want[clearingOf(moved)] = 5000, -5000
					if acct != "" {
						want = map[string]int64{"stripe:connect:acct_1 EUR/2": -5000, "organizers:" + organizer + ":connect EUR/2": 5000}
					}
				}
				if fmt.Sprint(moved) != fmt.Sprint(want) {
					t.Errorf("%v of %q moves %v, want %v", sequence, acct, moved, want)
				}
			}
		}
	}
	txns := must[*ledgerv1.RecordPayoutTransactionsResponse](t)(w.client.RecordPayoutTransactions(w.fresh(), &ledgerv1.RecordPayoutTransactionsRequest{
		PayoutId: "po_1", Amount: eur(-5000), TransactionCount: 2, NetMinorUnits: -5100, CompleteTime: timestamppb.New(noon),
	}))
	if txns.GetDifferenceMinorUnits() != -100 {
		t.Errorf("difference %d, want -100", txns.GetDifferenceMinorUnits())
	}
}

// clearingOf is the platform's clearing account that changed.
func clearingOf(moved map[string]int64) string {
	for address := range moved {
		if strings.HasPrefix(address, "stripe:platform:") {
			return address
		}
	}
	return ""
}

// All observations at once, several times: the entries are those of one of the orders, each once.
func TestPayoutAllAtOnce(t *testing.T) {
	t.Parallel()
	w := newHarness(t)
	w.capture(1, false, account)
	before := w.allBalances()
	for n := range 10 {
		id := fmt.Sprintf("po_%d", n)
		var wg sync.WaitGroup
		for i := range 12 {
			wg.Go(func() {
				status := []ledgerv1.PayoutStatus{pending, inTransit, paid, failed}[i%4]
				if _, err := w.client.RecordPayout(w.fresh(), payout(id, account, status)); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	w.wantBalances(before)
}

func TestPayoutEntries(t *testing.T) {
	t.Parallel()
	w := newHarness(t)
	w.capture(1, false, account)
	must[*ledgerv1.RecordPayoutResponse](t)(w.client.RecordPayout(w.fresh(), payout("po_1", account, paid)))
	res := must[*ledgerv1.RecordPayoutResponse](t)(w.client.RecordPayout(w.fresh(), payout("po_1", account, failed)))
	want := []string{
		"payout-created:po_1\norganizers:organizer00000001:connect > organizers:organizer00000001:payouts:po_1 4000 EUR/2\n",
		"payout:po_1\norganizers:organizer00000001:payouts:po_1 > stripe:connect:acct_1 4000 EUR/2\n",
		"payout-fail:po_1\nstripe:connect:acct_1 > organizers:organizer00000001:payouts:po_1 4000 EUR/2\n" +
			"organizers:organizer00000001:payouts:po_1 > organizers:organizer00000001:connect 4000 EUR/2\n",
	}
	if len(res.GetEntries()) != len(want) {
		t.Fatalf("entries %v", res.GetEntries())
	}
	for i, e := range res.GetEntries() {
		if got := e.GetReference() + "\n" + lines(e); got != want[i] {
			t.Errorf("got %s\nwant %s", got, want[i])
		}
	}
	// The bank account may be reported late, but not after it was needed.
	first := payout("po_2", "", pending)
	first.BankAccountId = ""
	must[*ledgerv1.RecordPayoutResponse](t)(w.client.RecordPayout(w.fresh(), first))
	res = must[*ledgerv1.RecordPayoutResponse](t)(w.client.RecordPayout(w.fresh(), payout("po_2", "", paid)))
	if got := res.GetEntries()[0].GetPostings()[0].GetSource(); got != "bank:platform:ba_1" {
		t.Errorf("paid from %s", got)
	}
	late := payout("po_2", "", failed)
	late.BankAccountId = "ba_2"
	res = must[*ledgerv1.RecordPayoutResponse](t)(w.client.RecordPayout(w.fresh(), late))
	if got := res.GetEntries()[1].GetPostings()[0].GetDestination(); got != "bank:platform:ba_1" {
		t.Errorf("back to %s", got)
	}
}

func TestPayoutRefuses(t *testing.T) {
	t.Parallel()
	w := newHarness(t)
	must[*ledgerv1.RecordPayoutResponse](t)(w.client.RecordPayout(w.fresh(), payout("po_1", "", pending)))
	other := payout("po_1", "", paid)
	other.Amount = eur(4001)
	_, err := w.client.RecordPayout(w.fresh(), other)
	wantProblem(t, err, connect.CodeAlreadyExists, "LEDGER_CONFLICT")
	for name, change := range map[string]func(r *ledgerv1.RecordPayoutRequest){
		"no organiser":   func(r *ledgerv1.RecordPayoutRequest) { r.StripeAccount = account },
		"colon in bank":  func(r *ledgerv1.RecordPayoutRequest) { r.BankAccountId = "ba:1" },
		"zero":           func(r *ledgerv1.RecordPayoutRequest) { r.Amount = eur(0) },
		"no status":      func(r *ledgerv1.RecordPayoutRequest) { r.Status = 0 },
		"unknown status": func(r *ledgerv1.RecordPayoutRequest) { r.Status = 9 },
	} {
		req := payout("po_2", "", paid)
		change(req)
		if _, err := w.client.RecordPayout(w.fresh(), req); problem.Reason(err) != problem.ReasonInvalidField {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTransfer(t *testing.T) {
	t.Parallel()
	w := newHarness(t)
	transfer := &ledgerv1.RecordTransferRequest{
		TransferId: "tr_1", StripeAccount: account, OrganizerId: organizer, Amount: eur(10000), TransferTime: timestamppb.New(noon),
	}
	reversal := &ledgerv1.RecordTransferReversalRequest{
		TransferReversalId: "trr_1", TransferId: "tr_1", Amount: eur(4000), ReverseTime: timestamppb.New(noon),
	}
	_, err := w.client.RecordTransferReversal(w.fresh(), reversal)
	wantProblem(t, err, connect.CodeFailedPrecondition, "TRANSFER_NOT_POSTED")
	w.capture(1, false, "")
	res := must[*ledgerv1.RecordTransferResponse](t)(w.client.RecordTransfer(w.fresh(), transfer))
	got := lines(res.GetEntry())
	clearing := res.GetEntry().GetPostings()[2].GetDestination()
	want := `organizers:organizer00000001:payable > organizers:organizer00000001:connect 9100 EUR/2
organizers:organizer00000001:receivable > organizers:organizer00000001:connect 900 EUR/2
stripe:connect:acct_1 > ` + clearing + " 10000 EUR/2\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	must[*ledgerv1.RecordTransferResponse](t)(w.client.RecordTransfer(w.fresh(), transfer))
	back := must[*ledgerv1.RecordTransferReversalResponse](t)(w.client.RecordTransferReversal(w.fresh(), reversal))
	want = "organizers:organizer00000001:connect > organizers:organizer00000001:payable 4000 EUR/2\n" + clearing + " > stripe:connect:acct_1 4000 EUR/2\n"
	if got := lines(back.GetEntry()); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
