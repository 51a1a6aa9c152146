package stripe_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	stripego "github.com/stripe/stripe-go/v76"

	"github.com/dayof/dayof/devenv/sandbox/fault"
	"github.com/dayof/dayof/devenv/sandbox/stripe"
)

// reply is the head of an answer.
type reply struct {
	StatusCode int
	Header     http.Header
}

// raw calls the API without a client, to see headers and bytes.
func (sb *sandbox) raw(method, path, body string, header http.Header) (head reply, text string) {
	sb.t.Helper()
	req, err := http.NewRequestWithContext(context.WithoutCancel(sb.t.Context()), method, sb.url+path, strings.NewReader(body))
	if err != nil {
		sb.t.Fatalf("make request: %v", err)
	}
	req.Header.Set("Authorization", "Bearer sk_test_sandbox")
	maps.Copy(req.Header, header)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		sb.t.Fatalf("call: %v", err)
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		sb.t.Fatalf("read: %v", err)
	}
	return reply{StatusCode: res.StatusCode, Header: res.Header}, string(got)
}

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	const form = "amount=8900&currency=eur&metadata[order_id]=ord_1"
	key := func(k string) http.Header { return http.Header{"Idempotency-Key": {k}} }

	t.Run("a repeat gets the same bytes and makes nothing", func(t *testing.T) {
		t.Parallel()
		sb := newSandbox(t)
		res, first := sb.raw("POST", "/v1/payment_intents", form, key("order:1:pi:v1"))
		if res.StatusCode != 200 || res.Header.Get("Idempotent-Replayed") != "" {
			t.Fatalf("first: %d, replayed %q", res.StatusCode, res.Header.Get("Idempotent-Replayed"))
		}
		again, second := sb.raw("POST", "/v1/payment_intents", form, key("order:1:pi:v1"))
		if second != first || again.Header.Get("Idempotent-Replayed") != "true" || again.Header.Get("Original-Request") != res.Header.Get("Request-Id") {
			t.Fatalf("second: %v\n%s", again.Header, second)
		}
		if again.Header.Get("Request-Id") == res.Header.Get("Request-Id") {
			t.Fatal("two requests share an id")
		}
		sb.settled()
		wantTypes(t, sb.account, "payment_intent.created")
		if ev := sb.account.event(t, "payment_intent.created"); ev.Request.IdempotencyKey != "order:1:pi:v1" || ev.Request.ID != res.Header.Get("Request-Id") {
			t.Fatalf("the event names %+v", ev.Request)
		}
	})

	t.Run("other parameters or another endpoint are refused", func(t *testing.T) {
		t.Parallel()
		sb := newSandbox(t)
		sb.raw("POST", "/v1/payment_intents", form, key("k"))
		for _, c := range []struct{ path, form string }{{"/v1/payment_intents", "amount=8901&currency=eur"}, {"/v1/refunds", form}} {
			res, body := sb.raw("POST", c.path, c.form, key("k"))
			if res.StatusCode != 400 || !strings.Contains(body, `"type": "idempotency_error"`) {
				t.Errorf("%s %s: %d %s", c.path, c.form, res.StatusCode, body)
			}
		}
	})

	t.Run("a decline is stored, a bad parameter is not", func(t *testing.T) {
		t.Parallel()
		sb := newSandbox(t)
		declined := "amount=8900&currency=eur&confirm=true&payment_method=pm_card_visa_chargeDeclined&return_url=https://x.example"
		res, first := sb.raw("POST", "/v1/payment_intents", declined, key("declined"))
		again, second := sb.raw("POST", "/v1/payment_intents", declined, key("declined"))
		if res.StatusCode != 402 || again.StatusCode != 402 || first != second || again.Header.Get("Idempotent-Replayed") != "true" {
			t.Fatalf("decline: %d then %d, replayed %q", res.StatusCode, again.StatusCode, again.Header.Get("Idempotent-Replayed"))
		}
		if res, _ := sb.raw("POST", "/v1/payment_intents", "amount=1&currency=eur", key("bad")); res.StatusCode != 400 {
			t.Fatalf("bad amount: %d", res.StatusCode)
		}
		if res, body := sb.raw("POST", "/v1/payment_intents", form, key("bad")); res.StatusCode != 200 {
			t.Fatalf("the key of a refused request is burnt: %d %s", res.StatusCode, body)
		}
	})

	t.Run("it is new again after a day", func(t *testing.T) {
		t.Parallel()
		sb := newSandbox(t)
		_, first := sb.raw("POST", "/v1/payment_intents", form, key("k"))
		sb.clock.Advance(24*time.Hour + time.Second)
		if res, second := sb.raw("POST", "/v1/payment_intents", form, key("k")); res.Header.Get("Idempotent-Replayed") != "" || second == first {
			t.Fatal("a key of yesterday was replayed")
		}
	})

	t.Run("one of many at once runs, the others get its answer or an error that says to wait", func(t *testing.T) {
		t.Parallel()
		sb := newSandbox(t, func(c *stripe.Config) { c.LatencyMS = 50 })
		var mu sync.Mutex
		answers := map[string]map[string]bool{} // by key: the distinct bodies
		conflicts := 0
		sb.eventually("a call meets another that is under way", func() bool {
			k := fmt.Sprint("k", len(answers))
			answers[k] = map[string]bool{}
			var wg sync.WaitGroup
			for range 16 {
				wg.Go(func() {
					res, body := sb.raw("POST", "/v1/payment_intents", form, key(k))
					mu.Lock()
					defer mu.Unlock()
					switch {
					case res.StatusCode == 200:
						answers[k][body] = true
					case res.StatusCode == 409 && strings.Contains(body, `"code": "idempotency_key_in_use"`):
						conflicts++
					default:
						t.Errorf("status %d: %s", res.StatusCode, body)
					}
				})
			}
			wg.Wait()
			return conflicts > 0
		})
		for k, bodies := range answers {
			if len(bodies) != 1 {
				t.Errorf("key %s made %d intents", k, len(bodies))
			}
		}
	})

	t.Run("accounts do not share keys", func(t *testing.T) {
		t.Parallel()
		sb := newSandbox(t)
		sb.control("PUT", "accounts/"+organiser, nil, 200)
		_, ours := sb.raw("POST", "/v1/payment_intents", form, key("k"))
		theirs := key("k")
		theirs.Set("Stripe-Account", organiser)
		if _, body := sb.raw("POST", "/v1/payment_intents", form, theirs); body == ours {
			t.Fatal("the account got the platform's answer")
		}
	})
}

