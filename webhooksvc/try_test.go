package webhooksvc

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/internal/chassis/alert"
	"github.com/dayof/dayof/internal/chassis/problem"
)

const accountPath, connectPath = "/webhooks/stripe", "/webhooks/stripe/connect"

func orderNotFound() error {
	return problem.New(connect.CodeNotFound, "ORDER_NOT_FOUND", "no order has this intent")
}

// TestStories posts every story body twice and at once; each event is applied, with one call.
func TestStories(t *testing.T) {
	t.Parallel()
	w := newHarness(t, nil)
	files, err := filepath.Glob("testdata/stories/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal("no stories", err)
	}
	var posts sync.WaitGroup
	for _, file := range files {
		body := story(t, strings.TrimSuffix(filepath.Base(file), ".json"))
		for range 2 {
			posts.Go(func() {
				if answer := w.deliver(t, accountPath, accountSecret, body); answer.status != 200 {
					t.Errorf("%s: answer %d", file, answer.status)
				}
			})
		}
	}
	posts.Wait()
	await(t, "all events to be applied", func() bool {
		return w.count(t, "SELECT count(*) FROM webhook_events WHERE state = 'applied' AND delivery_count = 2") == len(files)
	})
	keys := make(map[string]int)
	for _, c := range w.peers.got() {
		keys[c.key]++
	}
	if len(keys) != len(files) {
		t.Errorf("%d keys for %d events: %v", len(keys), len(files), keys)
	}
	for key, calls := range keys {
		if calls != 1 {
			t.Errorf("%s was called %d times", key, calls)
		}
	}
	if received, deferred, err := w.Open(t.Context()); err != nil || received != 0 || deferred != 0 {
		t.Errorf("open: %d received, %d deferred, %v", received, deferred, err)
	}
}

func TestEventStates(t *testing.T) {
	t.Parallel()
	live := strings.Replace(string(intentBody("evt_live")), `"livemode": false,
  "type"`, `"livemode": true,
  "type"`, 1)
	for name, c := range map[string]struct {
		id, body, state, reason, alert, subject string
	}{
		"a handled type":           {"evt_handled", string(intentBody("evt_handled")), stateApplied, "", "", ""},
		"a type that nobody knows": {"evt_unknown", string(eventBody("evt_unknown", "moon.landed", `{"id": "moon_1"}`)), stateIgnored, "", "", ""},
		"the wrong mode":           {"evt_live", live, stateRejected, refusalLivemode, "", ""},
		"a thin event": {
			"evt_thin", `{"id":"evt_thin","object":"v2.core.event","type":"v1.billing.meter.no_meter_found","created":"2025-11-24T16:00:00.000Z"}`,
			stateRejected, refusalThinEvent, alertThin, "account",
		},
		"an amount that is none": {
			"evt_float", string(eventBody("evt_float", "payment_intent.succeeded", `{"id": "pi_1", "amount": 1.5}`)),
			stateDead, "read object of payment_intent.succeeded", alertDead, "account/evt_float",
		},
		"another API version": {
			"evt_version", strings.Replace(string(intentBody("evt_version")), "2023-10-16", "2026-09-30.endive", 1), stateApplied, "",
			alertAPIVersion, "account/2026-09-30.endive",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newHarness(t, nil)
			w.deliver(t, accountPath, accountSecret, []byte(c.body)).must(t)
			got := w.awaitState(t, c.id, c.state)
			if !strings.HasPrefix(got.Error, c.reason) || (c.reason == "") != (got.Error == "") || !got.Ended || got.Attempts != 1 {
				t.Errorf("row %+v", got)
			}
			open, err := alert.ListOpen(t.Context(), w.Pool, 10)
			if err != nil {
				t.Fatal(err)
			}
			if c.alert == "" && len(open) == 0 {
				return
			}
			if len(open) != 1 || open[0].Kind != c.alert || open[0].Subject != c.subject {
				t.Errorf("alerts %+v", open)
			}
		})
	}
}

