// Package ordeal sells tickets through a system of processes while it kills, freezes and starves its parts, and then asks
// whether the promise was kept: nobody is charged without a ticket or a refund, and nobody holds a valid ticket that the
// ledger does not know. What it does follows from a seed, so that a failure can be brought about again.
package ordeal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
	"github.com/dayof/dayof/internal/dev"
	"github.com/dayof/dayof/internal/invariants"
	"github.com/dayof/dayof/internal/mesh"
)

// Config says how hard the ordeal is. Program is required.
type Config struct {
	Program  string // the dayof binary
	Seed     uint64
	Replicas int // of each service; 0 means 2
	Sales    int // in all
	Buyers   int // at once
	// Kills is how many random kill -9 each service suffers while the sales run; one in four is a freeze instead.
	Kills int
	// Faults is how many times a party of the outside world fails for a while.
	Faults int
	// DatabaseFailures is how many times Postgres loses its backends or is restarted at once (immediate).
	DatabaseFailures int
	// CrashPoint arms the first replica of its service to die at a named point.
	CrashPoint string
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
	Refunded   int
	Violations []string
	// OrdersEnded is how long after the last sale the last paid order was completed or refunded, by the replicas that live.
	OrdersEnded time.Duration
	// Recovery is how long after that nothing at all was left to do.
	Recovery time.Duration
	Killed   int
	Frozen   int
}

const (
	// settleTimeout is how long everything may take to come to an end once nothing is broken any more.
	settleTimeout = 2 * time.Minute
	settlePoll    = 200 * time.Millisecond
	// downTime is the longest that a killed replica stays away.
	downTime = 700 * time.Millisecond
	// faultTime is the longest that a fault lasts.
	faultTime = 1500 * time.Millisecond
)

// Run starts a system, lets it suffer, and reports. An error means that the ordeal itself could not be held.
func Run(ctx context.Context, c Config) (Report, error) {
	if c.Replicas == 0 {
		c.Replicas = 2
	}
	if c.Log == nil {
		c.Log = io.Discard
	}
	report := Report{Seed: c.Seed}
	m, err := mesh.Start(ctx, mesh.Config{
		Program: c.Program, Replicas: c.Replicas, Settings: c.Settings, PostgresSettings: c.PostgresSettings, Seed: c.Seed,
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return report, fmt.Errorf("start the mesh: %w", err)
	}
	o := &ordeal{config: c, mesh: m, random: rand.New(rand.NewPCG(c.Seed, 1)), report: &report, log: c.Log, died: make(chan struct{})}
	for n := range c.Replicas {
		o.clients = append(o.clients, dev.NewClient(m.ReplicaFile(n)))
	}
	err = o.run(ctx)
	return report, errors.Join(err, m.Stop(ctx))
}

// ordeal is one run.
type ordeal struct {
	config  Config
	mesh    *mesh.Mesh
	clients []*dev.Client // by replica
	report  *Report
	log     io.Writer

	mu     sync.Mutex // of random and of what follows
	random *rand.Rand
	paid   []string // orders whose money was captured
	died   chan struct{}
}

func (o *ordeal) run(ctx context.Context) error {
	variant, err := o.sell(ctx)
	if err != nil {
		return err
	}
	if o.config.CrashPoint != "" {
		if err := o.arm(ctx); err != nil {
			return err
		}
	}
	chaos, stopChaos := context.WithCancel(ctx)
	defer stopChaos()
	var broken sync.WaitGroup
	broken.Go(func() { o.breakThings(chaos) })
	var supervised sync.WaitGroup
	if o.config.CrashPoint != "" && o.armed() != "checkout" {
		supervised.Go(func() { o.supervise(chaos) })
	}
	err = o.buyAll(ctx, variant)
	if o.config.CrashPoint == "" {
		broken.Wait() // all of its kills, also when the sales were quicker
	} else if err == nil {
		err = o.expectDeath(ctx)
	}
	supervised.Wait()
	stopChaos()
	broken.Wait()
	if err != nil {
		return err
	}
	o.mesh.Sandbox.Faults.ClearAll()
	o.report.OrdersEnded = o.wait(ctx, o.openOrders)
	if o.config.CrashPoint != "" && o.armed() == "checkout" {
		// It stayed dead until another replica had taken its orders up.
		if err := o.mesh.Restart(ctx, o.armed(), 0); err != nil {
			return err
		}
	}
	o.report.Recovery = o.wait(ctx, func(ctx context.Context) (string, error) { return o.witness().Left(ctx, o.paid[0], nil) })
	return o.judge(ctx)
}

// sell puts one variant on sale, with a ticket for everybody.
func (o *ordeal) sell(ctx context.Context) (*checkoutv1.Variant, error) {
	event, err := o.clients[0].Seed(ctx, o.mesh.Clock().Now())
	if err != nil {
		return nil, fmt.Errorf("seed: %w", err)
	}
	return o.clients[0].CreateVariant(ctx, "ordeal", event.GetId(), "Ordeal", "Seat", int64(o.config.Sales)*2, &checkoutv1.VariantVersion{
		Price: &moneyv1.Money{Currency: "EUR", MinorUnits: 4900}, ApplicationFeeMinorUnits: 250, TaxMinorUnits: 320, TaxCountry: "DE", TaxKind: "vat",
	})
}

// chance draws under the lock, so that the order of draws is the order of events.
func (o *ordeal) chance(n int) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.random.IntN(n)
}

func (o *ordeal) say(format string, args ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, _ = fmt.Fprintf(o.log, "%s "+format+"\n", append([]any{o.mesh.Clock().Now().Format("15:04:05.000")}, args...)...)
}

// wait polls until nothing is left and returns how long that took. What is left when time runs out is a violation.
func (o *ordeal) wait(ctx context.Context, left func(ctx context.Context) (string, error)) time.Duration {
	from := o.mesh.Clock().Now()
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
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
		took := o.mesh.Clock().Now().Sub(from)
		if err == nil && what == "" {
			return took
		}
		select {
		case <-ctx.Done():
			o.report.Violations = append(o.report.Violations, fmt.Sprintf("after %v there is still to do: %s", took.Round(time.Second), what))
			return took
		case <-time.After(settlePoll):
		}
	}
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
			return "order " + id + " is " + dev.Word(order.GetFulfilmentState()), nil
		}
	}
	return "", nil
}

// witness is the replica that is asked for the truth: never the one that died for good.
func (o *ordeal) witness() *dev.Client { return o.clients[len(o.clients)-1] }

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
			o.report.Violations = append(o.report.Violations, "order "+id+" was paid and is "+dev.Word(details.GetOrder().GetFulfilmentState()))
		}
	}
	results, err := invariants.Run(ctx, o.mesh.ReplicaFile(o.config.Replicas-1))
	if err != nil {
		return fmt.Errorf("check invariants: %w", err)
	}
	for _, r := range results {
		for _, v := range r.Violations {
			o.report.Violations = append(o.report.Violations, r.Name+": "+v)
		}
	}
	return nil
}
