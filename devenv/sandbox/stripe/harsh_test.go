package stripe_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	stripego "github.com/stripe/stripe-go/v76"

	"github.com/dayof/dayof/devenv/sandbox/stripe"
)

// A charge is settled in another currency where the balance is kept in it, and what happens to it later at the rate of another day.
func TestSettlementInAnotherCurrency(t *testing.T) {
	t.Parallel()
	sb := newSandbox(t)
	sb.control("PATCH", "settings", map[string]any{
		"settlement_currency": "usd", "settlement_rate_ppm": 1_100_000, "settlement_return_rate_ppm": 1_200_000,
	}, 200)
	pi := sb.paid("pm_card_visa") // 89.00 EUR
	bt := pi.LatestCharge.BalanceTransaction
	if bt.Currency != "usd" || bt.Amount != 9790 || bt.ExchangeRate != 1.1 || bt.Net != bt.Amount-bt.Fee || bt.FeeDetails[0].Currency != "usd" {
		t.Errorf("the charge is settled as %+v", bt)
	}
	sb.control("PATCH", "settings", map[string]any{"settlement_currency": ""}, 200) // what was settled in usd stays there
	params := &stripego.RefundParams{PaymentIntent: &pi.ID, Amount: stripego.Int64(1000)}
	params.AddExpand("balance_transaction")
	re, err := sb.api.Refunds.New(params)
	if err != nil {
		t.Fatal(err)
	}
	if bt := re.BalanceTransaction; bt.Currency != "usd" || bt.Amount != -1200 || bt.ExchangeRate != 1.2 || re.Currency != "eur" || re.Amount != 1000 {
		t.Errorf("the refund is settled as %+v", bt)
	}
	sb.control("POST", "refunds/"+re.ID+"/fail", map[string]any{}, 200)
	get := &stripego.RefundParams{}
	get.AddExpand("failure_balance_transaction")
	if re, err = sb.api.Refunds.Get(re.ID, get); err != nil || re.FailureBalanceTransaction.Amount != 1200 || re.FailureBalanceTransaction.Currency != "usd" {
		t.Errorf("the failure is settled as %+v: %v", re.FailureBalanceTransaction, err)
	}
	if re, err = sb.api.Refunds.Get(re.ID, nil); err != nil || re.FailureBalanceTransaction.Amount != 0 {
		t.Errorf("what one caller expanded, another sees expanded too: %+v, %v", re.FailureBalanceTransaction, err)
	}
	du := sb.control("POST", "disputes", map[string]any{"payment_intent": pi.ID, "amount": 5000}, 200)
	if first := fmt.Sprint(du["balance_transactions"]); !strings.Contains(first, "amount:-6000") || !strings.Contains(first, "currency:usd") {
		t.Errorf("the dispute is settled as %s", first)
	}
	other := sb.paid("pm_card_visa").LatestCharge.BalanceTransaction
	if other.Currency != "eur" || other.ExchangeRate != 0 {
		t.Errorf("a charge in the balance's own currency is settled as %+v", other)
	}
}

// A new object can be fetched at once, and is in lists a while later.
func TestListsLag(t *testing.T) {
	t.Parallel()
	sb := newSandbox(t)
	sb.control("PATCH", "settings", map[string]any{"list_lag_ms": 3000}, 200)
	pi := sb.paid("pm_card_visa")
	re, err := sb.api.Refunds.New(&stripego.RefundParams{PaymentIntent: &pi.ID})
	if err != nil {
		t.Fatal(err)
	}
	listed := func() bool {
		list := sb.api.Refunds.List(&stripego.RefundListParams{PaymentIntent: &pi.ID})
		return list.Next() && list.Refund().ID == re.ID
	}
	if _, err := sb.api.Refunds.Get(re.ID, nil); err != nil || listed() {
		t.Errorf("listed at once: %t, fetched: %v", listed(), err)
	}
	sb.clock.Advance(3 * time.Second)
	if !listed() {
		t.Error("not listed after three seconds")
	}
}

