package faults

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/devenv/cluster"
	"github.com/dayof/dayof/devenv/idle"
	"github.com/dayof/dayof/devenv/sandbox/fault"
	"github.com/dayof/dayof/e2e/e2etest"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
)

// ledgerFaults are the ways in which the ledger fails, and the calls that it fails in.
var ledgerFaults = []struct {
	name  string
	fault fault.Fault
}{
	{"refuses", fault.Fault{Mode: fault.Refuse}},
	{"answers 5xx", fault.Fault{Mode: fault.ServerError}},
	{"answers 429", fault.Fault{Mode: fault.TooMany, RetryAfterSeconds: 1}},
	{"hangs", fault.Fault{Mode: fault.Hang}},
	{"loses the replies to writes", fault.Fault{Mode: fault.LostReply, Match: "POST "}},
	{"loses the replies to reads and writes", fault.Fault{Mode: fault.LostReply}},
	{"breaks off in the middle of a reply", fault.Fault{Mode: fault.HalfBody}},
	{"breaks off in the middle of a reply to a read", fault.Fault{Mode: fault.HalfBody, Match: "GET "}},
}

// TestLedgerFaults lets the ledger fail in every way while orders are paid: nothing is valid before it is booked, nothing is
// mailed, no transaction is open meanwhile, and once the ledger is well each order is booked exactly once.
func TestLedgerFaults(t *testing.T) {
	t.Parallel()
	m := e2etest.NewCluster(t, 2, map[string]string{"DAYOF_CHECKOUT_BACKOFF_MAX": "1s"})
	system := client.NewClient(m.File)
	variant := e2etest.NewVariant(t, system, 4450, 100)
	for _, c := range ledgerFaults {
		t.Run(c.name, func(t *testing.T) { failLedger(t, m, system, variant, c.fault) }) // one fault at a time
	}
	e2etest.AwaitIdle(t, system, idle.Scope{})
	e2etest.AssertClean(t, m)
}

func failLedger(t *testing.T, m *cluster.Cluster, system *client.Client, variant *checkoutv1.Variant, f fault.Fault) {
	t.Helper()
	ctx := e2etest.Within(t, 2*time.Minute)
	var carts []client.Cart
	for range 3 {
		carts = append(carts, e2etest.Start(t, system, variant, 1))
	}
	mailed := mails(t, system)
	f.Rate = 1
	if err := m.Sandbox.Faults.Set(fault.Ledger, f); err != nil {
		t.Fatal(err)
	}
	defer m.Sandbox.Faults.Clear(fault.Ledger)
	for _, cart := range carts {
		if err := system.Pay(ctx, cart, client.ViaWebhook); err != nil {
			t.Fatal(err)
		}
	}
	if f.Match == "" { // else the ledger can still be asked what became of a write, and what it says is true
		for _, cart := range carts {
			e2etest.Await(t, system, cart.OrderID, "being fulfilled", func(o *checkoutv1.Order) bool {
				return o.GetFulfilmentState() == checkoutv1.FulfilmentState_FULFILMENT_STATE_IN_PROGRESS
			})
		}
		e2etest.WaitForHit(t, m)
		assertNoOpenTransaction(t, m)
		for _, cart := range carts {
			for _, ticket := range e2etest.Order(t, system, cart.OrderID).Tickets {
				if outcome := admission(t, system, ticket.Code); ticket.State != "reserved" || outcome != checkoutv1.Admission_ADMISSION_NOT_VALID_YET {
					t.Errorf("while the ledger fails, ticket %s is %s and the door says %s", ticket.ID, ticket.State, outcome)
				}
			}
		}
		if n := mails(t, system); n != mailed {
			t.Errorf("%d receipts were sent before the sales were booked", n-mailed)
		}
		m.Sandbox.Faults.Clear(fault.Ledger)
	}
	var orders []string
	for _, cart := range carts {
		e2etest.Await(t, system, cart.OrderID, "completed", e2etest.Completed)
		e2etest.AssertOneSale(t, e2etest.Order(t, system, cart.OrderID), 1)
		orders = append(orders, cart.OrderID)
	}
	e2etest.AwaitIdle(t, system, idle.Scope{Orders: orders}) // their receipts are not the next fault's
}

// impatient shortens the times after which an order is blocked and given up.
var impatient = map[string]string{
	"DAYOF_CHECKOUT_ATTEMPT_DEADLINE": "2s", "DAYOF_CHECKOUT_ATTEMPT_LEASE": "3s", "DAYOF_CHECKOUT_BACKOFF_MAX": "500ms",
	"DAYOF_CHECKOUT_BLOCKED_AFTER": "1s", "DAYOF_CHECKOUT_GIVE_UP_AFTER": "6s", "DAYOF_CHECKOUT_SWEEP_INTERVAL": "500ms",
}

