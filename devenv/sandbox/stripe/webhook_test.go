package stripe_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	stripego "github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/webhook"

	"github.com/dayof/dayof/devenv/sandbox/stripe"
)

// undelivered lists the events that some endpoint did not acknowledge, as a backfill would.
func (sb *sandbox) undelivered() []string {
	sb.t.Helper()
	params := &stripego.EventListParams{DeliverySuccess: new(false)}
	var types []string
	it := sb.api.Events.List(params)
	for it.Next() {
		types = append(types, string(it.Event().Type))
	}
	if it.Err() != nil {
		sb.t.Fatalf("list events: %v", it.Err())
	}
	return types
}

func TestWebhook(t *testing.T) {
	t.Parallel()

	t.Run("a failure is retried with the same body and a new signature", func(t *testing.T) {
		t.Parallel()
		sb := newSandbox(t)
		sb.account.fail = func(n int) int { return map[int]int{0: 500, 1: 302, 2: 404}[n] }
		sb.newIntent()
		sb.settled()
		wantTypes(t, sb.account, "payment_intent.created")
		var lines []struct {
			Attempt int    `json:"attempt"`
			Status  int    `json:"status"`
			Outcome string `json:"outcome"`
		}
		if err := json.Unmarshal(sb.controlRaw("GET", "deliveries", nil, 200), &lines); err != nil {
			t.Fatalf("decode log: %v", err)
		}
		if len(lines) != 4 || lines[1].Status != 302 || lines[2].Outcome != "retrying" || lines[3].Attempt != 4 || lines[3].Outcome != "delivered" {
			t.Fatalf("attempts: %+v", lines)
		}
		if left := sb.undelivered(); len(left) != 0 {
			t.Fatalf("undelivered: %v", left)
		}
	})

	t.Run("an endpoint that stays down is given up and found by backfill", func(t *testing.T) {
		t.Parallel()
		sb := newSandbox(t)
		sb.account.fail = func(int) int { return http.StatusServiceUnavailable }
		sb.newIntent()
		sb.settled()
		if got := sb.undelivered(); len(got) != 1 || got[0] != "payment_intent.created" {
			t.Fatalf("undelivered: %v", got)
		}
		if sb.account.calls != 6 {
			t.Fatalf("%d attempts, want 6", sb.account.calls)
		}
	})

	t.Run("withheld until released, for one intent or for all", func(t *testing.T) {
		t.Parallel()
		sb := newSandbox(t)
		one, other := sb.newIntent(), sb.newIntent()
		sb.control("POST", "webhooks/withhold", map[string]string{"payment_intent": one.ID}, 200)
		for _, pi := range []string{one.ID, other.ID} {
			sb.control("POST", "payment_intents/"+pi+"/confirm", nil, 200)
		}
		sb.settled()
		wantTypes(t, sb.account, "payment_intent.created", "payment_intent.created", "charge.succeeded", "payment_intent.succeeded")
		if idle := sb.control("GET", "idle", nil, 200); idle["withheld"] != float64(2) {
			t.Fatalf("idle: %v", idle)
		}
		if got := sb.control("POST", "webhooks/release", map[string]string{"payment_intent": one.ID}, 200); got["released"] != float64(2) {
			t.Fatalf("released: %v", got)
		}
		sb.settled()
		if n := len(sb.account.types()); n != 6 {
			t.Fatalf("%d events after the release", n)
		}
		sb.control("POST", "webhooks/withhold", nil, 200)
		sb.newIntent()
		sb.control("POST", "webhooks/release", map[string]bool{"drop": true}, 200)
		sb.newIntent()
		sb.settled()
		if n := len(sb.account.types()); n != 7 {
			t.Fatalf("%d events, want the dropped one missing", n)
		}
	})

	t.Run("dropped and doubled", func(t *testing.T) {
		t.Parallel()
		sb := newSandbox(t)
		sb.control("PATCH", "settings", map[string]float64{"drop_rate": 1}, 200)
		sb.newIntent()
		sb.control("PATCH", "settings", map[string]any{"drop_rate": 0, "duplicate_rate": 1, "shuffle_ms": 5}, 200)
		sb.newIntent()
		sb.settled()
		wantTypes(t, sb.account, "payment_intent.created", "payment_intent.created")
		sb.account.mu.Lock()
		same := sb.account.events[0].ID == sb.account.events[1].ID && slices.Equal(sb.account.bodies[0], sb.account.bodies[1])
		sb.account.mu.Unlock()
		if !same {
			t.Fatal("the double is another event or another body")
		}
		if got := sb.undelivered(); len(got) != 1 {
			t.Fatalf("undelivered: %v", got)
		}
		sb.control("PATCH", "settings", map[string]float64{"drop_rate": 1.5}, 400)
	})

	t.Run("one v1 per living secret", func(t *testing.T) {
		t.Parallel()
		sb := newSandbox(t)
		sb.account.secret = "whsec_old"
		sb.controlRaw("PUT", "webhook_endpoints", []stripe.Endpoint{{URL: sb.account.url, Secret: "whsec_new", OldSecrets: []string{"whsec_old"}}}, 200)
		sb.newIntent()
		sb.settled()
		wantTypes(t, sb.account, "payment_intent.created")
		sb.control("PUT", "webhook_endpoints", []stripe.Endpoint{{URL: sb.account.url}}, 400)
	})

	t.Run("no more at the same time than allowed", func(t *testing.T) {
		t.Parallel()
		sb := newSandbox(t, func(c *stripe.Config) { c.Delivery.Parallel = 3 })
		var now, most atomic.Int64
		arrived, leave := make(chan struct{}, 100), make(chan struct{})
		busy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			n := now.Add(1)
			for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
			}
			arrived <- struct{}{}
			<-leave
			now.Add(-1)
		}))
		t.Cleanup(busy.Close)
		quiet := sb.newIntent()
		sb.settled()
		sb.controlRaw("PUT", "webhook_endpoints", []stripe.Endpoint{{URL: busy.URL, Secret: accountSecret}}, 200)
		last := quiet
		for range 10 {
			last = sb.newIntent()
		}
		for range 3 {
			<-arrived
		}
		if idle := sb.control("GET", "idle", nil, 200); idle["in_flight"] != float64(3) || idle["queued"] != float64(7) || idle["idle"] != false {
			t.Errorf("idle: %v", idle)
		}
		for query, want := range map[string]bool{quiet.ID: true, last.ID: false, quiet.ID + "&payment_intent=" + last.ID: false} {
			if idle := sb.control("GET", "idle?payment_intent="+query, nil, 200); idle["idle"] != want {
				t.Errorf("idle of %s: %v", query, idle)
			}
		}
		close(leave)
		sb.settled()
		if idle := sb.control("GET", "idle?payment_intent="+last.ID, nil, 200); idle["idle"] != true {
			t.Errorf("idle in the end: %v", idle)
		}
		if most.Load() != 3 {
			t.Errorf("%d deliveries at the same time", most.Load())
		}
	})

	t.Run("late fees come by charge.updated", func(t *testing.T) {
		t.Parallel()
		sb := newSandbox(t)
		sb.control("PATCH", "settings", map[string]any{"async_fees": true, "async_fees_delay_ms": 1}, 200)
		sb.control("POST", "webhooks/withhold", nil, 200)
		pi := sb.paid("pm_card_visa")
		sb.settled()
		sb.control("POST", "webhooks/release", nil, 200)
		sb.settled()
		if before := sb.account.event(t, "charge.succeeded").Data.Object["balance_transaction"]; before != nil {
			t.Fatalf("charge.succeeded names %v", before)
		}
		updated := sb.account.event(t, "charge.updated")
		if updated.Data.Object["balance_transaction"] != sb.intent(pi.ID).LatestCharge.BalanceTransaction.ID {
			t.Fatalf("charge.updated names %v", updated.Data.Object["balance_transaction"])
		}
		if was, present := updated.Data.PreviousAttributes["balance_transaction"]; !present || was != nil || updated.Request.ID != "" {
			t.Fatalf("previous %v, request %+v", updated.Data.PreviousAttributes, updated.Request)
		}
	})

	t.Run("events are listed by type and time", func(t *testing.T) {
		t.Parallel()
		sb := newSandbox(t)
		sb.paid("pm_card_visa")
		count := func(p *stripego.EventListParams) int {
			n := 0
			for it := sb.api.Events.List(p); it.Next(); {
				n++
			}
			return n
		}
		for _, c := range []struct {
			params stripego.EventListParams
			want   int
		}{
			{stripego.EventListParams{}, 3},
			{stripego.EventListParams{Type: new("payment_intent.*")}, 2},
			{stripego.EventListParams{Types: stripego.StringSlice([]string{"charge.succeeded", "payment_intent.created"})}, 2},
			{stripego.EventListParams{CreatedRange: &stripego.RangeQueryParams{GreaterThan: sb.clock.Now().Unix()}}, 0},
		} {
			if n := count(&c.params); n != c.want {
				t.Errorf("%+v: %d events, want %d", c.params, n, c.want)
			}
		}
	})
}

func TestSign(t *testing.T) {
	t.Parallel()
	now := time.Now() //nolint:forbidigo // stripe-go checks signatures by the machine's clock
	body := []byte(`{"id":"evt_1","object":"event"}`)
	if err := webhook.ValidatePayload(body, stripe.Sign("whsec_a", now, body), "whsec_a"); err != nil {
		t.Fatalf("one secret: %v", err)
	}
	header := stripe.SignAll([]string{"whsec_a", "whsec_b"}, now, body)
	if err := webhook.ValidatePayload(body, header, "whsec_b"); err != nil || strings.Count(header, "v1=") != 2 {
		t.Fatalf("two secrets: %v %s", err, header)
	}
	if err := webhook.ValidatePayload(append(body, ' '), header, "whsec_b"); err == nil {
		t.Fatal("a changed body verifies")
	}
}
