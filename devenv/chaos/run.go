// Package chaos sells tickets through a system of processes while it kills, freezes and starves its parts, and then asks
// whether the promise was kept: nobody is charged without a ticket or a refund, and nobody holds a valid ticket that the
// ledger does not know. What it does follows from a seed, so that a failure can be brought about again.
package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/devenv/cluster"
	"github.com/dayof/dayof/devenv/idle"
	"github.com/dayof/dayof/devenv/invariant"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
)

// Config says what a chaos test does to the system. Program is required.
type Config struct {
	Program  string // the dayof binary
	Seed     uint64
	Replicas int // of each service; 0 means 2
	Sales    int // in all
	Buyers   int // at once
	// Kills is how many random kill -9 each service suffers while the sales run, and Freezes how many times it is stopped for
	// a while.
	Kills, Freezes int
	// Faults is how many times an external service fails for a while.
	Faults int
	// DatabaseFailures is how many times Postgres is restarted at once (immediate), loses its backends, or has no connection
	// left, in turn.
	DatabaseFailures int
	// CrashPoint arms the first replica of its service to die at a named point, and StopPoint to stop there for StopFor. One of
	// checkoutsvc stays dead or stopped until another replica has taken its orders up and finished them.
	CrashPoint, StopPoint string
	StopFor               time.Duration
	// Patience is how long everything may take to come to an end once nothing is broken any more; 0 means 5 minutes.
	Patience time.Duration
	// TakeUpMax is the longest that an order may wait for the next attempt after a replica failed in one; 0 means 12 s, for a
	// machine that nothing else keeps busy.
	TakeUpMax time.Duration
	// AllHaveDevices gives every buyer a device, and half of them their money back later.
	AllHaveDevices bool
	// Settings are settings of the services, such as shortened times.
	Settings map[string]string
	// PostgresSettings are settings of the server; its data must survive a crash of the server, not of the machine.
	PostgresSettings map[string]string
	Log              io.Writer
}

// Report is the outcome of a chaos test.
type Report struct {
	Seed       uint64
	Paid       int // sales whose money was captured
	Completed  int
	Refunded   int // of those that were given up
	Violations []string
	// OrdersEnded is how long after the last sale, and with all replicas alive, the last paid order was completed or refunded.
	OrdersEnded time.Duration
	// Recovery is how long after that nothing at all was left to do.
	Recovery time.Duration
	Killed   int
	Frozen   int
	// Orphans are fulfilment attempts whose replica died or stopped, and OrphanWaitMax is the longest that one waited for the next attempt.
	Orphans       int
	OrphanWaitMax time.Duration
	Devices       int
	Pushes        int // that reached a device
}

const (
	// patience is how long everything may take to come to an end once nothing is broken any more, unless Config says so.
	patience   = 5 * time.Minute
	settlePoll = 200 * time.Millisecond
)