// TestLedgerDownForEver takes the ledger away and does not give it back: the order is blocked, one alert says so, and past
// the deadline the buyer has their money back, all without the ledger. Once there is one again, the books follow.
func TestLedgerDownForEver(t *testing.T) {
	t.Parallel()
	m := e2etest.NewCluster(t, 2, impatient)
	system := client.NewClient(m.File)
	cart := e2etest.Start(t, system, e2etest.NewVariant(t, system, 4450, 10), 2)
	if err := m.Sandbox.Faults.Set(fault.Ledger, fault.Fault{Mode: fault.Refuse, Rate: 1}); err != nil {
		t.Fatal(err)
	}
	if err := system.Pay(e2etest.Within(t, time.Minute), cart, client.ViaBoth); err != nil {
		t.Fatal(err)
	}
	e2etest.Await(t, system, cart.OrderID, "blocked by the ledger", func(o *checkoutv1.Order) bool {
		state := o.GetFulfilmentState() // on a busy machine it is over before anybody looks: the alert below says that it was
		return state == checkoutv1.FulfilmentState_FULFILMENT_STATE_LEDGER_BLOCKED || state == checkoutv1.FulfilmentState_FULFILMENT_STATE_UNFULFILLABLE
	})
	awaitHealthz(t, m.File.LedgerURL, `"away":["ledger"]`)
	e2etest.Await(t, system, cart.OrderID, "given up and refunded", e2etest.Refunded)
	o := e2etest.Order(t, system, cart.OrderID)
	for _, ticket := range o.Tickets {
		if ticket.State != "void" {
			t.Errorf("ticket %s of the order that was given up is %s", ticket.ID, ticket.State)
		}
	}
	alerts := blockedAlerts(t, system, cart.OrderID)
	if len(alerts) != 1 {
		t.Fatalf("%d alerts about the order: %v", len(alerts), alerts)
	}
	if a := alerts[0]; a.Facts["order_id"] != cart.OrderID || a.Facts["payment_intent_id"] != cart.IntentID || a.Link != m.File.ConsoleURL+"/orders/"+cart.OrderID {
		t.Errorf("the alert says %v, link %q", a.Facts, a.Link)
	}
	m.Sandbox.Faults.Clear(fault.Ledger)
	e2etest.AwaitIdle(t, system, idle.Scope{})
	if booked := e2etest.Captures(e2etest.Order(t, system, cart.OrderID)); len(booked) != 1 {
		t.Errorf("captures in the ledger: %v", booked)
	}
	e2etest.AssertClean(t, m)
}

// TestPostingLandsAtTheDeadline has the ledger do what it was asked, and nobody learns of it until the order is given up, or
// only at about that instant. Whichever comes first, each order ends completed or refunded and is booked once.
func TestPostingLandsAtTheDeadline(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]fault.Fault{
		"before it, reply lost": {Mode: fault.LostReply, Rate: 1},
		"at the same moment":    {Mode: fault.Slow, Rate: 1, LatencyMS: 6000, Match: "POST "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := e2etest.NewCluster(t, 2, impatient)
			system := client.NewClient(m.File)
			variant := e2etest.NewVariant(t, system, 4450, 100)
			var carts []client.Cart
			for range 6 {
				carts = append(carts, e2etest.Start(t, system, variant, 1))
			}
			if err := m.Sandbox.Faults.Set(fault.Ledger, f); err != nil {
				t.Fatal(err)
			}
			for _, cart := range carts {
				if err := system.Pay(e2etest.Within(t, time.Minute), cart, client.ViaWebhook); err != nil {
					t.Fatal(err)
				}
			}
			for _, cart := range carts {
				e2etest.Await(t, system, cart.OrderID, "ended", func(o *checkoutv1.Order) bool { return e2etest.Completed(o) || e2etest.Refunded(o) })
			}
			m.Sandbox.Faults.Clear(fault.Ledger)
			e2etest.AwaitIdle(t, system, idle.Scope{})
			ends := map[string]int{}
			for _, cart := range carts {
				o := e2etest.Order(t, system, cart.OrderID)
				ends[o.FulfilmentState]++
				if booked := e2etest.Captures(o); len(booked) != 1 || booked["capture:"+cart.IntentID] != 1 {
					t.Errorf("order %s is %s; captures in the ledger: %v", o.OrderID, o.FulfilmentState, booked)
				}
				if alerts := blockedAlerts(t, system, cart.OrderID); len(alerts) > 1 {
					t.Errorf("%d alerts about order %s", len(alerts), cart.OrderID)
				}
			}
			t.Logf("ends: %v", ends)
			if f.Mode == fault.LostReply && ends["unfulfillable"] != len(carts) {
				t.Errorf("ends %v, want all given up", ends)
			}
			e2etest.AssertClean(t, m)
		})
	}
}

