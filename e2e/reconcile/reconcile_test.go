package reconcile

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/devenv/idle"
	"github.com/dayof/dayof/e2e/e2etest"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// reconcile compares everything until now and returns what is open.
func reconcile(t *testing.T, system *client.Client) (*ledgerv1.Run, []*ledgerv1.Difference) {
	t.Helper()
	run, open, err := system.Reconcile(e2etest.Within(t, 3*time.Minute), time.Unix(0, 0), clock.System{}.Now())
	if err != nil {
		t.Fatal(err)
	}
	return run, open
}

// assertAgree fails the test unless nothing differs.
func assertAgree(t *testing.T, system *client.Client) *ledgerv1.Run {
	t.Helper()
	run, open := reconcile(t, system)
	for _, d := range open {
		t.Errorf("false alarm: %s", shown(d))
	}
	if run.GetUnreadCount() != 0 {
		t.Errorf("not read: %v", run.GetUnreadSubjects())
	}
	return run
}

func shown(d *ledgerv1.Difference) string {
	return fmt.Sprintf("%v %s of order %q: expected %v, found %v (%s): %s", d.GetKind(), d.GetSubject(), d.GetOrderId(), d.GetExpected(), d.GetFound(),
		d.GetSides(), d.GetSuggestedCause())
}

// refundPart sends part of an order's money back and waits until it is booked.
func refundPart(t *testing.T, system *client.Client, o client.Order, currency string, amount int64) client.Order {
	t.Helper()
	ctx := e2etest.Within(t, time.Minute)
	_, err := system.Orders.RefundOrder(rpc.WithIdempotencyKey(ctx, client.NewKey()), &checkoutv1.RefundOrderRequest{
		OrderId: o.OrderID, Amount: &moneyv1.Money{Currency: currency, MinorUnits: amount}, Note: "reconcile",
	})
	if err != nil {
		t.Fatal(err)
	}
	return e2etest.AwaitEntries(t, system, o.OrderID, "refund:")
}

// awaitEntry waits until an entry is in the ledger.
func awaitEntry(t *testing.T, system *client.Client, reference string) {
	t.Helper()
	ctx := e2etest.Within(t, time.Minute)
	for {
		_, err := system.Statements.GetEntry(ctx, &ledgerv1.GetEntryRequest{Reference: reference})
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("%s is not booked: %v", reference, err)
		}
		e2etest.Pause(ctx)
	}
}

// TestReconcileAgrees sells, refunds, loses and wins disputes, and pays out, in several currencies: nothing differs.
func TestReconcileAgrees(t *testing.T) {
	t.Parallel()
	m := e2etest.NewCluster(t, 2, e2etest.OnDemand)
	system := client.NewClient(m.File)
	settings := map[string]any{"available_delay_seconds": 0} // money can be paid out at once
	if _, err := system.Stripe.Control(e2etest.Within(t, time.Minute), http.MethodPatch, "/_sandbox/settings", settings); err != nil {
		t.Fatal(err)
	}
	prices := map[string]int64{"EUR": 4450, "USD": 2999, "JPY": 5000, "KWD": 12340}
	for currency, price := range prices {
		refundPart(t, system, e2etest.SellIn(t, system, currency, price), currency, price/10*4)
		e2etest.SellIn(t, system, currency, price)
	}
	whole := refundPart(t, system, e2etest.SellIn(t, system, "EUR", 4450), "EUR", 4450)
	failed := refundPart(t, system, e2etest.SellIn(t, system, "EUR", 4450), "EUR", 1000)
	e2etest.Control(t, system, "/_sandbox/refunds/"+failed.Payment.Refunds[0].StripeRefundID+"/fail", map[string]any{})
	e2etest.AwaitEntries(t, system, failed.OrderID, "refund-fail:")
	for _, outcome := range []string{"won", "lost"} {
		o := e2etest.SellIn(t, system, "USD", 2999)
		dispute := e2etest.Control(t, system, "/_sandbox/disputes", map[string]any{"payment_intent": o.Payment.PayingIntentID})
		e2etest.AwaitEntries(t, system, o.OrderID, "dispute-w:")
		e2etest.Control(t, system, "/_sandbox/disputes/"+dispute+"/close", map[string]any{"status": outcome})
		e2etest.AwaitEntries(t, system, o.OrderID, map[string]string{"won": "dispute-r:", "lost": "dispute-lost:"}[outcome])
	}
	t.Log("whole refund of", whole.OrderID)
	paidOut := e2etest.Control(t, system, "/_sandbox/payouts", map[string]any{"currency": "jpy"})
	e2etest.Control(t, system, "/_sandbox/payouts/"+paidOut+"/paid", map[string]any{})
	awaitEntry(t, system, "payout:"+paidOut)
	bounced := e2etest.Control(t, system, "/_sandbox/payouts", map[string]any{"currency": "usd"})
	e2etest.Control(t, system, "/_sandbox/payouts/"+bounced+"/paid", map[string]any{})
	awaitEntry(t, system, "payout:"+bounced) // one that is reported as failed first is never booked
	e2etest.Control(t, system, "/_sandbox/payouts/"+bounced+"/fail", map[string]any{})
	awaitEntry(t, system, "payout-fail:"+bounced)
	e2etest.Control(t, system, "/_sandbox/payouts", map[string]any{"currency": "kwd"}) // is on its way for days: no difference
	run := assertAgree(t, system)
	if run.GetOrderLineCount() < 17 || run.GetLedgerTransactionCount() < 25 || run.GetStripeTransactionCount() < 17 {
		t.Errorf("too little was read: %v", run)
	}
}

