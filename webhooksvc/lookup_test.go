package webhooksvc

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"buf.build/go/protovalidate"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/internal/chassis/config"
)

// stripeObjects is as much of Stripe's API as look-ups use: objects by path, and lists of balance transactions.
type stripeObjects struct {
	mu       sync.Mutex
	objects  map[string]string // by "account path"; the platform's account is empty
	payouts  map[string][]payoutTransaction
	status   int // of all answers; 0: as it is
	requests int
}

func newStripeObjects(t *testing.T) (*stripeObjects, func(*Config, *Deps)) {
	t.Helper()
	o := &stripeObjects{objects: map[string]string{}, payouts: map[string][]payoutTransaction{}}
	server := httptest.NewServer(o)
	t.Cleanup(server.Close)
	return o, func(c *Config, _ *Deps) { c.StripeURL, c.StripeKey = server.URL, config.NewSecret("sk_test_lookup") }
}

func (o *stripeObjects) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if r.URL.Path == "/v1/events" {
		_, _ = w.Write([]byte(`{"object":"list","data":[],"has_more":false}`))
		return
	}
	o.requests++
	account := r.Header.Get("Stripe-Account")
	body, known := o.objects[account+" "+r.URL.Path]
	switch {
	case o.status != 0:
		w.WriteHeader(o.status)
		_, _ = fmt.Fprintf(w, `{"error":{"type":"api_error","message":"planned"}}`)
	case r.URL.Path == "/v1/balance_transactions":
		o.page(w, account, r.URL.Query().Get("payout"), r.URL.Query().Get("starting_after"))
	case !known:
		w.WriteHeader(http.StatusNotFound)
		_, _ = fmt.Fprintf(w, `{"error":{"type":"invalid_request_error","code":"resource_missing"}}`)
	default:
		_, _ = w.Write([]byte(body))
	}
}

// page gives two transactions at a time, so that sums go over several pages.
func (o *stripeObjects) page(w http.ResponseWriter, account, payoutID, after string) {
	all := o.payouts[account+" "+payoutID]
	start := 0
	for i, t := range all {
		if t.ID == after {
			start = i + 1
		}
	}
	end := min(start+2, len(all))
	_ = json.NewEncoder(w).Encode(map[string]any{"object": "list", "data": all[start:end], "has_more": end < len(all)})
}

func (o *stripeObjects) answer(status int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.status = status
}

// asked are the requests of one kind that the peers got, the latest of each.
func asked[T any](w *harness) []T {
	var found []T
	for _, c := range w.peers.got() {
		if request, ok := c.request.(T); ok {
			found = append(found, request)
		}
	}
	return found
}

// TestPayoutOfUnknownAccount deferrals a payout until somebody says whose account it is.
func TestPayoutOfUnknownAccount(t *testing.T) {
	t.Parallel()
	w := newHarness(t, nil)
	body := func(id string) []byte {
		event := eventBody(id, "payout.paid", `{"id":"po_1","object":"payout","amount":100,"created":1764000000,"currency":"eur","status":"paid"}`)
		return []byte(strings.Replace(string(event), `"object": "event",`, `"object": "event", "account": "acct_1",`, 1))
	}
	w.deliver(t, "/webhooks/stripe/connect", connectSecret, body("evt_1")).must(t)
	state := func() string {
		var state string
		if err := w.pool.QueryRow(t.Context(), "SELECT state FROM webhook_events WHERE event_id = 'evt_1'").Scan(&state); err != nil {
			t.Fatal(err)
		}
		return state
	}
	await(t, "the payout to be deferred", func() bool { return state() == stateDeferred })
	if len(asked[*checkoutv1.RecordAccountRequest](w)) == 0 {
		t.Error("nobody fetched the account")
	}
	w.peers.link("acct_1", "organizer00000001")
	await(t, "the payout to be applied", func() bool { return state() == stateApplied })
	if got := asked[*ledgerv1.RecordPayoutRequest](w); len(got) != 1 || got[0].GetOrganizerId() != "organizer00000001" {
		t.Errorf("the ledger received %v", got)
	}
}