// Calls that change one payment wait for each other, and not for long; what was refused is not kept under its key.
func TestLockTimeout(t *testing.T) {
	t.Parallel()
	sb := newSandbox(t, func(c *stripe.Config) { c.LatencyMS = 30 })
	pi := sb.newIntent()
	key := func(k string) http.Header { return http.Header{"Idempotency-Key": {k}} }
	atOnce := func(form string) (granted, refused int) {
		var mu sync.Mutex
		var wg sync.WaitGroup
		for n := range 6 {
			wg.Go(func() {
				res, body := sb.raw("POST", "/v1/payment_intents/"+pi.ID, form, key(fmt.Sprint(form, n)))
				mu.Lock()
				defer mu.Unlock()
				switch {
				case res.StatusCode == 200:
					granted++
				case res.StatusCode == 429 && strings.Contains(body, `"code": "lock_timeout"`):
					refused++
				default:
					t.Errorf("status %d: %s", res.StatusCode, body)
				}
			})
		}
		wg.Wait()
		return granted, refused
	}
	if granted, refused := atOnce("description=patient"); granted != 6 || refused != 0 {
		t.Errorf("%d granted and %d refused within the time that they wait", granted, refused)
	}
	sb.control("PATCH", "settings", map[string]any{"lock_timeout_ms": 1}, 200)
	hasty := "description=hasty"
	sb.eventually("a call is refused", func() bool { _, refused := atOnce(hasty); return refused > 0 })
	for n := range 6 {
		if res, body := sb.raw("POST", "/v1/payment_intents/"+pi.ID, hasty, key(fmt.Sprint(hasty, n))); res.StatusCode != 200 {
			t.Errorf("the key of a refused call is burnt: %d %s", res.StatusCode, body)
		}
	}
}

// A refund that waits for the buyer, who never acts, is canceled, and the money is back.
func TestRefundThatNobodyCollects(t *testing.T) {
	t.Parallel()
	sb := newSandbox(t)
	pi := sb.paid("pm_card_pendingRefund")
	re, err := sb.api.Refunds.New(&stripego.RefundParams{PaymentIntent: &pi.ID})
	if err != nil {
		t.Fatal(err)
	}
	if got := sb.control("POST", "refunds/"+re.ID+"/require_action", nil, 200); got["status"] != "requires_action" {
		t.Errorf("it is %v", got["status"])
	}
	sb.control("POST", "refunds/"+re.ID+"/succeed", nil, 400)
	if got := sb.control("POST", "refunds/"+re.ID+"/cancel", nil, 200); got["status"] != "canceled" || got["failure_balance_transaction"] == nil {
		t.Errorf("it is %v, and what came back is %v", got["status"], got["failure_balance_transaction"])
	}
	sb.control("POST", "refunds/"+re.ID+"/require_action", nil, 400)
	if ch := sb.intent(pi.ID).LatestCharge; ch.AmountRefunded != 0 {
		t.Errorf("the charge still shows %d refunded", ch.AmountRefunded)
	}
	sb.settled()
	wantTypes(t, sb.account, "payment_intent.created", "charge.succeeded", "payment_intent.succeeded", "refund.created", "charge.refunded",
		"refund.updated", "charge.refund.updated", "refund.updated", "charge.refund.updated")
}

// An account whose bank may not be debited refunds no more than is available.
func TestBalanceInsufficient(t *testing.T) {
	t.Parallel()
	sb := newSandbox(t)
	sb.control("PATCH", "settings", map[string]any{"refunds_need_balance": true}, 200)
	pi := sb.paid("pm_card_visa")
	_, err := sb.api.Refunds.New(&stripego.RefundParams{PaymentIntent: &pi.ID})
	refusal(t, err, 400, stripego.ErrorTypeInvalidRequest, stripego.ErrorCodeBalanceInsufficient)
	sb.clock.Advance(3 * 24 * time.Hour)
	if _, err := sb.api.Refunds.New(&stripego.RefundParams{PaymentIntent: &pi.ID, Amount: stripego.Int64(1000)}); err != nil {
		t.Errorf("with money that is available: %v", err)
	}
}
