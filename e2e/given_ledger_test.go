package e2e

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/devenv/cluster"
	"github.com/dayof/dayof/devenv/invariant"
	"github.com/dayof/dayof/devenv/sandbox/fault"
	"github.com/dayof/dayof/e2e/e2etest"
)

// TestGivenLedger keeps the books on a server that is not the cluster's own: it fails on purpose like the sandbox's, `check` reads
// the ledger that was named, and says how many sales it excuses while they wait.
func TestGivenLedger(t *testing.T) {
	t.Parallel()
	c := e2etest.Config()
	environment, name := c.Getenv, "given-"+strings.ToLower(rand.Text())
	c.Replicas = 1
	c.Getenv = func(setting string) string {
		switch setting {
		case "DAYOF_FORMANCE_URL":
			return shared.File.Sandbox.FormanceURL
		case "DAYOF_FORMANCE_LEDGER":
			return name
		}
		return environment(setting)
	}
	m, err := e2etest.Begin(t.Context(), c)
	if err != nil {
		t.Fatalf("start the cluster: %v", err)
	}
	defer stopTwice(t, m)
	system := client.NewClient(m.File)
	if err := m.Sandbox.Faults.Set(fault.Ledger, fault.Fault{Mode: fault.Refuse, Rate: 1, Match: "POST"}); err != nil {
		t.Fatal(err)
	}
	cart := e2etest.Start(t, system, e2etest.NewVariant(t, system, 4450, 10), 1)
	if err := system.Pay(e2etest.Within(t, time.Minute), cart, client.ViaWebhook); err != nil {
		t.Fatal(err)
	}
	e2etest.WaitForHit(t, m)
	results, err := invariant.Run(e2etest.Within(t, time.Minute), m.File)
	if err != nil {
		t.Fatal(err)
	}
	excused := 0
	for _, r := range results {
		excused += r.Excused
	}
	if excused != 1 {
		t.Errorf("%d sales are excused as under way, want 1", excused)
	}
	m.Sandbox.Faults.Clear(fault.Ledger)
	e2etest.Await(t, system, cart.OrderID, "completed", e2etest.Completed)
	e2etest.AssertOneSale(t, e2etest.Order(t, system, cart.OrderID), 1)
	e2etest.AssertClean(t, m)

	there := shared.File.Sandbox
	there.FormanceLedger = name
	if n := transactions(t, there); n == 0 {
		t.Error("the given server has no transaction of the ledger that was named")
	}
}

// stopTwice stops a cluster and stops it again, which returns.
func stopTwice(t *testing.T, m *cluster.Cluster) {
	t.Helper()
	ended := make(chan error, 2)
	go func() {
		ended <- m.Stop(context.Background())
		ended <- m.Stop(context.Background())
	}()
	for range 2 {
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("stop the cluster: %v", err)
			}
		case <-time.After(2 * time.Minute):
			t.Fatal("the stop of the cluster does not return")
		}
	}
}

// transactions counts what a ledger holds, on its first page.
func transactions(t *testing.T, s client.Sandbox) int {
	t.Helper()
	req, err := http.NewRequestWithContext(e2etest.Within(t, time.Minute), http.MethodGet, s.LedgerAPI()+"/transactions", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var page struct {
		Cursor struct{ Data []json.RawMessage }
	}
	if err := json.NewDecoder(res.Body).Decode(&page); err != nil {
		t.Fatal(err)
	}
	return len(page.Cursor.Data)
}