func TestAPI(t *testing.T) {
	t.Parallel()

	t.Run("keys", func(t *testing.T) {
		t.Parallel()
		sb := newSandbox(t)
		for auth, want := range map[string]int{
			"": 401, "Bearer ": 401, "Bearer sk_live_x": 401, "Bearer sk_test_": 401, "Bearer sk_test_any": 200, "Bearer rk_test_any": 200,
			"Basic c2tfdGVzdF9hbnk6": 200, "Bearer pk_test_any": 403,
		} {
			res, body := sb.raw("GET", "/v1/payment_intents", "", http.Header{"Authorization": {auth}})
			if res.StatusCode != want {
				t.Errorf("%q: status %d, want %d: %s", auth, res.StatusCode, want, body)
			}
		}
	})

	t.Run("a browser may read and confirm the intent whose secret it has", func(t *testing.T) {
		t.Parallel()
		sb := newSandbox(t)
		pi := sb.newIntent()
		browser := http.Header{"Authorization": {"Bearer pk_test_any"}, "Content-Type": {"application/x-www-form-urlencoded"}}
		for query, want := range map[string]int{"": 400, "?client_secret=wrong": 400, "?client_secret=" + pi.ClientSecret: 200} {
			if res, body := sb.raw("GET", "/v1/payment_intents/"+pi.ID+query, "", browser); res.StatusCode != want {
				t.Errorf("%q: status %d, want %d: %s", query, res.StatusCode, want, body)
			}
		}
		form := "payment_method=pm_card_visa&return_url=https://x.example&client_secret=" + pi.ClientSecret
		if res, body := sb.raw("POST", "/v1/payment_intents/"+pi.ID+"/confirm", form, browser); res.StatusCode != 200 || res.Header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("confirm: %d %s", res.StatusCode, body)
		}
	})

	t.Run("errors have Stripe's shape", func(t *testing.T) {
		t.Parallel()
		sb := newSandbox(t)
		res, body := sb.raw("GET", "/v1/charges/ch_no", "", http.Header{"Stripe-Version": {"2023-10-16"}})
		want := `{
  "error": {
    "code": "resource_missing",
    "doc_url": "https://stripe.com/docs/error-codes/resource-missing",
    "message": "No such charge: 'ch_no'",
    "param": "id",
    "request_log_url": "https://dashboard.stripe.com/test/logs/` + res.Header.Get("Request-Id") + `",
    "type": "invalid_request_error"
  }
}`
		if res.StatusCode != 404 || body != want || res.Header.Get("Stripe-Version") != "2023-10-16" {
			t.Errorf("%d %s", res.StatusCode, body)
		}
		if res, _ := sb.raw("GET", "/v1/nonsense", "", nil); res.StatusCode != 404 {
			t.Errorf("unknown path: %d", res.StatusCode)
		}
		if res, _ := sb.raw("POST", "/v1/payment_intents", `{"amount":1}`, nil); res.StatusCode != 400 {
			t.Errorf("a JSON body: %d", res.StatusCode)
		}
	})

	t.Run("lists go through pages both ways, by time and by type", func(t *testing.T) {
		t.Parallel()
		sb := newSandbox(t)
		var ids []string
		for range 25 {
			ids = append(ids, sb.newIntent().ID)
			sb.clock.Advance(time.Second)
		}
		params := &stripego.PaymentIntentListParams{}
		params.Limit = stripego.Int64(7)
		var listed []string
		for it := sb.api.PaymentIntents.List(params); it.Next(); {
			listed = append(listed, it.PaymentIntent().ID)
		}
		for i, id := range ids {
			if listed[len(ids)-1-i] != id {
				t.Fatalf("place %d from the newest: %s, want %s", len(ids)-1-i, listed[len(ids)-1-i], id)
			}
		}
		before := &stripego.PaymentIntentListParams{}
		before.EndingBefore, before.Limit, before.Single = &ids[10], stripego.Int64(3), true
		it := sb.api.PaymentIntents.List(before)
		var newer []string
		for _, pi := range it.PaymentIntentList().Data {
			newer = append(newer, pi.ID)
		}
		if strings.Join(newer, ",") != strings.Join([]string{ids[13], ids[12], ids[11]}, ",") || !it.Meta().HasMore {
			t.Fatalf("before %s: %v", ids[10], newer)
		}
		since := sb.clock.Now().Add(-5 * time.Second).Unix()
		bounded := &stripego.PaymentIntentListParams{CreatedRange: &stripego.RangeQueryParams{GreaterThanOrEqual: since}}
		count := 0
		for it := sb.api.PaymentIntents.List(bounded); it.Next(); {
			count++
		}
		if count != 5 {
			t.Fatalf("%d intents of the last five seconds", count)
		}
		if _, body := sb.raw("GET", "/v1/payment_intents?starting_after=pi_no", "", nil); !strings.Contains(body, "resource_missing") {
			t.Errorf("unknown cursor: %s", body)
		}
		if res, _ := sb.raw("GET", "/v1/payment_intents?limit=101", "", nil); res.StatusCode != 400 {
			t.Errorf("limit 101: %d", res.StatusCode)
		}
	})

	t.Run("expansions", func(t *testing.T) {
		t.Parallel()
		sb := newSandbox(t)
		pi := sb.paid("pm_card_visa")
		params := &stripego.ChargeListParams{PaymentIntent: &pi.ID}
		params.AddExpand("data.balance_transaction")
		params.AddExpand("data.payment_intent.latest_charge")
		it := sb.api.Charges.List(params)
		if !it.Next() {
			t.Fatalf("no charge: %v", it.Err())
		}
		ch := it.Charge()
		if ch.BalanceTransaction.Fee != 159 || ch.PaymentIntent.LatestCharge.Amount != 8900 {
			t.Errorf("expanded: fee %d, amount %d", ch.BalanceTransaction.Fee, ch.PaymentIntent.LatestCharge.Amount)
		}
		for path, want := range map[string]int{"latest_charge.nonsense": 400, "amount": 400, "a.b.c.d.e": 400, "latest_charge": 200, "invoice": 200} {
			if res, body := sb.raw("GET", "/v1/payment_intents/"+pi.ID+"?expand[]="+path, "", nil); res.StatusCode != want {
				t.Errorf("expand %s: %d %s", path, res.StatusCode, body)
			}
		}
	})

	t.Run("metadata merges", func(t *testing.T) {
		t.Parallel()
		sb := newSandbox(t)
		pi := sb.newIntent()
		_, body := sb.raw("POST", "/v1/payment_intents/"+pi.ID, "metadata[seat]=A1&metadata[order_id]=", nil)
		if !strings.Contains(body, "\"metadata\": {\n    \"seat\": \"A1\"\n  }") {
			t.Errorf("merged: %s", body)
		}
		if res, _ := sb.raw("POST", "/v1/payment_intents/"+pi.ID, "metadata["+strings.Repeat("k", 41)+"]=1", nil); res.StatusCode != 400 {
			t.Errorf("a long key: %d", res.StatusCode)
		}
	})

	t.Run("a lost reply leaves an intent that the same key finds", func(t *testing.T) {
		t.Parallel()
		faults := fault.New(1)
		sb := newSandbox(t)
		front := httptest.NewServer(faults.Wrap(fault.Stripe, sb.Server))
		t.Cleanup(front.Close)
		api := newClient(t, front.URL)
		if err := faults.Set(fault.Stripe, fault.Fault{Mode: fault.LostReply, Rate: 1, Count: 1}); err != nil {
			t.Fatalf("set fault: %v", err)
		}
		params := &stripego.PaymentIntentParams{Amount: stripego.Int64(500), Currency: new("eur")}
		params.SetIdempotencyKey("order:1:pi:v1")
		if _, err := api.PaymentIntents.New(params); err == nil {
			t.Fatal("a lost reply was read")
		}
		pi, err := api.PaymentIntents.New(params)
		if err != nil || pi.LastResponse.Header.Get("Idempotent-Replayed") != "true" {
			t.Fatalf("the repeat: %v %+v", err, pi)
		}
		if err := faults.Set(fault.Stripe, fault.Fault{Mode: fault.TooMany, Rate: 1}); err != nil {
			t.Fatalf("set fault: %v", err)
		}
		_, err = api.PaymentIntents.New(params)
		refusal(t, err, 429, stripego.ErrorTypeInvalidRequest, stripego.ErrorCodeRateLimit)
		var made []struct {
			Account string                  `json:"account"`
			Object  *stripego.PaymentIntent `json:"object"`
		}
		if err := json.Unmarshal(sb.controlRaw("GET", "objects?kind=payment_intent", nil, 200), &made); err != nil {
			t.Fatalf("decode objects: %v", err)
		}
		if len(made) != 1 || made[0].Object.ID != pi.ID || made[0].Account != "" {
			t.Fatalf("intents: %+v, want the one whose reply was lost", made)
		}
	})

	t.Run("the request log shows what was called with which key", func(t *testing.T) {
		t.Parallel()
		sb := newSandbox(t)
		res, _ := sb.raw("POST", "/v1/payment_intents", "amount=777&currency=eur", http.Header{"Idempotency-Key": {"logged"}})
		log := string(sb.controlRaw("GET", "requests", nil, 200))
		if !strings.Contains(log, `"idempotency_key": "logged"`) || !strings.Contains(log, res.Header.Get("Request-Id")) {
			t.Errorf("log: %s", log)
		}
	})
}