// TestErrors has a peer fail in every way once, and then be well.
func TestErrors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err       error
		retried   bool
		meanwhile string // state after the first try
	}{
		"order not known yet":      {orderNotFound(), true, stateDeferred},
		"transfer not posted yet":  {problem.New(connect.CodeFailedPrecondition, problem.ReasonOf(ledgerv1.Reason_REASON_TRANSFER_NOT_POSTED), "later"), true, stateDeferred},
		"unavailable":              {problem.New(connect.CodeUnavailable, problem.ReasonOf(ledgerv1.Reason_REASON_LEDGER_UNAVAILABLE), "later"), true, stateReceived},
		"aborted":                  {problem.New(connect.CodeAborted, "CONCURRENT_CHANGE", "later"), true, stateReceived},
		"internal":                 {problem.New(connect.CodeInternal, "INTERNAL", "bug"), true, stateReceived},
		"unauthenticated":          {problem.New(connect.CodeUnauthenticated, "UNAUTHENTICATED", "token"), true, stateReceived},
		"key used for another":     {problem.New(connect.CodeAlreadyExists, "IDEMPOTENCY_KEY_REUSED", "bug"), false, stateDead},
		"invalid argument":         {problem.InvalidField("amount", "must be positive"), false, stateDead},
		"something else not found": {problem.New(connect.CodeNotFound, "SOMETHING_NOT_FOUND", "gone"), false, stateDead},
		"failed precondition":      {problem.New(connect.CodeFailedPrecondition, "SOMETHING_ELSE", "no"), false, stateDead},
		"permission denied":        {problem.New(connect.CodePermissionDenied, "PERMISSION_DENIED", "no"), false, stateDead},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newHarness(t, nil)
			var tries atomic.Int32
			w.peers.answerWith(func(peerCall) error {
				// The client repeats unavailable twice by itself.
				if tries.Add(1) <= 1 || problem.Code(c.err) == connect.CodeUnavailable && tries.Load() <= 3 {
					return c.err
				}
				return nil
			})
			w.deliver(t, accountPath, accountSecret, intentBody("evt_1")).must(t)
			await(t, "the first try", func() bool { return w.row(t, "evt_1").Attempts >= 1 })
			if got := w.row(t, "evt_1"); got.Attempts == 1 && (got.State != c.meanwhile || got.Error == "") {
				t.Errorf("after the first try: %+v", got)
			}
			if !c.retried {
				w.redeliverDead(t, "evt_1", 1)
				return
			}
			if got := w.awaitState(t, "evt_1", stateApplied); got.Attempts != 2 || got.Error != "" {
				t.Errorf("after the second try: %+v", got)
			}
			for _, call := range w.peers.got() {
				if call.key != "webhook/account/evt_1" {
					t.Errorf("key %q", call.key)
				}
			}
			if open := w.deadAlerts(t); len(open) != 0 {
				t.Errorf("alerts: %v", open)
			}
		})
	}
}

// redeliverDead checks that a dead event was tried so often, raised one alert, and comes back to life when Stripe
// delivers it once more.
func (w *harness) redeliverDead(t *testing.T, eventID string, calls int) {
	t.Helper()
	if got := len(w.peers.got()); got != calls {
		t.Errorf("%d calls, want %d", got, calls)
	}
	alert, raised := w.deadAlerts(t)["account/"+eventID]
	if !raised || alert.Facts["error"] == "" || alert.Link != "http://console.test/webhooks/account/"+eventID {
		t.Errorf("alert %+v", alert)
	}
	if jobs := w.count(t, "SELECT count(*) FROM dead_letters"); jobs != 0 {
		t.Errorf("%d dead jobs besides the dead event", jobs)
	}
	w.deliver(t, accountPath, accountSecret, intentBody(eventID)).must(t)
	if got := w.awaitState(t, eventID, stateApplied); got.Deliveries != 2 || got.Error != "" {
		t.Errorf("after the second delivery: %+v", got)
	}
	if open := w.deadAlerts(t); len(open) != 0 {
		t.Errorf("the alert is still open: %v", open)
	}
}

