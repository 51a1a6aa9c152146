package ledgersvc

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
	"github.com/dayof/dayof/internal/money"
	"github.com/dayof/dayof/ledgersvc/journal"
	"github.com/dayof/dayof/ledgersvc/ledgerdb"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var noon = time.Date(2026, 5, 1, 12, 0, 0, 123456000, time.UTC)

func eur(minor int64) *moneyv1.Money { return &moneyv1.Money{Currency: "EUR", MinorUnits: minor} }

func captureOn(stripeAccount string) *ledgerv1.Capture {
	return &ledgerv1.Capture{
		OrderId: "order000000000001", OrganizerId: "organizer00000001", PaymentIntentId: "pi_1", StripeAccount: stripeAccount,
		Gross: eur(11900), CaptureTime: timestamppb.New(noon),
	}
}

// golden plans: what is sent to the ledger for each fact. A change of one of these files is a change of bytes under
// keys that live ledgers know: repeats across a release then end in LEDGER_CONFLICT or a refused key.
func goldenPlans(t *testing.T) map[string]plan {
	t.Helper()
	must := func(p plan, err error) plan {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	sale := func(stripeAccount string) plan {
		return must(salePlan(&ledgerv1.RecordSaleRequest{
			Capture: captureOn(stripeAccount), ApplicationFeeMinorUnits: 900,
			Taxes: []*ledgerv1.TaxShare{{Country: "DE", Kind: "vat", MinorUnits: 1900}, {Country: "DE", Kind: "city", MinorUnits: 100}},
		}))
	}
	fee := func(stripeAccount string) plan {
		return must(feePlan(&ledgerv1.RecordStripeFeeRequest{
			BalanceTransactionId: "txn_1", OrderId: "order000000000001", OrganizerId: "organizer00000001", PaymentIntentId: "pi_1",
			StripeAccount: stripeAccount, Fee: eur(349), ChargeTime: timestamppb.New(noon),
		}))
	}
	refund := func(capture plan) plan {
		e := postedAs(capture)
		req := &ledgerv1.RecordRefundRequest{
			StripeRefundId: "re_1", PaymentIntentId: "pi_1", Amount: eur(5000), ApplicationFeeMinorUnits: 400,
			Taxes: []*ledgerv1.TaxShare{{Country: "DE", Kind: "vat", MinorUnits: 800}}, RefundTime: timestamppb.New(noon),
		}
		return newPlan(ledgerv1.EntryKind_ENTRY_KIND_REFUND, journal.RefundReference("re_1"), noon, "EUR/2", e.Facts, refundMoves(e, req, 800)...)
	}
	receipt := must(receiptPlan(&ledgerv1.RecordReceiptRequest{Capture: captureOn("")}))
	funds := func(capture plan, amount, fee int64) plan {
		return disputeFundsPlan(capture.facts, &ledgerv1.RecordDisputeFundsRequest{
			DisputeId: "du_1", BalanceTransactionId: "txn_2", FeeMinorUnits: fee,
		}, money.Money{Currency: "EUR", MinorUnits: amount}, "", noon)
	}
	loss := func(capture plan) plan {
		f := capture.facts
		f.DisputeID = "du_1"
		return newPlan(ledgerv1.EntryKind_ENTRY_KIND_DISPUTE_LOSS, journal.LossReference("du_1"), noon, "EUR/2", f,
			lossMoves(capture.kind, f, 11900, 900)...)
	}
	payout := func(known ledgerdb.Payout) plan {
		known.PayoutID, known.Currency, known.Amount, known.PayoutTime = "po_1", "EUR", 4000, noon
		if known.StripeAccount != "" {
			known.OrganizerID = "organizer00000001"
		}
		plans := payoutPlans(known)
		return plans[len(plans)-1]
	}
	returned, _ := returnPlan(postedAs(loss(sale(""))), postedAs(funds(sale(""), 6000, 0)), "dispute-back:txn_2")
	appFee := func(source string, booked int64, n int) plan {
		intent := "pi_1"
		if source == feeOfChargeElsewhere {
			intent = ""
		}
		return applicationFeePlans(ledgerdb.ApplicationFee{
			FeeID: "fee_1", StripeAccount: "acct_1", OrganizerID: "organizer00000001", PaymentIntentID: intent, Source: source, Booked: booked,
			Currency: "EUR", Amount: 900, Refunded: 400, FeeTime: noon,
		}, []ledgerdb.ApplicationFeeRefund{{FeeID: "fee_1", Cumulative: 400, Amount: 400}})[n]
	}
	conversion := must(conversionPlan(&ledgerv1.RecordConversionRequest{
		BalanceTransactionId: "txn_1", OrderId: "order000000000001", OrganizerId: "organizer00000001", PaymentIntentId: "pi_1",
		From: &moneyv1.Money{Currency: "USD", MinorUnits: 12000}, To: eur(11900), ConversionTime: timestamppb.New(noon),
	}))
	const failed = int16(ledgerv1.PayoutStatus_PAYOUT_STATUS_FAILED)
	return map[string]plan{
		"sale":                               sale(""),
		"sale_direct":                        sale("acct_1"),
		"receipt":                            receipt,
		"fee":                                fee(""),
		"fee_direct":                         fee("acct_1"),
		"refund_of_sale":                     refund(sale("")),
		"refund_of_direct_sale":              refund(sale("acct_1")),
		"refund_of_receipt":                  refund(receipt),
		"refund_failure":                     reversal(postedAs(refund(sale(""))), ledgerv1.EntryKind_ENTRY_KIND_REFUND_FAILURE, "refund-fail:re_1"),
		"refund_failure_direct":              reversal(postedAs(refund(sale("acct_1"))), ledgerv1.EntryKind_ENTRY_KIND_REFUND_FAILURE, "refund-fail:re_1"),
		"dispute_withdrawal":                 funds(sale(""), -11900, 1500),
		"dispute_withdrawal_direct":          funds(sale("acct_1"), -11900, 1500),
		"dispute_reinstatement":              funds(sale(""), 11900, -1500),
		"dispute_reinstatement_direct":       funds(sale("acct_1"), 11900, -1500),
		"dispute_loss":                       loss(sale("")),
		"dispute_loss_direct":                loss(sale("acct_1")),
		"dispute_loss_of_receipt":            loss(receipt),
		"dispute_return":                     returned,
		"application_fee_direct":             appFee(feeOfDirectCharge, 800, 0),
		"application_fee_direct_less":        appFee(feeOfDirectCharge, 1000, 0),
		"application_fee_destination":        appFee(feeOfDestinationCharge, 0, 0),
		"application_fee_destination_back":   appFee(feeOfDestinationCharge, 0, 1),
		"application_fee_elsewhere":          appFee(feeOfChargeElsewhere, 0, 0),
		"application_fee_elsewhere_back":     appFee(feeOfChargeElsewhere, 0, 1),
		"conversion":                         conversion,
		"payout_paid":                        payout(ledgerdb.Payout{Paid: true, BankAccountID: "ba_1", Status: 3}),
		"payout_failed_after_paid":           payout(ledgerdb.Payout{Paid: true, Status: failed}),
		"payout_created_connected":           payout(ledgerdb.Payout{StripeAccount: "acct_1", Status: 1}),
		"payout_paid_connected":              payout(ledgerdb.Payout{StripeAccount: "acct_1", Paid: true, Status: 3}),
		"payout_failed_connected":            payout(ledgerdb.Payout{StripeAccount: "acct_1", Status: failed}),
		"payout_failed_after_paid_connected": payout(ledgerdb.Payout{StripeAccount: "acct_1", Paid: true, Status: failed}),
	}
}

// postedAs is the entry that a ledger makes of p when every first source has enough.
func postedAs(p plan) journal.Entry {
	e := journal.Entry{Reference: p.reference, Kind: p.kind, Facts: p.facts, Fingerprint: p.fingerprint(), EffectiveTime: p.effectiveTime}
	for _, m := range p.moves {
		e.Postings = append(e.Postings, journal.Posting{Source: m.from[0].address, Destination: m.to.address, Asset: m.assetOr(p.asset), Amount: m.amount})
	}
	return e
}

// describe is all of p that reaches the ledger.
func describe(t *testing.T, p plan) string {
	t.Helper()
	s, err := newScripter().write(p.asset, p.moves)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "reference %s\ntimestamp %s\n\n%s\n\n", p.reference, p.effectiveTime.Format(time.RFC3339Nano), s.plain)
	for _, name := range sortedKeys(s.vars) {
		fmt.Fprintf(&b, "$%s = %s\n", name, s.vars[name])
	}
	b.WriteString("\n")
	meta := p.metadata()
	for _, name := range sortedKeys(meta) {
		fmt.Fprintf(&b, "%s: %s\n", name, meta[name])
	}
	return b.String()
}

