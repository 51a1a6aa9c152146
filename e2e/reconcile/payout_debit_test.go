package reconcile

import (
	"testing"
	"time"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/devenv/idle"
	"github.com/dayof/dayof/e2e/e2etest"
	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/internal/chassis/clock"
)

// TestPayoutThatDebitsTheBank reports payouts of negative amounts: they are booked the other way round, and back when they fail,
// and books, orders and Stripe agree.
func TestPayoutThatDebitsTheBank(t *testing.T) {
	t.Parallel()
	m := e2etest.NewCluster(t, 1, nil)
	system := client.NewClient(m.File)
	now := clock.System{}.Now().Unix()
	payout := func(id, status string) e2etest.Resource {
		return e2etest.Resource{
			"id": id, "object": "payout", "amount": -5000, "currency": "eur", "created": now, "arrival_date": now, "status": status, "livemode": false,
			"automatic": true, "destination": "ba_bank", "metadata": map[string]any{}, "balance_transaction": "txn_" + id,
		}
	}
	txn := func(id, kind, source string, amount int64) e2etest.Resource {
		return e2etest.Resource{
			"id": id, "object": "balance_transaction", "amount": amount, "currency": "eur", "fee": 0, "net": amount, "created": now, "available_on": now,
			"type": kind, "status": "available", "source": source, "fee_details": []any{},
		}
	}
	paid, failed := payout("po_debit"+client.NewKey(), "paid"), payout("po_bounced"+client.NewKey(), "failed")
	failed["failure_balance_transaction"] = "txn_back"
	e2etest.Load(t, system, paid, failed, txn("txn_"+paid.ID(), "payout", paid.ID(), 5000), txn("txn_"+failed.ID(), "payout", failed.ID(), 5000),
		txn("txn_back", "payout_failure", failed.ID(), -5000))
	e2etest.PostEvent(t, system, "payout.paid", paid)
	e2etest.PostEvent(t, system, "payout.paid", failed)
	e2etest.AwaitIdle(t, system, idle.Scope{})
	e2etest.PostEvent(t, system, "payout.failed", failed)
	e2etest.AwaitIdle(t, system, idle.Scope{})
	for reference, source := range map[string]string{
		"payout:" + paid.ID(): "", "payout:" + failed.ID(): "", "payout-fail:" + failed.ID(): "bank:platform:ba_bank",
	} {
		res, err := system.Statements.GetEntry(e2etest.Within(t, 10*time.Second), &ledgerv1.GetEntryRequest{Reference: reference})
		if err != nil {
			t.Fatalf("%s: %v", reference, err)
		}
		p := res.GetEntry().GetPostings()[0]
		if p.GetAmount() != "5000" || source != "" && p.GetSource() != source || source == "" && p.GetDestination() != "bank:platform:ba_bank" {
			t.Errorf("%s is %v", reference, p)
		}
	}
	assertAgree(t, system)
	e2etest.AssertClean(t, m)
}
