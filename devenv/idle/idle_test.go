package idle_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/devenv/cluster"
	"github.com/dayof/dayof/devenv/idle"
	"github.com/dayof/dayof/devenv/pgtest"
	"github.com/dayof/dayof/devenv/scenario"
	"github.com/dayof/dayof/internal/chassis/clock"
)

const testdata = "../scenario/testdata"

// newCluster starts a system for one test.
func newCluster(t *testing.T) *cluster.Cluster {
	t.Helper()
	m, err := cluster.Start(t.Context(), cluster.Config{
		PostgresSettings: pgtest.Settings(),
		Getenv: func(name string) string {
			if name == "DAYOF_DATABASE_URL" {
				name = "DAYOF_TEST_DATABASE_URL"
			}
			return os.Getenv(name)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return m
}

// exec changes a service's database behind its back.
func exec(t *testing.T, m *cluster.Cluster, service, sql string, args ...any) {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), m.File.DatabaseURLs[service])
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if _, err := pool.Exec(t.Context(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

// endlessJob is due now, in a queue that nobody works.
const endlessJob = `insert into river_job (args, kind, max_attempts, queue, state, scheduled_at)
	values (jsonb_build_object('order_id', $1::text), $2, 25, 'nobody', 'available', now())`

// replay plays a scenario and wants it to pass: what holds it up is left to do when its time is over.
func replay(t *testing.T, system *client.Client, s scenario.Scenario, events string) scenario.Result {
	t.Helper()
	r := scenario.Replay(t.Context(), system, s, scenario.Options{Events: events, Clock: clock.System{}})
	if !r.Passed {
		t.Errorf("%s: %s, left %q, different %+v, events %v", s.Key, r.Error, r.Left, r.Differences, r.EndState.Events)
	}
	return r
}

// scenarioOf returns a scenario of the test data.
func scenarioOf(t *testing.T, key string) scenario.Scenario {
	t.Helper()
	all, err := scenario.Load(filepath.Join(testdata, "stories.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		if s.Key == key {
			return s
		}
	}
	t.Fatalf("no scenario %s", key)
	return scenario.Scenario{}
}

// write puts a scenarios file with one scenario beside its events and reads it as `dayof replay` does.
func write(t *testing.T, dir, text string) scenario.Scenario {
	t.Helper()
	path := filepath.Join(dir, "scenarios.json")
	if err := os.WriteFile(path, []byte("["+text+"]"), 0o600); err != nil {
		t.Fatal(err)
	}
	all, err := scenario.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return all[0]
}

// event writes an event's file and returns its name.
func event(t *testing.T, dir, id, kind, object string) string {
	t.Helper()
	name := id + ".json"
	text := fmt.Sprintf(`{"id":%q,"object":"event","api_version":"2023-10-16","created":1764000000,"livemode":false,"pending_webhooks":1,
		"type":%q,"data":{"object":%s}}`, id, kind, object)
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestScenarios ends each scenario soon after its last effect, while other orders have work that never ends.
func TestScenarios(t *testing.T) {
	t.Parallel()
	m := newCluster(t)
	system := client.NewClient(m.File)
	exec(t, m, "checkout", endlessJob, "anOrderOfSomebodyElse", "send_receipt")
	for name, test := range map[string]func(t *testing.T, system *client.Client){
		"beside another order's endless job": func(t *testing.T, system *client.Client) {
			t.Helper()
			replay(t, system, scenarioOf(t, "c"), testdata)
		},
		"with a fee that Stripe never reports": testWithoutFee,
		"without a sale":                       testWithoutSale,
		"with an event that waits for good":    testDeferred,
		"of a hundred events":                  testHundredEvents,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, system)
		})
	}
}

// testWithoutFee leaves the charge without a balance transaction.
func testWithoutFee(t *testing.T, system *client.Client) {
	t.Helper()
	s := scenarioOf(t, "a1")
	s.Files = s.Files[:len(s.Files)-1] // charge.updated would bring the balance transaction
	events := t.TempDir()
	for _, name := range s.Files {
		text, err := os.ReadFile(filepath.Join(testdata, s.Dir, name))
		if err != nil {
			t.Fatal(err)
		}
		var body map[string]any
		if err := json.Unmarshal(text, &body); err != nil {
			t.Fatal(err)
		}
		forgetFee(body)
		if text, err = json.Marshal(body); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(events, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	replay(t, system, s, events)
}

// testWithoutSale has a payout as its only subject.
func testWithoutSale(t *testing.T, system *client.Client) {
	t.Helper()
	dir := t.TempDir()
	payout := `{"id":"po_1QztQNYu43UWUcve","object":"payout","amount":5000,"created":1764000000,"currency":"eur","status":"%s"}`
	files := fmt.Sprintf("%q, %q",
		event(t, dir, "evt_1payoutCreated", "payout.created", fmt.Sprintf(payout, "in_transit")),
		event(t, dir, "evt_1payoutPaid00", "payout.paid", fmt.Sprintf(payout, "paid")))
	r := replay(t, system, write(t, dir, `{"key":"payout","amount":0,"files":[`+files+`],
		"expect":{"recorded":true,"payouts":{"po_1QztQNYu43UWUcve":"paid"},"captured":0,"tickets":{}}}`), dir)
	if r.OrderID != "" || r.EndState.LedgerPostings == 0 {
		t.Errorf("%+v", r)
	}
}

// testDeferred expects an event to wait for an order that does not exist.
func testDeferred(t *testing.T, system *client.Client) {
	t.Helper()
	dir := t.TempDir()
	name := event(t, dir, "evt_1chargeOfNobody", "charge.succeeded", `{"id":"ch_1ofNobody00","object":"charge","amount":900,
		"amount_captured":900,"amount_refunded":0,"captured":true,"paid":true,"created":1764000000,"currency":"eur","status":"succeeded",
		"livemode":false,"payment_intent":"pi_1ofNobody00","metadata":{"order_id":"ordOfNobody0000000000"}}`)
	text := `{"key":"deferred","amount":0,"files":["` + name + `"],"expect":{"events":{"deferred":1},"recorded":true}}`
	replay(t, system, write(t, dir, text), dir)
	watch, err := idle.NewWatch(t.Context(), system)
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Close()
	scope := idle.Scope{Orders: []string{"ordOfNobody0000000000"}}
	if left, err := watch.Left(t.Context(), scope); err != nil || !strings.Contains(left, "deferred") {
		t.Errorf("where no deferred event is expected it is not left to do: %q, %v", left, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if err := watch.Await(ctx, scope); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("nobody waits for it: %v", err)
	}
}

// testHundredEvents has a sale of which Stripe reports the beginning nearly a hundred times.
func testHundredEvents(t *testing.T, system *client.Client) {
	t.Helper()
	dir := t.TempDir()
	s := scenarioOf(t, "a1")
	created, err := os.ReadFile(filepath.Join(testdata, s.Dir, s.Files[0]))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range s.Files {
		text, err := os.ReadFile(filepath.Join(testdata, s.Dir, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := len(s.Files); i < 100; i++ {
		name := fmt.Sprintf("again-%03d.json", i)
		text := strings.ReplaceAll(string(created), "evt_3Re5MLVwdSIWUcve0mJ9RDNJkl8", fmt.Sprintf("evt_3Re5MLVwdSIWUcve0mJ9Again%03d", i))
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s.Files = append(s.Files, name)
	}
	if r := replay(t, system, s, dir); r.Answers["200"] != 100 {
		t.Errorf("answers %v", r.Answers)
	}
}

// forgetFee removes the balance transaction of every charge, as Stripe has none at first with asynchronous capture.
func forgetFee(value any) {
	switch v := value.(type) {
	case map[string]any:
		if _, ok := v["balance_transaction"]; ok {
			v["balance_transaction"] = nil
		}
		for _, element := range v {
			forgetFee(element)
		}
	case []any:
		for _, element := range v {
			forgetFee(element)
		}
	}
}

// TestLeft names what is left to do, of an order and of everything.
func TestLeft(t *testing.T) {
	t.Parallel()
	m := newCluster(t)
	system := client.NewClient(m.File)
	if _, err := system.Seed(t.Context(), m.Clock().Now()); err != nil {
		t.Fatal(err)
	}
	sale, err := system.Sell(t.Context(), client.Purchase{Tickets: 1, Via: client.ViaBoth})
	if err != nil {
		t.Fatal(err)
	}
	watch, err := idle.NewWatch(t.Context(), system)
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	order := idle.Scope{Orders: []string{sale.OrderID}, Fees: true}
	if err := watch.Await(ctx, order); err != nil {
		t.Fatal(err)
	}
	if o, err := system.Order(ctx, sale.OrderID); err != nil || !strings.Contains(fmt.Sprint(o.Postings), "fee:") {
		t.Errorf("the fee is not booked: %v, %v", o.Postings, err)
	}
	if err := watch.Await(ctx, idle.Scope{}); err != nil {
		t.Fatal(err)
	}

	exec(t, m, "checkout", endlessJob, "anOrderOfSomebodyElse", "send_receipt")
	left(t, watch, order, "")
	left(t, watch, idle.Scope{}, "1 jobs send_receipt")
	exec(t, m, "checkout", `insert into river_job (args, kind, max_attempts, queue, state, scheduled_at)
		values (jsonb_build_object('ticket_id', $1::text), 'void_pass', 25, 'nobody', 'retryable', now() + interval '30 seconds')`, sale.Tickets[0].ID)
	left(t, watch, order, "1 jobs void_pass")
	exec(t, m, "checkout", `update river_job set scheduled_at = now() + interval '1 hour' where queue = 'nobody'`)
	left(t, watch, idle.Scope{}, "")
	exec(t, m, "pass", `insert into pushes (id, pass_type, serial, revision, device_id, push_token, create_time, due_time)
		values (gen_random_uuid(), 'none', $1, 1, 'device', 'token', now(), now())`, sale.Tickets[0].PassSerial)
	left(t, watch, order, "1 pushes")
	left(t, watch, idle.Scope{Orders: []string{"anOrderOfSomebodyElse"}}, "")
}

func left(t *testing.T, watch *idle.Watch, s idle.Scope, want string) {
	t.Helper()
	got, err := watch.Left(t.Context(), s)
	if err != nil || got != want {
		t.Errorf("left to do about %+v: %q, want %q, %v", s, got, want, err)
	}
}