// TestApplicationFeeLooksUp finds the order's intent of a fee by its charge, and waits for a Stripe that is away.
func TestApplicationFeeLooksUp(t *testing.T) {
	t.Parallel()
	objects, change := newStripeObjects(t)
	w := newHarness(t, change)
	w.peers.link("acct_1", "organizer00000001")
	objects.objects["acct_1 /v1/charges/ch_1"] = `{"id":"ch_1","object":"charge","payment_intent":"pi_1","metadata":{"order_id":"ord_4DFJiRdPUPa5LD93"}}`
	fee := `{"id":"fee_1","object":"application_fee","account":"acct_1","amount":250,"amount_refunded":%d,"charge":"ch_1","created":1764000000,"currency":"eur"}`
	objects.objects[" /v1/application_fees/fee_1"] = fmt.Sprintf(fee, 100)
	objects.answer(http.StatusInternalServerError)
	w.deliver(t, "/webhooks/stripe", accountSecret, eventBody("evt_1", "application_fee.created", fmt.Sprintf(fee, 0))).must(t)
	await(t, "a try that found Stripe away", func() bool { return w.row(t, "evt_1").Attempts > 0 })
	if r := w.row(t, "evt_1"); r.State != stateReceived {
		t.Fatalf("state %s after a failure of Stripe's, want %s", r.State, stateReceived)
	}
	objects.answer(0)
	w.awaitState(t, "evt_1", stateApplied)
	w.deliver(t, "/webhooks/stripe", accountSecret, eventBody("evt_2", "application_fee.refund.updated",
		`{"id":"fr_1","object":"fee_refund","amount":100,"fee":"fee_1"}`)).must(t)
	w.awaitState(t, "evt_2", stateApplied)
	got := asked[*ledgerv1.RecordApplicationFeeRequest](w)
	if len(got) != 2 || got[0].GetPaymentIntentId() != "pi_1" || got[0].GetRefundedMinorUnits() != 0 || got[1].GetRefundedMinorUnits() != 100 {
		t.Errorf("the ledger received %v", got)
	}
	w.deliver(t, "/webhooks/stripe", accountSecret, eventBody("evt_3", "application_fee.refund.updated",
		`{"id":"fr_2","object":"fee_refund","amount":100,"fee":"fee_gone"}`)).must(t)
	w.awaitState(t, "evt_3", stateDead)
}

// TestPayoutSum sums what a payout consists of over several pages, its own transaction left out, and raises an item only
// for one that differs.
func TestPayoutSum(t *testing.T) {
	t.Parallel()
	objects, change := newStripeObjects(t)
	w := newHarness(t, change)
	for _, id := range []string{"po_1", "po_2"} {
		objects.payouts[" "+id] = []payoutTransaction{
			{ID: "txn_1", Net: 5000}, {ID: "txn_2", Net: -400, Source: "re_1"}, {ID: "txn_3", Net: -4600, Source: reference(id)},
		}
	}
	for i, amount := range []int{4600, 4601} {
		w.deliver(t, "/webhooks/stripe", accountSecret, eventBody(fmt.Sprintf("evt_%d", i+1), "payout.reconciliation_completed",
			fmt.Sprintf(`{"id":"po_%d","object":"payout","amount":%d,"created":1764000000,"currency":"eur","status":"paid"}`, i+1, amount))).must(t)
		w.awaitState(t, fmt.Sprintf("evt_%d", i+1), stateApplied)
	}
	for _, r := range asked[*ledgerv1.RecordPayoutTransactionsRequest](w) {
		if r.GetTransactionCount() != 2 || r.GetNetMinorUnits() != 4600 {
			t.Errorf("summed %v, want 2 transactions of 4600", r)
		}
	}
	items := asked[*checkoutv1.RaiseReviewCaseRequest](w)
	if len(items) != 1 || items[0].GetSubject() != "po_2" || items[0].GetFacts()["difference_minor_units"] != "-1" {
		t.Errorf("items %v, want one for po_2", items)
	}
	if len(items) == 1 {
		if err := protovalidate.Validate(items[0]); err != nil {
			t.Error(err)
		}
	}
}