// TestAlertIsPostedWithItsEnd has the alert of an order that waits say how much money waits and lead to a page that exists,
// and its end posted once the order is complete.
func TestAlertIsPostedWithItsEnd(t *testing.T) {
	t.Parallel()
	m := e2etest.NewCluster(t, 1, map[string]string{"DAYOF_CHECKOUT_BLOCKED_AFTER": "500ms", "DAYOF_CHECKOUT_BACKOFF_MAX": "500ms"})
	system := client.NewClient(m.File)
	cart := e2etest.Start(t, system, e2etest.NewVariant(t, system, 4450, 10), 2)
	if err := m.Sandbox.Faults.Set(fault.Ledger, fault.Fault{Mode: fault.Refuse, Rate: 1}); err != nil {
		t.Fatal(err)
	}
	if err := system.Pay(e2etest.Within(t, time.Minute), cart, client.ViaWebhook); err != nil {
		t.Fatal(err)
	}
	awaitAlert := func(what string, ok func(a sentAlert) bool) sentAlert {
		t.Helper()
		for ctx := e2etest.Within(t, 2*time.Minute); ; e2etest.Pause(ctx) {
			alerts := blockedAlerts(t, system, cart.OrderID)
			if len(alerts) == 1 && ok(alerts[0]) {
				return alerts[0]
			}
			if ctx.Err() != nil {
				t.Fatalf("no alert is posted %s: %+v", what, alerts)
			}
		}
	}
	begun := awaitAlert("of the order", func(a sentAlert) bool { return a.ResolvedTime == "" })
	if begun.Facts["amount"] != "89.00 EUR" {
		t.Errorf("the amount is not in the alert: %v", begun.Facts)
	}
	page := getPage(t, system, begun.Link)
	if !strings.Contains(page, cart.OrderID) || !strings.Contains(page, "dayof order show "+cart.OrderID) {
		t.Errorf("%s does not help: %s", begun.Link, page)
	}
	m.Sandbox.Faults.Clear(fault.Ledger)
	e2etest.Await(t, system, cart.OrderID, "completed", e2etest.Completed)
	if ended := awaitAlert("with its end", func(a sentAlert) bool { return a.ResolvedTime != "" }); ended.ID != begun.ID {
		t.Errorf("%+v ends as %+v", begun, ended)
	}
	// What else alerts link to.
	for _, path := range []string{
		"/accounts/acct_1", "/differences/d1", "/reconciliations/r1", "/webhooks", "/webhooks/account/evt_1", "/dlq/checkout/1", "/dlq/ledger/1", "/dlq/webhook/1",
	} {
		if page := getPage(t, system, system.File.ConsoleURL+path); !strings.Contains(page, "dayof ") {
			t.Errorf("%s names no command: %s", path, page)
		}
	}
	e2etest.AssertClean(t, m)
}

// getPage returns a page that must be there.
func getPage(t *testing.T, system *client.Client, url string) string {
	t.Helper()
	res, err := system.HTTP.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Errorf("%s: %s, %v", url, res.Status, err)
	}
	return string(body)
}

// sentAlert is an alert as the sink got it.
type sentAlert struct {
	ID      int64          `json:"id"`
	Kind    string         `json:"kind"`
	Subject string         `json:"subject"`
	Facts   map[string]any `json:"facts"`
	Link    string         `json:"link"`
	// ResolvedTime is there once it is over.
	ResolvedTime string `json:"resolved_time"`
}

// blockedAlerts are the alerts that were delivered about an order that waits, each as it was delivered last.
func blockedAlerts(t *testing.T, system *client.Client, orderID string) []sentAlert {
	t.Helper()
	res, err := system.HTTP.Get(system.File.Sandbox.AlertLogURL)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var log []struct {
		Body sentAlert `json:"body"`
	}
	if err := json.NewDecoder(res.Body).Decode(&log); err != nil {
		t.Fatal(err)
	}
	var alerts []sentAlert
	for _, entry := range log {
		if entry.Body.Kind != "order_blocked" || entry.Body.Subject != orderID {
			continue
		}
		if at := slices.IndexFunc(alerts, func(a sentAlert) bool { return a.ID == entry.Body.ID }); at >= 0 {
			alerts[at] = entry.Body
		} else {
			alerts = append(alerts, entry.Body)
		}
	}
	return alerts
}

// awaitHealthz waits until a service that serves reports something beside.
func awaitHealthz(t *testing.T, baseURL, want string) {
	t.Helper()
	ctx := e2etest.Within(t, time.Minute)
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, baseURL+"/healthz", nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatalf("health does not report %s: %v", want, err)
		}
		body, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if res.StatusCode != http.StatusOK {
			t.Fatalf("health is %d %s while a party is away", res.StatusCode, body)
		}
		if strings.Contains(string(body), want) {
			return
		}
		e2etest.Pause(ctx)
	}
}
