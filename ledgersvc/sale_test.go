package ledgersvc_test

import (
	"fmt"
	"hash/fnv"
	"sync"
	"testing"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/ledgersvc"
)

func TestRecordSale(t *testing.T) {
	t.Parallel()
	w := newHarness(t)
	for name, c := range map[string]struct {
		change func(r *ledgerv1.RecordSaleRequest)
		want   string
	}{
		"fee and tax": {
			change: func(*ledgerv1.RecordSaleRequest) {},
			want: `stripe:platform:main:%[1]s > orders:%[2]s:payment 11900 EUR/2
orders:%[2]s:payment > organizers:organizer00000001:payable 9100 EUR/2
orders:%[2]s:payment > platform:revenue:application_fees:%[1]s 900 EUR/2
orders:%[2]s:payment > taxes:de:vat 1900 EUR/2
`,
		},
		"nothing for the platform": {
			change: func(r *ledgerv1.RecordSaleRequest) { r.ApplicationFeeMinorUnits, r.Taxes = 0, nil },
			want: `stripe:platform:main:%[1]s > orders:%[2]s:payment 11900 EUR/2
orders:%[2]s:payment > organizers:organizer00000001:payable 11900 EUR/2
`,
		},
		"nothing for the organiser, two taxes of one kind": {
			change: func(r *ledgerv1.RecordSaleRequest) {
				r.ApplicationFeeMinorUnits = 9000
				r.Taxes = append(r.Taxes, &ledgerv1.TaxShare{Country: "DE", Kind: "vat", MinorUnits: 1000})
			},
			want: `stripe:platform:main:%[1]s > orders:%[2]s:payment 11900 EUR/2
orders:%[2]s:payment > platform:revenue:application_fees:%[1]s 9000 EUR/2
orders:%[2]s:payment > taxes:de:vat 1900 EUR/2
orders:%[2]s:payment > taxes:de:vat 1000 EUR/2
`,
		},
		"yen": {
			change: func(r *ledgerv1.RecordSaleRequest) {
				r.Capture.Gross, r.ApplicationFeeMinorUnits, r.Taxes = &moneyv1.Money{Currency: "JPY", MinorUnits: 5000}, 0, nil
			},
			want: `stripe:platform:main:%[1]s > orders:%[2]s:payment 5000 JPY
orders:%[2]s:payment > organizers:organizer00000001:payable 5000 JPY
`,
		},
		"dinar beyond 2^53": {
			change: func(r *ledgerv1.RecordSaleRequest) {
				r.Capture.Gross, r.Taxes = &moneyv1.Money{Currency: "KWD", MinorUnits: 1<<53 + 1}, nil
			},
			want: `stripe:platform:main:%[1]s > orders:%[2]s:payment 9007199254740993 KWD/3
orders:%[2]s:payment > organizers:organizer00000001:payable 9007199254740093 KWD/3
orders:%[2]s:payment > platform:revenue:application_fees:%[1]s 900 KWD/3
`,
		},
		"direct charge": {
			change: func(r *ledgerv1.RecordSaleRequest) { r.Capture.StripeAccount = account },
			want: `stripe:connect:acct_1 > orders:%[2]s:payment 11900 EUR/2
orders:%[2]s:payment > organizers:organizer00000001:connect 11000 EUR/2
orders:%[2]s:payment > platform:revenue:application_fees:%[1]s 900 EUR/2
stripe:platform:main:%[1]s > stripe:connect:acct_1 900 EUR/2
`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := int([]byte(name)[0])*1000 + len(name)
			req := sale(n)
			c.change(req)
			res := must[*ledgerv1.RecordSaleResponse](t)(w.client.RecordSale(w.fresh(), req))
			want := fmt.Sprintf(c.want, shardOf(n), order(n))
			if got := lines(res.GetEntry()); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			e := res.GetEntry()
			if e.GetReference() != "capture:"+intent(n) || e.GetKind() != ledgerv1.EntryKind_ENTRY_KIND_SALE || e.GetOrderId() != order(n) ||
				!e.GetEffectiveTime().AsTime().Equal(noon) || e.GetPostTime() == nil || e.GetLedgerTransactionId() == "" {
				t.Errorf("entry %v", e)
			}
			again := must[*ledgerv1.RecordSaleResponse](t)(w.client.RecordSale(w.fresh(), req))
			if diff := cmp.Diff(res, again, protocmp.Transform()); diff != "" {
				t.Errorf("a repeat answers otherwise: %s", diff)
			}
			kept := must[*ledgerv1.GetEntryResponse](t)(w.statements.GetEntry(t.Context(), &ledgerv1.GetEntryRequest{Reference: e.GetReference()}))
			if diff := cmp.Diff(e, kept.GetEntry(), protocmp.Transform()); diff != "" {
				t.Errorf("our copy differs: %s", diff)
			}
		})
	}
}

