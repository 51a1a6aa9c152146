package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/rpc"
	"github.com/dayof/dayof/internal/dev"
)

// onDemand lets runs begin only when a test asks for them, and shortens the second look.
var onDemand = map[string]string{"DAYOF_LEDGER_RECONCILE_INTERVAL": "0s", "DAYOF_LEDGER_RECONCILE_SECOND_LOOK": "300ms"}

// reconcile compares everything until now and returns what is open.
func reconcile(t *testing.T, client *dev.Client) (*ledgerv1.Run, []*ledgerv1.Difference) {
	t.Helper()
	run, open, err := client.Reconcile(within(t, 2*time.Minute), &ledgerv1.StartReconciliationRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return run, open
}

// assertAgree fails the test unless nothing differs.
func assertAgree(t *testing.T, client *dev.Client) *ledgerv1.Run {
	t.Helper()
	run, open := reconcile(t, client)
	for _, d := range open {
		t.Errorf("false alarm: %s", shown(d))
	}
	return run
}

func shown(d *ledgerv1.Difference) string {
	return fmt.Sprintf("%v %s of order %q: expected %v, found %v (%s): %s", d.GetKind(), d.GetSubject(), d.GetOrderId(), d.GetExpected(), d.GetFound(),
		d.GetSides(), d.GetSuggestedCause())
}

// sellIn sells one ticket in a currency and waits until its fee is booked.
func sellIn(t *testing.T, client *dev.Client, currency string, price int64) dev.Order {
	t.Helper()
	ctx := within(t, 2*time.Minute)
	event, err := client.Seed(ctx, clock.System{}.Now())
	if err != nil {
		t.Fatal(err)
	}
	variant, err := client.CreateVariant(ctx, "e2e/"+dev.NewKey(), event.GetId(), "Standing", "Floor", 10, &checkoutv1.VariantVersion{
		Price: &moneyv1.Money{Currency: currency, MinorUnits: price}, ApplicationFeeMinorUnits: price / 20, TaxMinorUnits: price / 10,
		TaxCountry: "DE", TaxKind: "vat",
	})
	if err != nil {
		t.Fatal(err)
	}
	sale, err := client.Sell(ctx, dev.Purchase{VariantID: variant.GetId(), Tickets: 1, Via: dev.ViaBoth})
	if err != nil {
		t.Fatal(err)
	}
	o, err := client.AwaitFee(ctx, sale.OrderID)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// refundPart sends part of an order's money back and waits until it is booked.
func refundPart(t *testing.T, client *dev.Client, o dev.Order, currency string, amount int64) dev.Order {
	t.Helper()
	ctx := within(t, time.Minute)
	_, err := client.Orders.RefundOrder(rpc.WithIdempotencyKey(ctx, dev.NewKey()), &checkoutv1.RefundOrderRequest{
		OrderId: o.OrderID, Amount: &moneyv1.Money{Currency: currency, MinorUnits: amount}, Note: "reconcile",
	})
	if err != nil {
		t.Fatal(err)
	}
	return awaitEntries(t, client, o.OrderID, "refund:")
}

// control drives sandbox Stripe and returns the id of what it answers.
func control(t *testing.T, client *dev.Client, path string, body any) string {
	t.Helper()
	answer, err := client.Stripe.Control(within(t, time.Minute), http.MethodPost, path, body)
	if err != nil {
		t.Fatal(err)
	}
	var named struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(answer, &named); err != nil {
		t.Fatalf("%s answers %s: %v", path, answer, err)
	}
	return named.ID
}

// TestReconcileAgrees sells, refunds, loses and wins disputes, and pays out, in several currencies: nothing differs.
func TestReconcileAgrees(t *testing.T) {
	t.Parallel()
	m := newMesh(t, 2, onDemand)
	client := dev.NewClient(m.File)
	prices := map[string]int64{"EUR": 4450, "USD": 2999, "JPY": 5000, "KWD": 12340}
	for currency, price := range prices {
		refundPart(t, client, sellIn(t, client, currency, price), currency, price/10*4)
		sellIn(t, client, currency, price)
	}
	whole := refundPart(t, client, sellIn(t, client, "EUR", 4450), "EUR", 4450)
	failed := refundPart(t, client, sellIn(t, client, "EUR", 4450), "EUR", 1000)
	control(t, client, "/_sandbox/refunds/"+failed.Payment.Refunds[0].StripeRefundID+"/fail", map[string]any{})
	awaitEntries(t, client, failed.OrderID, "refund-fail:")
	for _, outcome := range []string{"won", "lost"} {
		o := sellIn(t, client, "USD", 2999)
		dispute := control(t, client, "/_sandbox/disputes", map[string]any{"payment_intent": o.Payment.PayingIntentID})
		awaitEntries(t, client, o.OrderID, "dispute-w:")
		control(t, client, "/_sandbox/disputes/"+dispute+"/close", map[string]any{"status": outcome})
		awaitEntries(t, client, o.OrderID, map[string]string{"won": "dispute-r:", "lost": "dispute-lost:"}[outcome])
	}
	t.Log("whole refund of", whole.OrderID)
	run := assertAgree(t, client)
	if run.GetOrderLineCount() < 17 || run.GetLedgerTransactionCount() < 25 || run.GetStripeTransactionCount() < 17 {
		t.Errorf("too little was read: %v", run)
	}
}
