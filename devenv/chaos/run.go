// Package ordeal sells tickets through a system of processes while it kills, freezes and starves its parts, and then asks
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

// Config says how hard the ordeal is. Program is required.
type Config struct {
	Program  string // the dayof binary
	Seed     uint64
	Replicas int // of each service; 0 means 2
	Sales    int // in all
	Buyers   int // at once
	// Kills is how many random kill -9 each service suffers while the sales run, and Freezes how many times it is stopped for
	// a while.
	Kills, Freezes int
	// Faults is how many times a party of the outside world fails for a while.
	Faults int
	// DatabaseFailures is how many times Postgres is restarted at once (immediate), loses its backends, or has no connection
	// left, in turn.
	DatabaseFailures int
	// CrashPoint arms the first replica of its service to die at a named point, and StopPoint to stop there for StopFor.
	CrashPoint, StopPoint string
	StopFor               time.Duration
	// Patience is how long everything may take to come to an end once nothing is broken any more; 0 means 2 minutes.
	Patience time.Duration
	// AllHavePhones gives every buyer a phone, and half of them their money back later.
	AllHavePhones bool
	// Settings are settings of the services, such as shortened times.
	Settings map[string]string
	// PostgresSettings are settings of the server; its data must survive a crash of the server, not of the machine.
	PostgresSettings map[string]string
	Log              io.Writer
}

// Report is what came of an ordeal.
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
	// Orphans are walks whose walker fell, and OrphanWaitMax is the longest that one waited for the next walker.
	Orphans       int
	OrphanWaitMax time.Duration
	Phones        int
	Pushes        int // that reached a phone
}

const (
	// patience is how long everything may take to come to an end once nothing is broken any more, unless Config says so.
	patience   = 2 * time.Minute
	settlePoll = 200 * time.Millisecond
)

// Run starts a system, lets it suffer, and reports. An error means that the ordeal itself could not be held.
func Run(ctx context.Context, c Config) (Report, error) {
	if c.Replicas == 0 {
		c.Replicas = 2
	}
	if c.Patience == 0 {
		c.Patience = patience
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
	o := &ordeal{
		config: c, cluster: m, plan: newPlan(c), report: &report, fallen: make(chan struct{}),
		phones: phones{all: map[string]*phone{}}, orphans: map[string]bool{},
	}
	for n := range c.Replicas {
		o.clients = append(o.clients, client.NewClient(m.ReplicaFile(n)))
	}
	err = o.run(ctx)
	return report, errors.Join(err, m.Stop(ctx))
}

// ordeal is one run.
type ordeal struct {
	config  Config
	cluster *cluster.Cluster
	plan    []blow
	clients []*client.Client // by replica
	report  *Report
	phones  phones
	dealt   atomic.Int64 // blows
	fallen  chan struct{}

	mu      sync.Mutex      // of the log and of what follows
	paid    []string        // orders whose money was captured
	falls   []time.Time     // of replicas of checkoutsvc
	orphans map[string]bool // orders that lost a walker
	// unserved tells why buyers gave up.
	unserved []string
}

func (o *ordeal) run(ctx context.Context) error {
	variant, err := o.sell(ctx)
	if err != nil {
		return err
	}
	if err := o.keepHistory(ctx); err != nil {
		return fmt.Errorf("keep history: %w", err)
	}
	ringing, hangUp := context.WithCancel(ctx)
	var ring sync.WaitGroup
	ring.Go(func() { o.ring(ringing) })
	defer ring.Wait()
	defer hangUp()
	if err := o.suffer(ctx, variant); err != nil {
		return err
	}
	o.cluster.Sandbox.Faults.ClearAll()
	if o.config.CrashPoint != "" && o.armed() == "checkout" {
		// It stays dead until another replica has taken its walks up and finished them.
		o.wait(ctx, o.openWalks)
		if err := o.cluster.Restart(ctx, o.armed(), 0); err != nil {
			return err
		}
	}
	o.report.OrdersEnded = o.wait(ctx, o.openOrders)
	watch, err := idle.NewWatch(ctx, o.witness())
	if err != nil {
		return err
	}
	defer watch.Close()
	o.report.Recovery = o.wait(ctx, func(ctx context.Context) (string, error) { return watch.Left(ctx, idle.Scope{}) })
	return o.judge(ctx)
}

// suffer makes all sales while things break.
func (o *ordeal) suffer(ctx context.Context, variant *checkoutv1.Variant) error {
	if o.config.aims() {
		if err := o.arm(ctx); err != nil {
			return err
		}
	}
	chaos, stopChaos := context.WithCancel(ctx)
	defer stopChaos()
	var broken sync.WaitGroup
	broken.Go(func() { o.breakThings(chaos) })
	if o.config.aims() {
		broken.Go(func() { o.supervise(chaos) })
	}
	err := o.buyAll(ctx, variant)
	if err == nil && o.config.aims() {
		err = o.expectFall(ctx)
	}
	if err != nil {
		stopChaos()
	}
	broken.Wait() // all of its blows, also when the sales were quicker
	return err
}

// sell puts one variant on sale, with a ticket for everybody.
func (o *ordeal) sell(ctx context.Context) (*checkoutv1.Variant, error) {
	event, err := o.clients[0].Seed(ctx, o.cluster.Clock().Now())
	if err != nil {
		return nil, fmt.Errorf("seed: %w", err)
	}
	return o.clients[0].CreateVariant(ctx, "ordeal", event.GetId(), "Ordeal", "Seat", int64(o.config.Sales)*2, &checkoutv1.VariantVersion{
		Price: &moneyv1.Money{Currency: "EUR", MinorUnits: 4900}, ApplicationFeeMinorUnits: 250, TaxMinorUnits: 320, TaxCountry: "DE", TaxKind: "vat",
	})
}

func (o *ordeal) say(format string, args ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, _ = fmt.Fprintf(o.config.Log, "%s "+format+"\n", append([]any{o.cluster.Clock().Now().Format("15:04:05.000")}, args...)...)
}

// wait polls until nothing is left and returns how long that took. What is left when time runs out is a violation.
func (o *ordeal) wait(ctx context.Context, left func(ctx context.Context) (string, error)) time.Duration {
	from := o.cluster.Clock().Now()
	ctx, cancel := context.WithTimeout(ctx, o.config.Patience)
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
		took := o.cluster.Clock().Now().Sub(from)
		if err == nil && what == "" {
			return took
		}
		select {
		case <-ctx.Done():
			o.violated("everything_ends", fmt.Sprintf("after %v there is still to do: %s", took.Round(time.Second), what))
			return took
		case <-time.After(settlePoll):
		}
	}
}