func TestRecordSaleRefusesWhatMakesNoSense(t *testing.T) {
	t.Parallel()
	w := newHarness(t)
	for name, c := range map[string]struct {
		change func(r *ledgerv1.RecordSaleRequest)
		path   string
	}{
		"no capture":           {func(r *ledgerv1.RecordSaleRequest) { r.Capture = nil }, ""}, // the rule is about the message: this or free_sale
		"no amount":            {func(r *ledgerv1.RecordSaleRequest) { r.Capture.Gross = nil }, "capture.gross"},
		"zero":                 {func(r *ledgerv1.RecordSaleRequest) { r.Capture.Gross = eur(0) }, "capture.gross.minor_units"},
		"negative":             {func(r *ledgerv1.RecordSaleRequest) { r.Capture.Gross = eur(-1) }, "capture.gross.minor_units"},
		"no currency":          {func(r *ledgerv1.RecordSaleRequest) { r.Capture.Gross.Currency = "eur" }, "capture.gross.currency"},
		"negative fee":         {func(r *ledgerv1.RecordSaleRequest) { r.ApplicationFeeMinorUnits = -1 }, "application_fee_minor_units"},
		"fee above gross":      {func(r *ledgerv1.RecordSaleRequest) { r.ApplicationFeeMinorUnits = 11901 }, "application_fee_minor_units"},
		"fee and tax above":    {func(r *ledgerv1.RecordSaleRequest) { r.ApplicationFeeMinorUnits = 10001 }, "taxes[0].minor_units"},
		"sum that overflows":   {func(r *ledgerv1.RecordSaleRequest) { r.Taxes[0].MinorUnits = 1<<63 - 1 }, "taxes[0].minor_units"},
		"zero tax":             {func(r *ledgerv1.RecordSaleRequest) { r.Taxes[0].MinorUnits = 0 }, "taxes[0].minor_units"},
		"tax without country":  {func(r *ledgerv1.RecordSaleRequest) { r.Taxes[0].Country = "" }, "taxes[0].country"},
		"colon in an id":       {func(r *ledgerv1.RecordSaleRequest) { r.Capture.OrderId = "order:0000000000001" }, "capture.order_id"},
		"no intent":            {func(r *ledgerv1.RecordSaleRequest) { r.Capture.PaymentIntentId = "ch_1" }, "capture.payment_intent_id"},
		"year 10000":           {func(r *ledgerv1.RecordSaleRequest) { r.Capture.CaptureTime = &timestamppb.Timestamp{Seconds: 1 << 40} }, "capture.capture_time"},
		"no time":              {func(r *ledgerv1.RecordSaleRequest) { r.Capture.CaptureTime = nil }, "capture.capture_time"},
		"account of the wrong": {func(r *ledgerv1.RecordSaleRequest) { r.Capture.StripeAccount = "acct:1" }, "capture.stripe_account"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			req := sale(1)
			c.change(req)
			_, err := w.client.RecordSale(w.fresh(), req)
			wantProblem(t, err, connect.CodeInvalidArgument, problem.ReasonInvalidField)
			fields := problem.Fields(err)
			if len(fields) != 1 || fields[0].Path != c.path {
				t.Errorf("fields %v, want %s", fields, c.path)
			}
		})
	}
	t.Cleanup(func() {
		if n := w.books.gate.count("POST", "/transactions"); n != 0 {
			t.Errorf("%d writes reached the ledger", n)
		}
	})
}