func TestPlansAreGolden(t *testing.T) {
	t.Parallel()
	for name, p := range goldenPlans(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := describe(t, p)
			file := filepath.Join("testdata", "plans", name+".golden")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			if again := describe(t, p); again != got {
				t.Error("the same plan is written in two ways")
			}
		})
	}
}

// Only accounts that are zero or below by their nature may be overdrawn: clearing accounts, banks, receivables, costs, and what a
// dispute has withdrawn. What we owe is never forced.
func TestOverdraftOnlyWhereTheChartAllowsIt(t *testing.T) {
	t.Parallel()
	allowed := regexp.MustCompile(`^(stripe:platform:main:\d\d|stripe:connect:\w+|bank:platform:\w+|organizers:\w+:(connect:)?receivable|` +
		`taxes:\w+:\w+:receivable|platform:costs:\w+|orders:\w+:disputes:\w+|fx:stripe:\w+)$`)
	overdrafts := 0
	for name, p := range goldenPlans(t) {
		s, err := newScripter().write(p.asset, p.moves)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\$(\w+)( allowing unbounded overdraft)?\n`).FindAllStringSubmatch(s.plain, -1) {
			address, isAccount := s.vars[m[1]]
			if m[2] != "" && !allowed.MatchString(address) {
				t.Errorf("%s: %s may be overdrawn", name, address)
			}
			if isAccount && m[2] != "" {
				overdrafts++
			}
		}
		for _, m := range p.moves {
			for _, a := range append(m.sources(), m.to) {
				if a.debit != allowed.MatchString(a.address) || accountAt(a.address) != a {
					t.Errorf("%s: %s is %+v, by its address %+v", name, a.address, a, accountAt(a.address))
				}
			}
		}
	}
	if overdrafts == 0 {
		t.Error("no plan has an overdraft")
	}
}

func TestPlanHoldsOnlyItsOwnPostings(t *testing.T) {
	t.Parallel()
	p := goldenPlans(t)["refund_of_sale"] // payable, then receivable
	split := postedAs(p)
	first := split.Postings[0]
	taken, rest := first, first
	taken.Amount, rest.Amount = first.Amount-300, 300
	rest.Source = organizerReceivable("organizer00000001").address
	split.Postings = append([]journal.Posting{taken, rest}, split.Postings[1:]...)
	if err := p.holds(split); err != nil {
		t.Fatalf("divided between payable and receivable: %v", err)
	}
	change := map[string]func(e *journal.Entry){
		"other amount":      func(e *journal.Entry) { e.Postings[0].Amount++ },
		"other asset":       func(e *journal.Entry) { e.Postings[0].Asset = "EUR" },
		"other destination": func(e *journal.Entry) { e.Postings[0].Destination = "world" },
		"other source":      func(e *journal.Entry) { e.Postings[0].Source = "world" },
		"wrong order":       func(e *journal.Entry) { e.Postings[0], e.Postings[1] = e.Postings[1], e.Postings[0] },
		"one missing":       func(e *journal.Entry) { e.Postings = e.Postings[:len(e.Postings)-1] },
		"one too many":      func(e *journal.Entry) { e.Postings = append(e.Postings, e.Postings[0]) },
		"other fingerprint": func(e *journal.Entry) { e.Fingerprint = []byte("x") },
		"no fingerprint":    func(e *journal.Entry) { e.Fingerprint = nil },
		"other kind":        func(e *journal.Entry) { e.Kind = ledgerv1.EntryKind_ENTRY_KIND_SALE },
		"nothing":           func(e *journal.Entry) { e.Postings = nil },
	}
	for name, f := range change {
		e := split
		e.Postings = append([]journal.Posting(nil), split.Postings...)
		f(&e)
		if p.holds(e) == nil {
			t.Errorf("%s is taken for the plan", name)
		}
	}
}

// Every field of a request that matters changes the fingerprint.
func TestFingerprintCoversTheRequest(t *testing.T) {
	t.Parallel()
	base := func() *ledgerv1.RecordSaleRequest {
		return &ledgerv1.RecordSaleRequest{
			Capture: captureOn("acct_1"), ApplicationFeeMinorUnits: 900,
			Taxes: []*ledgerv1.TaxShare{{Country: "DE", Kind: "vat", MinorUnits: 1900}},
		}
	}
	seen := map[string]string{}
	for name, change := range map[string]func(r *ledgerv1.RecordSaleRequest){
		"nothing":   func(*ledgerv1.RecordSaleRequest) {},
		"order":     func(r *ledgerv1.RecordSaleRequest) { r.Capture.OrderId = "order000000000002" },
		"organiser": func(r *ledgerv1.RecordSaleRequest) { r.Capture.OrganizerId = "organizer00000002" },
		"intent":    func(r *ledgerv1.RecordSaleRequest) { r.Capture.PaymentIntentId = "pi_2" },
		"account":   func(r *ledgerv1.RecordSaleRequest) { r.Capture.StripeAccount = "" },
		"amount":    func(r *ledgerv1.RecordSaleRequest) { r.Capture.Gross.MinorUnits++ },
		"currency":  func(r *ledgerv1.RecordSaleRequest) { r.Capture.Gross.Currency = "USD" },
		"time": func(r *ledgerv1.RecordSaleRequest) {
			r.Capture.CaptureTime = timestamppb.New(noon.Add(time.Microsecond))
		},
		"fee":      func(r *ledgerv1.RecordSaleRequest) { r.ApplicationFeeMinorUnits++ },
		"no fee":   func(r *ledgerv1.RecordSaleRequest) { r.ApplicationFeeMinorUnits = 0 },
		"tax":      func(r *ledgerv1.RecordSaleRequest) { r.Taxes[0].MinorUnits++ },
		"tax kind": func(r *ledgerv1.RecordSaleRequest) { r.Taxes[0].Kind = "city" },
		"no taxes": func(r *ledgerv1.RecordSaleRequest) { r.Taxes = nil },
	} {
		req := base()
		change(req)
		p, err := salePlan(req)
		if err != nil {
			t.Fatal(err)
		}
		if other, twice := seen[string(p.fingerprint())]; twice {
			t.Errorf("%q and %q have one fingerprint", name, other)
		}
		seen[string(p.fingerprint())] = name
	}
}

func TestShardsAreSpreadAndFixed(t *testing.T) {
	t.Parallel()
	counts := map[string]int{}
	for i := range 16000 {
		counts[shard(fmt.Sprintf("pi_%d", i))]++
	}
	if len(counts) != shards {
		t.Errorf("%d shards are used, want %d", len(counts), shards)
	}
	for s, n := range counts {
		if n < 700 || n > 1300 { // 1000 each, five standard deviations of about 31 and some
			t.Errorf("shard %s has %d of 16000", s, n)
		}
	}
	if got := shard("pi_3v6H8aCtTb1WUcve0mJVpNbbYaY"); got != "15" {
		t.Errorf("shard %s: the hash has changed, and with it what live ledgers hold", got)
	}
}

func TestIdempotencyKeyFitsTheLedger(t *testing.T) {
	t.Parallel()
	long := "capture:pi_" + strings.Repeat("x", 250)
	if got := idempotencyKey(long); len(got) > 255 || got == idempotencyKey(long+"y") {
		t.Errorf("key %q of a long reference", got)
	}
	if got := idempotencyKey("capture:pi_1"); got != "capture:pi_1" {
		t.Errorf("key %q", got)
	}
}