// TestDeferredTooLong ends the wait for an order that never comes.
func TestDeferredTooLong(t *testing.T) {
	t.Parallel()
	w := newHarness(t, nil)
	var known atomic.Bool
	w.peers.answerWith(func(c peerCall) error {
		if _, ofDesk := c.request.(*checkoutv1.RaiseReviewCaseRequest); ofDesk || known.Load() {
			return nil
		}
		return orderNotFound()
	})
	w.deliver(t, accountPath, accountSecret, intentBody("evt_1")).must(t)
	w.awaitState(t, "evt_1", stateDeferred)
	w.exec(t, "UPDATE webhook_events SET deferral_count = $1 WHERE state = 'deferred'", deferredTriesMax)
	w.awaitState(t, "evt_1", stateDead)
	if cases := asked[*checkoutv1.RaiseReviewCaseRequest](w); len(cases) != 1 || cases[0].GetKind() != "event_without_order" || cases[0].GetSubject() != "pi_evt_1" {
		t.Errorf("a person gets %v", cases)
	}
	if n := w.count(t, "SELECT count(*) FROM alerts WHERE kind = 'webhook_event_dead' AND facts->>'amount' = '89.00 EUR'"); n != 1 {
		t.Errorf("%d alerts say how much money it is about", n)
	}
	known.Store(true)
	w.redeliverDead(t, "evt_1", len(w.peers.got()))
}

// TestAwayTooLong gives up when a service is away for longer than Stripe itself would try.
func TestAwayTooLong(t *testing.T) {
	t.Parallel()
	w := newHarness(t, nil)
	w.peers.answerWith(func(peerCall) error { return problem.New(connect.CodeAborted, "CONCURRENT_CHANGE", "later") })
	w.deliver(t, accountPath, accountSecret, intentBody("evt_1")).must(t)
	await(t, "the first try", func() bool { return w.row(t, "evt_1").Attempts >= 1 })
	if got := w.row(t, "evt_1"); got.State != stateReceived {
		t.Fatalf("row %+v", got)
	}
	w.exec(t, "UPDATE webhook_events SET failure_count = 0") // the next wait is short, whatever the number of tries
	w.clock.Advance(unavailableMax + time.Hour)
	w.awaitState(t, "evt_1", stateDead)
}

// TestCheckoutAway posts while nobody listens at checkoutsvc's address: 200, and applied once when it is back.
func TestCheckoutAway(t *testing.T) {
	t.Parallel()
	w := newHarness(t, nil)
	w.peers.stop()
	for i := range 5 {
		w.deliver(t, accountPath, accountSecret, intentBody(fmt.Sprintf("evt_%d", i))).must(t)
	}
	await(t, "a failed try of each", func() bool {
		return w.count(t, "SELECT count(*) FROM webhook_events WHERE attempt_count > 0 AND state = 'received'") == 5
	})
	w.peers.start(t, strings.TrimPrefix(w.peers.url, "http://"))
	await(t, "all to be applied", func() bool {
		return w.count(t, "SELECT count(*) FROM webhook_events WHERE state = 'applied'") == 5
	})
	if got := len(w.peers.got()); got != 5 {
		t.Errorf("%d calls for 5 events", got)
	}
}

// TestLostAnswer cuts the answer of a call that had its effect: the repeat carries the same key.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	w := newHarness(t, nil)
	var tries atomic.Int32
	w.peers.answerWith(func(peerCall) error {
		if tries.Add(1) == 1 {
			panic("the answer is lost") // recovered by the chassis: internal
		}
		return nil
	})
	w.deliver(t, accountPath, accountSecret, story(t, "a11-payout.paid")).must(t)
	w.awaitState(t, "evt_1QztQNYu43UWUcve0mJoiQIWOK2", stateApplied)
	calls := w.peers.got()
	if len(calls) != 2 || calls[0].key != calls[1].key {
		t.Errorf("calls %v", calls)
	}
}