// TestLookupsWithoutKey ends events that need Stripe where nobody may ask it.
func TestLookupsWithoutKey(t *testing.T) {
	t.Parallel()
	w := newHarness(t, nil)
	w.deliver(t, "/webhooks/stripe", accountSecret, eventBody("evt_1", "payout.reconciliation_completed",
		`{"id":"po_1","object":"payout","amount":100,"created":1764000000,"currency":"eur"}`)).must(t)
	if r := w.awaitState(t, "evt_1", stateDead); !strings.Contains(r.Error, "DAYOF_STRIPE_KEY") {
		t.Errorf("dead because of %q", r.Error)
	}
	// A warning that names only a charge goes out as it is: the receiver may know the charge.
	w.deliver(t, "/webhooks/stripe", accountSecret, eventBody("evt_2", "radar.early_fraud_warning.created",
		`{"id":"issfr_1","object":"radar.early_fraud_warning","charge":"ch_1","actionable":true,"livemode":false}`)).must(t)
	w.awaitState(t, "evt_2", stateApplied)
}

// TestOddObjects gives every type of the matrix objects that Stripe should not send: nothing panics, and what is asked of
// the receivers is never more than they refuse by themselves.
func TestOddObjects(t *testing.T) {
	t.Parallel()
	shapes := []string{
		`{}`, `null`, `[]`, `"po_1"`, `7`, `{"id":"x_1"}`, `{"id":null,"amount":null}`,
		`{"id":"x_1","object":"x","account":null,"amount":null,"amount_refunded":null,"charge":null,"created":null,"currency":null,"metadata":null,"fee":null,
			"payment_intent":null,"status":null,"destination":null,"reversals":null,"balance_transactions":null,"evidence_details":null,"actionable":null,"open":null}`,
		`{"id":"x_1","account":{"id":7},"charge":[],"payment_intent":{"object":"payment_intent"},"currency":["eur"],"status":{"a":1},"metadata":"none",
			"destination":{},"fee":{"id":null},"fraud_type":{},"closed_reason":[]}`,
		`{"id":"x_1","amount":9007199254740993,"amount_refunded":9223372036854775807,"currency":"xxx","charge":"ch_1","account":"acct_1","fee":"fee_1",
			"created":-62135596801,"payment_intent":"pi_1","destination":"acct_1","status":"of_a_later_version","open":true,"actionable":true}`,
		`{"id":"x_1","amount":1.5}`, `{"id":"x_1","created":"yesterday"}`, `{"id":"x_1","open":"yes","actionable":"no"}`,
	}
	handlers := handlersByType()
	for eventType := range handlers {
		for _, object := range shapes {
			for _, account := range []string{"", "acct_1"} {
				body := fmt.Sprintf(`{"id":"evt_1","object":"event","created":1764000000,"account":%q,"type":%q,"livemode":false,"data":{"object":%s}}`, account, eventType, object)
				e, err := decodeEvent([]byte(body))
				if err != nil {
					t.Fatalf("%s: %v", body, err)
				}
				result, err := interpret(e, handlers, false)
				if err != nil {
					continue // dead, with an alert
				}
				for _, c := range result.calls {
					if c.prepare == nil {
						continue
					}
					if err := c.prepare(t.Context(), knownLookups()); err != nil && !errors.Is(err, errNoOrganizer) && !errors.Is(err, errNotAtStripe) {
						t.Errorf("%s of %s: %v", eventType, object, err)
					}
				}
			}
		}
	}
}
