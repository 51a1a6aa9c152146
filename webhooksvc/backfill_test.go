package webhooksvc

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dayof/dayof/internal/chassis/config"
)

// stripeList is Stripe's GET /v1/events, as far as it matters here.
type stripeList struct {
	mu       sync.Mutex
	events   map[string][]json.RawMessage // by account, the newest first
	requests []listRequest
	down     bool
}

type listRequest struct {
	account string
	query   url.Values
}

func (l *stripeList) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	query, account := r.URL.Query(), r.Header.Get("Stripe-Account")
	l.requests = append(l.requests, listRequest{account, query})
	w.Header().Set("Content-Type", "application/json")
	if l.down || r.URL.Path != "/v1/events" || r.Header.Get("Authorization") != "Bearer sk_test_backfill" {
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = w.Write([]byte(`{"error":{"type":"api_error"}}`))
		return
	}
	var types []string
	for name, values := range query {
		if strings.HasPrefix(name, "types[") {
			types = append(types, values...)
		}
	}
	since, _ := strconv.ParseInt(query.Get("created[gte]"), 10, 64)
	limit, _ := strconv.Atoi(query.Get("limit"))
	page := struct {
		Object  string            `json:"object"`
		Data    []json.RawMessage `json:"data"`
		HasMore bool              `json:"has_more"`
	}{Object: "list", Data: []json.RawMessage{}}
	started := query.Get("starting_after") == ""
	for _, raw := range l.events[account] {
		var e struct {
			ID      string `json:"id"`
			Type    string `json:"type"`
			Created int64  `json:"created"`
		}
		_ = json.Unmarshal(raw, &e)
		switch {
		case !started:
			started = e.ID == query.Get("starting_after")
		case !slices.Contains(types, e.Type) || e.Created < since:
		case len(page.Data) == limit:
			page.HasMore = true
		default:
			page.Data = append(page.Data, raw)
		}
	}
	_ = json.NewEncoder(w).Encode(page)
}

func (l *stripeList) set(down bool, events map[string][]json.RawMessage) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down, l.events = down, events
}

func (l *stripeList) got() []listRequest {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.requests)
}

// TestBackfill loses deliveries and finds them in Stripe's list: at start, for the platform and for a connected
// account, over several pages; each is applied once.
func TestBackfill(t *testing.T) {
	t.Parallel()
	list := &stripeList{}
	server := httptest.NewServer(list)
	t.Cleanup(server.Close)
	w := newQuietHarness(t, func(c *Config, _ *Deps) {
		c.StripeURL, c.StripeKey, c.StripeTimeout = server.URL, config.NewSecret("sk_test_backfill"), patience
	})
	// Two were delivered, the others not.
	w.deliver(t, accountPath, accountSecret, intentBody("evt_0")).must(t)
	connected := strings.Replace(string(intentBody("evt_connected")), `"livemode": false,
  "type"`, `"account": "acct_1Organizer", "livemode": false,
  "type"`, 1)
	w.deliver(t, connectPath, connectSecret, []byte(connected)).must(t)
	var events []json.RawMessage
	const lost = 250
	for i := range lost {
		events = append(events, intentBody(fmt.Sprintf("evt_%d", i)))
	}
	events = append(events, eventBody("evt_unhandled", "moon.landed", "{}"), json.RawMessage(`{"object":"plan"}`),
		json.RawMessage(strings.Replace(string(intentBody("evt_old")), "1764000000", "1700000000", 1)))
	list.set(false, map[string][]json.RawMessage{
		"": events, "acct_1Organizer": {intentBody("evt_connected"), intentBody("evt_lost_connected")},
	})
	if err := w.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Stop(t.Context()) })
	await(t, "all events to be applied", func() bool {
		return w.count(t, "SELECT count(*) FROM webhook_events WHERE state = 'applied'") == lost+2
	})
	await(t, "the first run to be complete", func() bool { return w.count(t, "SELECT count(*) FROM webhook_backfills") == 2 })
	if n := w.count(t, "SELECT count(*) FROM webhook_events WHERE source = 'backfill' AND delivery_count = 0"); n != lost {
		t.Errorf("%d events came by backfill, want %d", n, lost)
	}
	if n := w.count(t, "SELECT count(*) FROM webhook_events WHERE endpoint = 'connect' AND stripe_account = 'acct_1Organizer'"); n != 2 {
		t.Errorf("%d events of the connected account", n)
	}
	keys := make(map[string]int)
	for _, c := range w.peers.got() {
		keys[c.key]++
	}
	if len(keys) != lost+2 || keys["webhook/connect/evt_lost_connected"] != 1 {
		t.Errorf("%d keys", len(keys))
	}
	for _, r := range list.got() {
		types := 0
		for name := range r.query {
			if strings.HasPrefix(name, "types[") {
				types++
			}
		}
		if types == 0 || types > backfillTypesMax || r.query.Get("delivery_success") != "false" {
			t.Errorf("request %v", r.query)
		}
	}

	// Later runs begin a little before the last complete one, and not at all before it is complete.
	w.clock.Advance(2 * time.Hour)
	list.set(true, nil)
	if err := (backfiller{w.Service}).backfill(t.Context()); err == nil {
		t.Fatal("Stripe is away and nobody says so")
	}
	until := w.count(t, "SELECT extract(epoch FROM complete_until)::bigint FROM webhook_backfills WHERE stripe_account = ''")
	if int64(until) != storyTime.Unix() {
		t.Errorf("complete until %d after a failed run", until)
	}
	list.set(false, nil)
	before := len(list.got())
	if err := (backfiller{w.Service}).backfill(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := strconv.FormatInt(storyTime.Add(-backfillOverlap).Unix(), 10)
	for _, r := range list.got()[before:] {
		if r.query.Get("created[gte]") != want {
			t.Errorf("asked since %s, want %s", r.query.Get("created[gte]"), want)
		}
	}
}