func TestRecordSaleSameReferenceConcurrently(t *testing.T) {
	t.Parallel()
	b := newBooks(t)
	one := newHarnessOn(t, b, ledgersvc.Config{})
	two := newReplica(t, b, one.pool, ledgersvc.Config{})
	answers := make([]*ledgerv1.RecordSaleResponse, 64)
	errs := make([]error, len(answers))
	var wg sync.WaitGroup
	for i := range answers {
		wg.Go(func() {
			w := []*harness{one, two}[i%2]
			answers[i], errs[i] = w.client.RecordSale(keyed(t.Context(), fmt.Sprintf("caller-%d", i%8)), sale(1))
		})
	}
	wg.Wait()
	for i := range answers {
		if errs[i] != nil {
			t.Fatal(errs[i])
		}
		if diff := cmp.Diff(answers[0], answers[i], protocmp.Transform()); diff != "" {
			t.Fatalf("answers differ: %s", diff)
		}
	}
	if got := one.balance("organizers:" + organizer + ":payable"); got != "9100" {
		t.Errorf("payable %s: booked more than once", got)
	}
	if all := one.entries(); len(all) != 1 {
		t.Errorf("%d entries", len(all))
	}
}

// One capture is a sale or a bare receipt, whoever asks first; all get the same answer.
func TestSaleAndReceiptRace(t *testing.T) {
	t.Parallel()
	w := newHarness(t)
	won := make(map[ledgerv1.EntryKind]int)
	for n := range 20 {
		answers := make([]*ledgerv1.Entry, 16)
		errs := make([]error, len(answers))
		start := make(chan struct{})
		var wg sync.WaitGroup
		for i := range answers {
			wg.Go(func() {
				<-start
				if (i+n)%2 == 0 {
					res, err := w.client.RecordSale(keyed(t.Context(), fmt.Sprintf("sale-%d", n)), sale(n))
					answers[i], errs[i] = res.GetEntry(), err
				} else {
					res, err := w.client.RecordReceipt(keyed(t.Context(), fmt.Sprintf("receipt-%d", n)), &ledgerv1.RecordReceiptRequest{Capture: capture(n)})
					answers[i], errs[i] = res.GetEntry(), err
				}
			})
		}
		close(start)
		wg.Wait()
		for i := range answers {
			if errs[i] != nil {
				t.Fatal(errs[i])
			}
			if diff := cmp.Diff(answers[0], answers[i], protocmp.Transform()); diff != "" {
				t.Fatalf("answers differ: %s", diff)
			}
		}
		won[answers[0].GetKind()]++
		want := "0"
		if answers[0].GetKind() == ledgerv1.EntryKind_ENTRY_KIND_RECEIPT {
			want = "11900"
		}
		if got := w.balance("orders:" + order(n) + ":payment"); got != want {
			t.Errorf("order %d: %s waits in its account, want %s", n, got, want)
		}
	}
	t.Logf("winners: %v", won)
}

// A capture over other money is not "the other of the two".
func TestReferenceWithOtherMoneyIsAConflict(t *testing.T) {
	t.Parallel()
	b := newBooks(t)
	b.gate.conflicts = true
	w := newHarnessOn(t, b, ledgersvc.Config{})
	elsewhere := newHarnessOn(t, b, ledgersvc.Config{}) // no copy here: the ledger must be asked
	must[*ledgerv1.RecordSaleResponse](t)(w.client.RecordSale(w.fresh(), sale(1)))
	for _, change := range map[string]func(c *ledgerv1.Capture){
		"amount":   func(c *ledgerv1.Capture) { c.Gross = eur(11901) },
		"currency": func(c *ledgerv1.Capture) { c.Gross.Currency = "USD" },
		"order":    func(c *ledgerv1.Capture) { c.OrderId = order(2) },
		"clearing": func(c *ledgerv1.Capture) { c.StripeAccount = account },
	} {
		for _, w := range []*harness{w, elsewhere} {
			receipt := &ledgerv1.RecordReceiptRequest{Capture: capture(1)}
			change(receipt.Capture)
			_, err := w.client.RecordReceipt(w.fresh(), receipt)
			wantProblem(t, err, connect.CodeAlreadyExists, "LEDGER_CONFLICT")
			again := sale(1)
			change(again.Capture)
			_, err = w.client.RecordSale(w.fresh(), again)
			wantProblem(t, err, connect.CodeAlreadyExists, "LEDGER_CONFLICT")
		}
	}
	if got := w.balance("organizers:" + organizer + ":payable"); got != "9100" {
		t.Errorf("payable %s", got)
	}
}

// shardOf is the shard of an intent, worked out independently of the service.
func shardOf(n int) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(intent(n)))
	return fmt.Sprintf("%02d", h.Sum32()%16)
}
