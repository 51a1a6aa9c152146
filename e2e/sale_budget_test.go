package e2e

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/devenv/cluster"
	"github.com/dayof/dayof/devenv/cost"
	"github.com/dayof/dayof/devenv/idle"
	"github.com/dayof/dayof/devenv/sandbox/fault"
	"github.com/dayof/dayof/e2e/e2etest"
)

// budget is the most that a sale may cost a service's database, everything that follows from it included: receipts, fees and
// events. What a service does by the clock does not count, and neither do the questions whether there is work.
type budget struct {
	commits, rows float64 // that were written
	wal           float64 // bytes, without full-page images
}

// What a sale costs now at most, each job by itself. Where Stripe's event comes before the buyer's browser, the fee is fetched and posted
// by itself. Lower one of these with what makes it cheaper.
var budgets = map[string]budget{
	"checkout": {commits: 10, rows: 25, wal: 12_500},
	"pass":     {commits: 1.2, rows: 3.2, wal: 3_000},
	"ledger":   {commits: 2.2, rows: 9.2, wal: 6_200},
	"webhook":  {commits: 2.5, rows: 2.5, wal: 4_000},
}

// Calls of a sale: RPCs that the services answered, the buyer's among them; calls of Stripe, the buyer's payment among them; of the
// ledger; and webhooks. Each leaves room for a repeat now and then: on a busy machine a call may run out of time.
const (
	rpcsMax        = 7.3
	stripeCallsMax = 5.0 // three, and two for the fee where Stripe's event comes first
	ledgerCallsMax = 2.3
	webhooksMax    = 1.3
)

// startCounted starts a system whose Postgres counts what is done, which takes a server of its own.
func startCounted(t *testing.T) *cluster.Cluster {
	t.Helper()
	if e2etest.OnGivenServer() {
		t.Skip("counts in the log of a Postgres of its own")
	}
	c := e2etest.Config()
	c.Replicas = 1
	c.PostgresSettings = maps.Clone(c.PostgresSettings)
	maps.Copy(c.PostgresSettings, cost.Settings())
	return e2etest.StartCluster(t, c)
}

// TestSaleBudget counts what sales cost, one after the other: counts are the same on a busy machine.
func TestSaleBudget(t *testing.T) {
	m := startCounted(t)
	system := client.NewClient(m.File)
	variant := e2etest.NewVariant(t, system, 8900, 1000)
	ctx := e2etest.Within(t, time.Minute)
	meter, err := cost.NewMeter(ctx, m)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = meter.Close(ctx) }()
	const warm, sales = 5, 20
	for i := range warm + sales {
		if i == warm {
			e2etest.AwaitIdle(t, system, idle.Scope{})
			if err := meter.Reset(ctx); err != nil {
				t.Fatal(err)
			}
		}
		cart := e2etest.Start(t, system, variant, 1)
		if err := system.Stripe.Confirm(ctx, cart.IntentID, cart.ClientSecret, client.CardThatPays); err != nil {
			t.Fatal(err)
		}
		if _, err := system.Complete(ctx, cart); err != nil {
			t.Fatal(err)
		}
	}
	e2etest.AwaitIdle(t, system, idle.Scope{})
	spent, err := meter.Cost(ctx)
	if err != nil {
		t.Fatal(err)
	}
	per := func(n int64) float64 { return float64(n) / sales }
	within := func(what string, got, most float64) {
		t.Logf("%s: %.2f, at most %.2f", what, got, most)
		if got > most {
			t.Errorf("%s: %.2f a sale, at most %.2f", what, got, most)
		}
	}
	for _, service := range slices.Sorted(maps.Keys(budgets)) {
		d, b := spent.Databases[service], budgets[service]
		within(service+" commits", per(d.Commits), b.commits)
		within(service+" rows", per(d.RowsSum()), b.rows)
		within(service+" bytes of WAL", per(d.BytesSum()), b.wal)
		t.Logf("%s rows %v", service, d.Rows)
	}
	var rpcs int64
	for _, n := range spent.RPCs {
		rpcs += n
	}
	within("RPCs", per(rpcs), rpcsMax)
	calls := map[string]int64{}
	for call, n := range spent.Calls {
		if call.Name != "GET /v1/events" { // once, for what could not be delivered before the start
			calls[call.Party] += n
		}
	}
	within("calls of Stripe", per(calls[fault.Stripe]), stripeCallsMax)
	within("calls of the ledger", per(calls[fault.Ledger]), ledgerCallsMax)
	within("webhooks", per(spent.Webhooks), webhooksMax)
}