// openWalks says how many orders are in their walk.
func (o *ordeal) openWalks(ctx context.Context) (left string, err error) {
	err = o.onDatabase(ctx, "checkout", func(pool *pgxpool.Pool) error {
		var open int
		err := pool.QueryRow(ctx, `select count(*) from orders where fulfilment in ('in_progress', 'ledger_blocked')`).Scan(&open)
		if open > 0 {
			left = fmt.Sprintf("%d orders are in their walk", open)
		}
		return err
	})
	return left, err
}

// openOrders says which paid order has not ended.
func (o *ordeal) openOrders(ctx context.Context) (string, error) {
	if len(o.paid) == 0 {
		return "", errors.New("nothing was paid")
	}
	for _, id := range o.paid {
		details, err := o.witness().Orders.GetOrderDetails(ctx, &checkoutv1.GetOrderDetailsRequest{OrderId: id})
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
func (o *ordeal) witness() *client.Client { return o.clients[len(o.clients)-1] }

// judge counts the ends of all paid orders and checks the invariants.
func (o *ordeal) judge(ctx context.Context) error {
	o.report.Paid = len(o.paid)
	for _, id := range o.paid {
		details, err := o.witness().Orders.GetOrderDetails(ctx, &checkoutv1.GetOrderDetailsRequest{OrderId: id})
		if err != nil {
			return fmt.Errorf("get order: %w", err)
		}
		switch details.GetOrder().GetFulfilmentState() {
		case checkoutv1.FulfilmentState_FULFILMENT_STATE_COMPLETED:
			o.report.Completed++
		case checkoutv1.FulfilmentState_FULFILMENT_STATE_UNFULFILLABLE:
			o.report.Refunded++
		default:
			o.violated("paid_order_ends", "order "+id+" was paid and is "+client.Word(details.GetOrder().GetFulfilmentState()))
		}
	}
	results, err := invariant.Run(ctx, o.cluster.ReplicaFile(o.config.Replicas-1))
	if err != nil {
		return fmt.Errorf("check invariants: %w", err)
	}
	for _, r := range results {
		o.violated(r.Name, r.Violations...)
	}
	return errors.Join(o.judgeHistory(ctx), o.judgeOrder(ctx), o.judgeOnce(ctx), o.judgePhones(ctx))
}

// violated notes what broke a rule.
func (o *ordeal) violated(rule string, sentences ...string) {
	for _, sentence := range sentences {
		o.report.Violations = append(o.report.Violations, rule+": "+sentence)
	}
}
