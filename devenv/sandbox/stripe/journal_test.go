package stripe_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	stripego "github.com/stripe/stripe-go/v76"
)

// A sandbox that was killed continues: objects, keys and deliveries that were owed.
func TestJournal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := newSandbox(t, withJournal(dir))
	first.control("PUT", "accounts/"+organiser, nil, 200)
	paid := first.paid("pm_card_bypassPending")
	payout := first.control("POST", "payouts", nil, 200)
	key := http.Header{"Idempotency-Key": {"order:1:pi:v1"}}
	_, made := first.raw("POST", "/v1/payment_intents", "amount=500&currency=eur", key)
	direct := first.newIntent(func(p *stripego.PaymentIntentParams) { p.SetStripeAccount(organiser) })
	first.settled()
	first.account.mu.Lock()
	first.account.fail = func(int) int { return 503 }
	first.account.mu.Unlock()
	owed := first.newIntent()
	// No Close: what a kill leaves is the file as it is now, here with a torn last line.
	journal := filepath.Join(dir, "stripe.jsonl")
	raw, err := os.ReadFile(journal)
	if err != nil {
		t.Fatalf("read journal: %v", err)
	}
	after := t.TempDir()
	if err := os.WriteFile(filepath.Join(after, "stripe.jsonl"), append(raw, `{"changes":[{"born":9`...), 0o600); err != nil {
		t.Fatalf("copy journal: %v", err)
	}

	second := newSandbox(t, withJournal(after))
	second.settled()
	wantTypes(t, second.account, "payment_intent.created") // the one that was owed, and no other again
	if ev := second.account.event(t, "payment_intent.created"); ev.Data.Object["id"] != owed.ID {
		t.Fatalf("delivered %v, owed %s", ev.Data.Object["id"], owed.ID)
	}
	if got := second.intent(paid.ID); got.Status != "succeeded" || got.LatestCharge.BalanceTransaction.Net != 8741 {
		t.Fatalf("paid intent after the restart: %+v", got)
	}
	if res, body := second.raw("POST", "/v1/payment_intents", "amount=500&currency=eur", key); body != made || res.Header.Get("Idempotent-Replayed") != "true" {
		t.Fatalf("the key was forgotten: %s", body)
	}
	params := &stripego.PaymentIntentParams{}
	params.SetStripeAccount(organiser)
	if _, err := second.api.PaymentIntents.Get(direct.ID, params); err != nil {
		t.Fatalf("intent of the account: %v", err)
	}
	id := idOf(payout)
	count := 0
	for it := second.api.BalanceTransactions.List(&stripego.BalanceTransactionListParams{Payout: &id}); it.Next(); {
		count++
	}
	if count != 2 {
		t.Fatalf("%d transactions in the payout after the restart, want the charge and the payout", count)
	}
	if fresh := second.newIntent(); fresh.ID == paid.ID || fresh.ID == owed.ID {
		t.Fatal("the restart made an id twice")
	}
	var newest []string
	for it := second.api.PaymentIntents.List(&stripego.PaymentIntentListParams{}); it.Next(); {
		newest = append(newest, it.PaymentIntent().ID)
	}
	if len(newest) != 4 || newest[1] != owed.ID || newest[3] != paid.ID {
		t.Fatalf("order of creation after the restart: %v", newest)
	}
}

// Loading is what the replay of scenarios does: the objects read as they were given, and what they name by id is there.
func TestLoad(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	sb := newSandbox(t, withJournal(dir))
	const charge = `{"id":"ch_loaded","object":"charge","amount":8900,"amount_captured":8900,"amount_refunded":0,"balance_transaction":"txn_loaded",` +
		`"captured":true,"created":1764000000,"currency":"eur","status":"succeeded","paid":true,"payment_intent":"pi_loaded","from_the_future":{"x":1},"metadata":{}}`
	const intent = `{"id":"pi_loaded","object":"payment_intent","amount":8900,"amount_received":8900,"currency":"eur","created":1764000000,` +
		`"latest_charge":"ch_loaded","status":"succeeded","payment_method_types":["card"],"metadata":{"order_id":"ord_1"},"livemode":true}`
	sb.controlRaw("PUT", "objects/ch_loaded", []byte(charge), 200)
	sb.controlRaw("PUT", "objects/pi_loaded", []byte(intent), 200)
	if _, body := sb.raw("GET", "/v1/charges/ch_loaded", "", nil); !strings.Contains(body, "from_the_future") {
		t.Fatalf("not verbatim: %s", body)
	}
	if pi := sb.intent("pi_loaded"); pi.LatestCharge.BalanceTransaction.Fee != 159 || !pi.Livemode || pi.Metadata["order_id"] != "ord_1" {
		t.Fatalf("loaded intent: %+v", pi)
	}
	if re, err := sb.api.Refunds.New(&stripego.RefundParams{PaymentIntent: new("pi_loaded"), Amount: stripego.Int64(100)}); err != nil || re.Status != "succeeded" {
		t.Fatalf("refund of a loaded charge: %v", err)
	}
	sb.controlRaw("PUT", "objects/issfr_1?account="+organiser, []byte(`{"id":"issfr_1","object":"radar.early_fraud_warning","charge":"ch_loaded"}`), 200)
	if res, body := sb.raw("GET", "/v1/radar/early_fraud_warnings/issfr_1", "", http.Header{"Stripe-Account": {organiser}}); res.StatusCode != 200 {
		t.Fatalf("warning of the account: %d %s", res.StatusCode, body)
	}
	for body, want := range map[string]int{`{"id":"ch_other","object":"charge"}`: 400, `{"object":"charge"}`: 400, `nonsense`: 400, `{"id":"ch_1","object":"charge","amount":"x"}`: 400} {
		sb.controlRaw("PUT", "objects/ch_1", []byte(body), want)
	}
	sb.settled()
	wantTypes(t, sb.account, "refund.created", "charge.refunded") // loading itself sends no event
	again := newSandbox(t, withJournal(dir))
	if pi := again.intent("pi_loaded"); pi.LatestCharge.AmountRefunded != 100 {
		t.Fatalf("after a restart: %+v", pi.LatestCharge)
	}
}
