package reconcile

import (
	"math/big"
	"net/http"
	"testing"
	"time"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/devenv/idle"
	"github.com/dayof/dayof/e2e/e2etest"
)

// TestFailedDebitCostsItsFee has a debit fail days later, for which Stripe keeps a fee, and the buyer pays by card then. The books have
// both fees, and nothing else of the debit; reconciliation agrees.
func TestFailedDebitCostsItsFee(t *testing.T) {
	t.Parallel()
	m := e2etest.NewCluster(t, 1, e2etest.OnDemand)
	system := client.NewClient(m.File)
	if _, err := system.Stripe.Control(e2etest.Within(t, time.Minute), http.MethodPatch, "/_sandbox/settings", map[string]any{
		"failed_payment_fee_minor_units": 350,
	}); err != nil {
		t.Fatal(err)
	}
	cart := e2etest.Start(t, system, e2etest.NewVariant(t, system, 8900, 10), 1)
	intent := "/_sandbox/payment_intents/" + cart.IntentID
	costs := func() *big.Int {
		e2etest.AwaitIdle(t, system, idle.Scope{})
		return orZero(volumes(t, system)["platform:costs:stripe_fees"]["EUR/2"])
	}
	e2etest.Control(t, system, intent+"/confirm", map[string]any{"iban": "DE89370400440532013000"})
	e2etest.Control(t, system, intent+"/settle", map[string]any{"succeeded": false})
	if got := costs(); got.Int64() != -350 {
		t.Errorf("the debit that failed costs %s, want 350", got)
	}
	assertAgree(t, system)
	e2etest.Control(t, system, intent+"/confirm", map[string]any{"payment_method": "pm_card_visa"})
	e2etest.Await(t, system, cart.OrderID, "completed", e2etest.Completed)
	if got := costs(); got.Int64() != -350-(8900*150+5000)/10000-25 {
		t.Errorf("both payments cost %s", got)
	}
	assertAgree(t, system)
	e2etest.AssertClean(t, m)
}