// TestReconcileFindsMistakes makes mistakes of each kind. Each is reported once, with its cause, and nothing else is; it
// closes when it is mended, and stays closed when somebody has resolved it.
func TestReconcileFindsMistakes(t *testing.T) {
	t.Parallel()
	m := e2etest.NewCluster(t, 2, e2etest.OnDemand)
	p := newPlant(t, m)
	var sold []client.Order
	for range 13 {
		sold = append(sold, e2etest.SellIn(t, p.client, "EUR", 4450))
	}
	sell := func() client.Order {
		o := sold[0]
		sold = sold[1:]
		return o
	}
	unbooked, imagined := refundPart(t, p.client, sell(), "EUR", 500), refundPart(t, p.client, sell(), "EUR", 700)
	e2etest.SellIn(t, p.client, "JPY", 5000)     // stays as it is
	e2etest.AwaitIdle(t, p.client, idle.Scope{}) // a webhook on its way would mend a mistake
	assertAgree(t, p.client)
	mistakes := append([]mistake{
		p.postingMissing(sell()), p.postingExtra(sell()), p.capturedTwice(sell()), p.amountWrong(sell()), p.currencyWrong(sell()),
		p.orderWithoutPosting(sell()), p.postingWithoutOrder(), p.feeMissing(sell()),
		p.refundMissingInLedger(unbooked), p.stripeUnknown(), p.orderMoreThanStripe(sell()),
		p.orderWrong(sell()), p.copyDiffers(sell()), p.copyMissing(sell()),
	}, p.refundMissingAtStripe(imagined)...)
	_, open := reconcile(t, p.client)
	assertMistakes(t, open, mistakes)
	run, again := reconcile(t, p.client)
	if len(again) != len(open) || run.GetOpenedCount() != 0 || run.GetDifferenceCount() != int64(len(mistakes)) {
		t.Errorf("a second run opened %d and counts %d of %d", run.GetOpenedCount(), run.GetDifferenceCount(), len(mistakes))
	}
	assertAlerts(t, p.copies, len(mistakes), 0)
	resolved := open[0]
	resolveDifference(t, p.client, resolved)
	for _, x := range mistakes {
		if x.subject != resolved.GetSubject() {
			x.mend()
		}
	}
	run, open = reconcile(t, p.client)
	for _, d := range open {
		t.Errorf("still open after it was mended: %s", shown(d))
	}
	if run.GetClosedCount() != int64(len(mistakes)-1) {
		t.Errorf("%d differences closed by themselves, want %d", run.GetClosedCount(), len(mistakes)-1)
	}
	assertAlerts(t, p.copies, 0, len(mistakes))
}

func assertMistakes(t *testing.T, open []*ledgerv1.Difference, mistakes []mistake) {
	t.Helper()
	amount := func(m *moneyv1.Money) string {
		if m == nil {
			return ""
		}
		return fmt.Sprintf("%d %s", m.GetMinorUnits(), m.GetCurrency())
	}
	for _, x := range mistakes {
		i := slices.IndexFunc(open, func(d *ledgerv1.Difference) bool { return d.GetSubject() == x.subject })
		if i < 0 {
			t.Errorf("%v %s was not found", x.kind, x.subject)
			continue
		}
		d := open[i]
		if d.GetKind() != x.kind || amount(d.GetExpected()) != x.expected || amount(d.GetFound()) != x.found || !strings.Contains(d.GetSuggestedCause(), x.cause) {
			t.Errorf("want %v %s, expected %q, found %q, because %q; got %s", x.kind, x.subject, x.expected, x.found, x.cause, shown(d))
		}
	}
	for _, d := range open {
		if !slices.ContainsFunc(mistakes, func(x mistake) bool { return x.subject == d.GetSubject() }) {
			t.Errorf("false alarm: %s", shown(d))
		}
	}
	if len(open) != len(mistakes) {
		t.Errorf("%d differences for %d mistakes", len(open), len(mistakes))
	}
}

// assertAlerts counts alerts of differences that are open and those that are closed.
func assertAlerts(t *testing.T, conn *pgx.Conn, open, closed int) {
	t.Helper()
	var gotOpen, gotClosed int
	err := conn.QueryRow(e2etest.Within(t, time.Minute), `select count(*) filter (where resolved_time is null), count(resolved_time)
		from alerts where kind = 'reconcile_difference'`).Scan(&gotOpen, &gotClosed)
	if err != nil {
		t.Fatal(err)
	}
	if gotOpen != open || gotClosed != closed {
		t.Errorf("%d alerts are open and %d closed, want %d and %d", gotOpen, gotClosed, open, closed)
	}
}

// resolveDifference closes a difference by hand, twice with one key.
func resolveDifference(t *testing.T, system *client.Client, d *ledgerv1.Difference) {
	t.Helper()
	ctx := rpc.WithIdempotencyKey(e2etest.Within(t, time.Minute), client.NewKey())
	for range 2 {
		res, err := system.Books.ResolveDifference(ctx, &ledgerv1.ResolveDifferenceRequest{DifferenceId: d.GetId(), Reason: "agreed with the bank"})
		if err != nil {
			t.Fatal(err)
		}
		got := res.GetDifference()
		if got.GetState() != ledgerv1.DifferenceState_DIFFERENCE_STATE_RESOLVED || got.GetResolvedBy() == "" || got.GetResolveReason() != "agreed with the bank" ||
			got.GetResolveTime() == nil {
			t.Errorf("after resolving: %v", got)
		}
	}
}
