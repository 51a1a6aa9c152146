package refund

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/devenv/idle"
	"github.com/dayof/dayof/devenv/invariant"
	"github.com/dayof/dayof/e2e/e2etest"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
)

// TestRefundAfterTaxesWereRemitted refunds an order whose tax finance has remitted and whose revenue was drawn, both posted at the ledger
// itself: the money leaves at Stripe, and it is booked, with what is lacking as a receivable and a cost.
func TestRefundAfterTaxesWereRemitted(t *testing.T) {
	t.Parallel()
	m := e2etest.NewCluster(t, 1, map[string]string{"DAYOF_CHECKOUT_REFUND_APPLICATION_FEE": "true"})
	system := client.NewClient(m.File)
	sale, err := system.Sell(e2etest.Within(t, time.Minute), client.Purchase{VariantID: e2etest.NewVariant(t, system, 4450, 10).GetId(), Tickets: 1, Via: client.ViaBoth})
	if err != nil {
		t.Fatal(err)
	}
	e2etest.AwaitIdle(t, system, idle.Scope{})
	for _, p := range e2etest.Order(t, system, sale.OrderID).Postings {
		switch {
		case p.Destination == "taxes:de:vat":
			remit(t, system, "remittance:vat", p.Destination, 100) // of 120
		case strings.HasPrefix(p.Destination, "platform:revenue:"):
			remit(t, system, "remittance:revenue", p.Destination, 250) // all
		}
	}
	if _, err := system.Orders.RefundOrder(e2etest.Keyed(e2etest.Within(t, time.Minute)), &checkoutv1.RefundOrderRequest{OrderId: sale.OrderID}); err != nil {
		t.Fatal(err)
	}
	o := e2etest.AwaitEntries(t, system, sale.OrderID, "refund:")
	e2etest.AwaitIdle(t, system, idle.Scope{})
	got := map[string]string{}
	for _, p := range o.Postings {
		if strings.HasPrefix(p.Reference, "refund:") {
			got[p.Source] = string(p.Amount)
		}
	}
	for source, amount := range map[string]string{"taxes:de:vat": "20", "taxes:de:vat:receivable": "100", "platform:costs:application_fees": "250"} {
		if got[source] != amount {
			t.Errorf("%s gave %q back, want %s; the refund is %v", source, got[source], amount, got)
		}
	}
	results, err := invariant.Run(e2etest.Within(t, time.Minute), m.File)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		for _, v := range r.Violations {
			if !strings.Contains(v, "no copy of remittance:") { // finance's own entries are not ours
				t.Errorf("violation of %s: %s", r.Name, v)
			}
		}
	}
}

// remit posts at the ledger that finance paid out of an account.
func remit(t *testing.T, system *client.Client, reference, account string, amount int64) {
	t.Helper()
	body, err := json.Marshal(map[string]any{"reference": reference, "metadata": map[string]string{}, "postings": []any{
		map[string]any{"source": account, "destination": "bank:platform:finance", "asset": "EUR/2", "amount": amount},
	}})
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(e2etest.Within(t, time.Minute), http.MethodPost, system.File.Sandbox.LedgerAPI()+"/transactions", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		t.Fatalf("remit: %s", res.Status)
	}
}