// Run starts a system, sells under faults, and reports. An error means that the test itself could not be run.
func Run(ctx context.Context, c Config) (Report, error) {
	if c.Replicas == 0 {
		c.Replicas = 2
	}
	if c.Patience == 0 {
		c.Patience = patience
	}
	if c.TakeUpMax == 0 {
		c.TakeUpMax = takeUpMax
	}
	if c.Log == nil {
		c.Log = io.Discard
	}
	report := Report{Seed: c.Seed}
	m, err := cluster.Start(ctx, cluster.Config{
		Program: c.Program, Replicas: c.Replicas, Settings: c.Settings, PostgresSettings: c.PostgresSettings, Seed: c.Seed,
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return report, fmt.Errorf("start the cluster: %w", err)
	}
	h := &harness{
		config: c, cluster: m, plan: newPlan(c), report: &report, down: make(chan struct{}),
		devices: devices{all: map[string]*device{}}, orphans: map[string]bool{},
	}
	for n := range c.Replicas {
		h.clients = append(h.clients, client.NewClient(m.ReplicaFile(n)))
	}
	if err = h.disorderEvents(ctx); err == nil {
		err = h.run(ctx)
	}
	return report, errors.Join(err, m.Stop(ctx))
}

// harness is one run: the system under test and what is noted about it.
type harness struct {
	config   Config
	cluster  *cluster.Cluster
	plan     []injection
	clients  []*client.Client // by replica
	report   *Report
	devices  devices
	injected atomic.Int64 // injections
	down     chan struct{}

	freeVariant *checkoutv1.Variant

	mu       sync.Mutex      // of the log and of what follows
	paid     []string        // orders whose money was captured
	free     []string        // orders that cost nothing
	failures []time.Time     // of replicas of checkoutsvc
	orphans  map[string]bool // orders whose fulfilment attempt was lost
	// unserved says why buyers gave up.
	unserved []string
}

func (h *harness) run(ctx context.Context) error {
	variant, err := h.sell(ctx)
	if err != nil {
		return err
	}
	if err := h.keepHistory(ctx); err != nil {
		return fmt.Errorf("keep history: %w", err)
	}
	pushing, stopPushing := context.WithCancel(ctx)
	var handling sync.WaitGroup
	handling.Go(func() { h.handlePushes(pushing) })
	defer handling.Wait()
	defer stopPushing()
	if err := h.sellUnderFaults(ctx, variant); err != nil {
		return err
	}
	h.cluster.Sandbox.Faults.ClearAll()
	if h.config.CrashPoint != "" && h.armed() == "checkout" {
		// It stays dead until another replica has taken its orders up and finished them.
		h.wait(ctx, h.openAttempts)
		if err := h.cluster.Restart(ctx, h.armed(), 0); err != nil {
			return err
		}
	}
	h.report.OrdersEnded = h.wait(ctx, h.openOrders)
	watch, err := idle.NewWatch(ctx, h.witness())
	if err != nil {
		return err
	}
	defer watch.Close()
	h.report.Recovery = h.wait(ctx, func(ctx context.Context) (string, error) { return watch.Left(ctx, idle.Scope{}) })
	return h.check(ctx)
}

// sellUnderFaults makes all sales while things break.
func (h *harness) sellUnderFaults(ctx context.Context, variant *checkoutv1.Variant) error {
	if h.config.aims() {
		if err := h.arm(ctx); err != nil {
			return err
		}
	}
	chaos, stopChaos := context.WithCancel(ctx)
	defer stopChaos()
	var broken sync.WaitGroup
	broken.Go(func() { h.injectAll(chaos) })
	if h.config.aims() {
		broken.Go(func() { h.supervise(chaos) })
	}
	err := h.buyAll(ctx, variant)
	if err == nil && h.config.aims() {
		err = h.expectDown(ctx)
	}
	if err != nil {
		stopChaos()
	}
	broken.Wait() // all of its injections, also when the sales were quicker
	return err
}

// sell puts one variant on sale, with a ticket for everybody, and one that costs nothing beside it.
func (h *harness) sell(ctx context.Context) (*checkoutv1.Variant, error) {
	event, err := h.clients[0].Seed(ctx, h.cluster.Clock().Now())
	if err != nil {
		return nil, fmt.Errorf("seed: %w", err)
	}
	h.freeVariant, err = h.clients[0].CreateVariant(ctx, "chaos/free", event.GetId(), "Chaos", "Child", int64(h.config.Sales), &checkoutv1.VariantVersion{
		Price: &moneyv1.Money{Currency: "EUR"},
	})
	if err != nil {
		return nil, fmt.Errorf("create free variant: %w", err)
	}
	return h.clients[0].CreateVariant(ctx, "chaos", event.GetId(), "Chaos", "Seat", int64(h.config.Sales)*2, &checkoutv1.VariantVersion{
		Price: &moneyv1.Money{Currency: "EUR", MinorUnits: 4900}, ApplicationFeeMinorUnits: 250, TaxMinorUnits: 320, TaxCountry: "DE", TaxKind: "vat",
	})
}

func (h *harness) say(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, _ = fmt.Fprintf(h.config.Log, "%s "+format+"\n", append([]any{h.cluster.Clock().Now().Format("15:04:05.000")}, args...)...)
}

// wait polls until nothing is left and returns how long that took. What is left when time runs out is a violation.
func (h *harness) wait(ctx context.Context, left func(ctx context.Context) (string, error)) time.Duration {
	from := h.cluster.Clock().Now()
	ctx, cancel := context.WithTimeout(ctx, h.config.Patience)
	defer cancel()
	what := ""
	for {
		now, err := left(ctx)
		switch {
		case err == nil:
			what = now
		case ctx.Err() == nil:
			what = err.Error()
		}
		took := h.cluster.Clock().Now().Sub(from)
		if err == nil && what == "" {
			return took
		}
		select {
		case <-ctx.Done():
			h.violated("everything_ends", fmt.Sprintf("after %v there is still to do: %s", took.Round(time.Second), what))
			return took
		case <-time.After(settlePoll):
		}
	}
}

// openAttempts says how many orders are being fulfilled.
func (h *harness) openAttempts(ctx context.Context) (left string, err error) {
	err = h.onDatabase(ctx, "checkout", func(pool *pgxpool.Pool) error {
		var open int
		err := pool.QueryRow(ctx, `select count(*) from orders where fulfilment in ('in_progress', 'ledger_blocked')`).Scan(&open)
		if open > 0 {
			left = fmt.Sprintf("%d orders are being fulfilled", open)
		}
		return err
	})
	return left, err
}

// openOrders says which paid order has not ended.
func (h *harness) openOrders(ctx context.Context) (string, error) {
	if len(h.paid) == 0 {
		return "", errors.New("nothing was paid")
	}
	for _, id := range h.paid {
		details, err := h.witness().Orders.GetOrderDetails(ctx, &checkoutv1.GetOrderDetailsRequest{OrderId: id})
		if err != nil {
			return "", err
		}
		order := details.GetOrder()
		switch order.GetFulfilmentState() {
		case checkoutv1.FulfilmentState_FULFILMENT_STATE_COMPLETED:
		case checkoutv1.FulfilmentState_FULFILMENT_STATE_UNFULFILLABLE:
			if order.GetPaymentState() != checkoutv1.PaymentState_PAYMENT_STATE_REFUNDED {
				return "order " + id + " is not refunded", nil
			}
		default:
			return "order " + id + " is " + client.Word(order.GetFulfilmentState()), nil
		}
	}
	return "", nil
}

// witness is the replica that is asked for the truth: never the one that died for good.
func (h *harness) witness() *client.Client { return h.clients[len(h.clients)-1] }

// check counts the ends of all paid orders and checks the invariants.
func (h *harness) check(ctx context.Context) error {
	h.report.Paid = len(h.paid)
	for _, id := range h.paid {
		details, err := h.witness().Orders.GetOrderDetails(ctx, &checkoutv1.GetOrderDetailsRequest{OrderId: id})
		if err != nil {
			return fmt.Errorf("get order: %w", err)
		}
		switch details.GetOrder().GetFulfilmentState() {
		case checkoutv1.FulfilmentState_FULFILMENT_STATE_COMPLETED:
			h.report.Completed++
		case checkoutv1.FulfilmentState_FULFILMENT_STATE_UNFULFILLABLE:
			h.report.Refunded++
		default:
			h.violated("paid_order_ends", "order "+id+" was paid and is "+client.Word(details.GetOrder().GetFulfilmentState()))
		}
	}
	for _, id := range h.free {
		details, err := h.witness().Orders.GetOrderDetails(ctx, &checkoutv1.GetOrderDetailsRequest{OrderId: id})
		if err != nil {
			return fmt.Errorf("get order: %w", err)
		}
		if o := details.GetOrder(); o.GetFulfilmentState() != checkoutv1.FulfilmentState_FULFILMENT_STATE_COMPLETED || len(o.GetPaymentIntents()) > 0 {
			h.violated("free_order_completes", "order "+id+" costs nothing and is "+client.Word(o.GetFulfilmentState()))
		}
	}
	results, err := invariant.Run(ctx, h.cluster.ReplicaFile(h.config.Replicas-1))
	if err != nil {
		return fmt.Errorf("check invariants: %w", err)
	}
	for _, r := range results {
		h.violated(r.Name, r.Violations...)
	}
	return errors.Join(h.checkHistory(ctx), h.checkOrder(ctx), h.checkOnce(ctx), h.checkDevices(ctx))
}

// violated notes what broke a rule.
func (h *harness) violated(rule string, sentences ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, sentence := range sentences {
		h.report.Violations = append(h.report.Violations, rule+": "+sentence)
	}
}