// TestPanickingHandler must not take the process along, nor try for ever, nor give up before a release can mend it.
func TestPanickingHandler(t *testing.T) {
	t.Parallel()
	w := newQuietHarness(t, nil)
	w.handlers["boom"] = handler{eventType: "boom", translate: func(event) (translation, error) { panic("boom") }}
	if err := w.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Stop(t.Context()) })
	w.deliver(t, accountPath, accountSecret, eventBody("evt_1", "boom", `{"id": "boom_1"}`)).must(t)
	await(t, "the first try", func() bool { return w.row(t, "evt_1").Attempts >= 1 })
	if got := w.row(t, "evt_1"); got.State != stateReceived || got.Error != "panic: boom" {
		t.Errorf("row %+v", got)
	}
	w.exec(t, "UPDATE webhook_events SET failure_count = $1", failuresMax-1)
	await(t, "people to be told", func() bool { return w.delayed(t) == 1 })
	if got := w.row(t, "evt_1"); got.State != stateReceived || len(w.deadAlerts(t)) != 0 {
		t.Errorf("row %+v", got)
	}
	w.clock.Advance(unavailableMax + time.Hour)
	w.awaitHurried(t, "evt_1", stateDead)
	if len(w.deadAlerts(t)) != 1 || w.delayed(t) != 0 {
		t.Errorf("%d dead events and %d that wait are reported", len(w.deadAlerts(t)), w.delayed(t))
	}
}

// TestSeveralCalls resumes an event of several calls; each keeps its own key.
func TestSeveralCalls(t *testing.T) {
	t.Parallel()
	w := newHarness(t, nil)
	w.peers.link("acct_1", "org_0123456789abc")
	var failed atomic.Bool
	w.peers.answerWith(func(c peerCall) error {
		if strings.HasSuffix(c.key, "/trr_2") && !failed.Swap(true) {
			return problem.New(connect.CodeAborted, "CONCURRENT_CHANGE", "later")
		}
		return nil
	})
	reversal := `{"id": "trr_%d", "amount": 1000, "created": 1764173000, "currency": "eur"}`
	w.deliver(t, accountPath, accountSecret, eventBody("evt_1", "transfer.reversed", fmt.Sprintf(`{"id": "tr_1", "amount": 4000,
		"amount_reversed": 2000, "created": 1764172800, "currency": "eur", "destination": "acct_1", "metadata": {"organizer_id": "org_0123456789abc"},
		"reversals": {"data": [`+reversal+`,`+reversal+`], "has_more": false}}`, 1, 2))).must(t)
	w.awaitState(t, "evt_1", stateApplied)
	var keys []string
	for _, c := range w.peers.got() {
		keys = append(keys, strings.TrimPrefix(c.key, "webhook/account/evt_1/"))
	}
	if got := strings.Join(keys, " "); got != "transfer trr_1 trr_2 transfer trr_1 trr_2" {
		t.Errorf("calls: %s", got)
	}
}

// TestMoneyOfTheWrongModeIsReported makes sure that captured money of the other mode reaches checkoutsvc as such, whatever of
// envelope and object says so, and that nothing else of that mode does.
func TestMoneyOfTheWrongModeIsReported(t *testing.T) {
	t.Parallel()
	envelope := func(body []byte) string {
		return strings.Replace(string(body), `"livemode": false,
  "type"`, `"livemode": true,
  "type"`, 1)
	}
	for name, c := range map[string]struct {
		id, body string
		reported int
	}{
		"envelope": {"evt_envelope", envelope(intentBody("evt_envelope")), 1},
		"object":   {"evt_object", strings.Replace(string(intentBody("evt_object")), `"currency": "eur", "livemode": false`, `"currency": "eur", "livemode": true`, 1), 1},
		"no captured money": {"evt_canceled", envelope(eventBody("evt_canceled", "payment_intent.canceled", `{"id": "pi_1", "object": "payment_intent", "amount": 8900,
    "currency": "eur", "metadata": {"order_id": "ord_4DFJiRdPUPa5LD93"}, "status": "canceled"}`)), 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newHarness(t, nil)
			w.deliver(t, accountPath, accountSecret, []byte(c.body)).must(t)
			w.awaitState(t, c.id, stateRejected)
			w.peers.mu.Lock()
			defer w.peers.mu.Unlock()
			if len(w.peers.calls) != c.reported {
				t.Fatalf("checkoutsvc received %v", w.peers.calls)
			}
			for _, call := range w.peers.calls {
				if r, ok := call.request.(*checkoutv1.RecordPaymentRequest); !ok || !r.GetLivemode() {
					t.Errorf("checkoutsvc received %v", call.request)
				}
			}
		})
	}
}
