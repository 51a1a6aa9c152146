// Package e2e holds tests that start the whole system: the four services on real Postgres, beside the sandbox.
package e2e

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/devenv/cluster"
	"github.com/dayof/dayof/devenv/idle"
	"github.com/dayof/dayof/devenv/invariant"
	"github.com/dayof/dayof/devenv/pgtest"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
	"github.com/dayof/dayof/internal/chassis/clock"
)

// shared is one cluster of two replicas for all tests that disturb nobody.
var shared *cluster.Cluster

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	ctx := context.Background()
	var err error
	if shared, err = cluster.Start(ctx, config()); err != nil {
		fmt.Fprintln(os.Stderr, "start the cluster:", err)
		return 1
	}
	code := m.Run()
	if err := errors.Join(recordStripeCalls(ctx, shared), shared.Stop(ctx)); err != nil {
		fmt.Fprintln(os.Stderr, "stop the cluster:", err)
		return 1
	}
	return code
}

// config is a cluster of two replicas on a Postgres that need not survive a power cut. With DAYOF_E2E_PROGRAM, a dayof binary,
// each replica is a process of its own, and the tests are the same.
func config() cluster.Config {
	return cluster.Config{Program: os.Getenv("DAYOF_E2E_PROGRAM"), Replicas: 2, PostgresSettings: pgtest.Settings(), Getenv: getenv, Logger: logger()}
}

// getenv runs the tests on DAYOF_TEST_DATABASE_URL, where it is set.
func getenv(name string) string {
	if name == "DAYOF_DATABASE_URL" {
		return os.Getenv("DAYOF_TEST_DATABASE_URL")
	}
	return os.Getenv(name)
}

// logger shows errors of the services with -v only.
func logger() *slog.Logger {
	if os.Getenv("DAYOF_LOG_LEVEL") == "" {
		return slog.New(slog.DiscardHandler)
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(os.Getenv("DAYOF_LOG_LEVEL"))); err != nil {
		level = slog.LevelWarn
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
}

// newCluster starts a cluster of its own for a test that shortens times or makes parties fail.
func newCluster(t *testing.T, replicas int, settings map[string]string) *cluster.Cluster {
	t.Helper()
	c := config()
	c.Replicas, c.Settings = replicas, settings
	m, err := cluster.Start(t.Context(), c)
	if err != nil {
		t.Fatalf("start the cluster: %v", err)
	}
	t.Cleanup(func() {
		ctx := context.Background()
		if err := errors.Join(recordStripeCalls(ctx, m), m.Stop(ctx)); err != nil {
			t.Errorf("stop the cluster: %v", err)
		}
	})
	return m
}

// within bounds a test's waiting, that of its cleanup too.
func within(t *testing.T, limit time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), limit)
	t.Cleanup(cancel)
	return ctx
}

// newVariant puts tickets of an event of their own on sale, so that tests do not take each other's stock.
func newVariant(t *testing.T, system *client.Client, price, capacity int64) *checkoutv1.Variant {
	t.Helper()
	ctx := within(t, 30*time.Second)
	event, err := system.Seed(ctx, clock.System{}.Now())
	if err != nil {
		t.Fatal(err)
	}
	variant, err := system.CreateVariant(ctx, "e2e/"+client.NewKey(), event.GetId(), "Standing", "Floor", capacity, &checkoutv1.VariantVersion{
		Price:                    &moneyv1.Money{Currency: "EUR", MinorUnits: price},
		ApplicationFeeMinorUnits: 250, TaxMinorUnits: 120, TaxCountry: "DE", TaxKind: "vat",
		Terms: "No returns. Bring good shoes.",
	})
	if err != nil {
		t.Fatal(err)
	}
	return variant
}

// start begins a checkout.
func start(t *testing.T, system *client.Client, variant *checkoutv1.Variant, tickets int32) client.Cart {
	t.Helper()
	cart, err := system.Start(within(t, 30*time.Second), variant, tickets)
	if err != nil {
		t.Fatal(err)
	}
	return cart
}

// order reads an order with all that belongs to it.
func order(t *testing.T, system *client.Client, id string) client.Order {
	t.Helper()
	o, err := system.Order(within(t, 10*time.Second), id)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// await waits until an order is as wished.
func await(t *testing.T, system *client.Client, id, what string, done func(*checkoutv1.Order) bool) *checkoutv1.Order {
	t.Helper()
	o, err := system.Await(within(t, time.Minute), id, done)
	if err != nil {
		t.Fatalf("order %s is not %s: it is %s and %s", id, what, o.GetPaymentState(), o.GetFulfilmentState())
	}
	return o
}

func completed(o *checkoutv1.Order) bool {
	return o.GetFulfilmentState() == checkoutv1.FulfilmentState_FULFILMENT_STATE_COMPLETED
}

// captures counts the ledger's captures of an order.
func captures(o client.Order) map[string]int {
	counted := map[string]int{}
	for _, p := range o.Postings {
		if p.Destination == "orders:"+o.OrderID+":payment" {
			counted[p.Reference]++
		}
	}
	return counted
}

// assertClean checks all invariants of a cluster.
func assertClean(t *testing.T, m *cluster.Cluster) {
	t.Helper()
	results, err := invariant.Run(within(t, time.Minute), m.File)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		for _, v := range r.Violations {
			t.Errorf("violation of %s: %s", r.Name, v)
		}
	}
}

// scale is how often something is tried: as the setting says, or a number that fits into a minute.
func scale(t *testing.T, setting string, normally int) int {
	t.Helper()
	text := os.Getenv(setting)
	if text == "" {
		return normally
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s=%s is not a number above zero", setting, text)
	}
	return n
}

// awaitIdle waits until nothing is left to do about the scope.
func awaitIdle(t *testing.T, system *client.Client, scope idle.Scope) {
	t.Helper()
	ctx := within(t, 2*time.Minute)
	watch, err := idle.NewWatch(ctx, system)
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Close()
	if err := watch.Await(ctx, scope); err != nil {
		t.Fatal(err)
	}
}
