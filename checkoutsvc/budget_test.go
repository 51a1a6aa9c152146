package checkoutsvc_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// The budget of a checkout inside checkoutsvc, from the signal to valid tickets. A round trip is one flush to Postgres,
// begin and commit included. Source: docs/design.md, "The order is the workflow".
const (
	commitsMax    = 2
	roundTripsMax = 10
	walBytesMax   = 5 * 1024
)

// meter counts what a pool sends.
type meter struct {
	mu         sync.Mutex
	roundTrips int
	commits    int
	statements []string
}

func (m *meter) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.roundTrips++
	if data.SQL == "commit" {
		m.commits++
	}
	m.statements = append(m.statements, strings.SplitN(data.SQL, "\n", 2)[0])
	return ctx
}

func (m *meter) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (m *meter) TraceBatchStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceBatchStartData) context.Context {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.roundTrips++
	m.statements = append(m.statements, fmt.Sprintf("batch of %d", data.Batch.Len()))
	return ctx
}

func (m *meter) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}
func (m *meter) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData)     {}

// reset forgets what was counted.
func (m *meter) reset() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.roundTrips, m.commits, m.statements = 0, 0, nil
}

// metered returns a replica without background work, and what counts its statements.
func (w *harness) metered(opts ...option) (*replica, *meter) {
	w.t.Helper()
	m := &meter{}
	poolConfig := w.pool.Config()
	poolConfig.ConnConfig.Tracer = m
	poolConfig.MaxConns = 1 // prepared statements are prepared after the first sale
	pool, err := pgxpool.NewWithConfig(w.t.Context(), poolConfig)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(pool.Close)
	return w.newReplica(pool, opts...), m
}

// TestListOrdersBudget lists orders with as many statements as there are kinds of rows, not orders.
func TestListOrdersBudget(t *testing.T) {
	w := newHarness(t)
	for i := range 5 {
		w.start(fmt.Sprintf("list/%d", i), 1)
	}
	r, m := w.metered()
	for _, size := range []int32{2, 5} {
		m.reset()
		res, err := r.orders.ListOrders(t.Context(), &checkoutv1.ListOrdersRequest{EventId: w.event.GetId(), PageSize: size})
		if err != nil {
			t.Fatal(err)
		}
		if len(res.GetOrders()) != int(size) || m.roundTrips > 2 {
			t.Errorf("%d orders in %d round trips: %v", len(res.GetOrders()), m.roundTrips, m.statements)
		}
		for i := 1; i < len(res.GetOrders()); i++ {
			if res.GetOrders()[i].GetCreateTime().AsTime().After(res.GetOrders()[i-1].GetCreateTime().AsTime()) {
				t.Error("the newest is not first")
			}
		}
	}
}

// TestCheckoutBudget counts the commits, round trips and WAL bytes of one sale of two tickets, by either signal. Jobs do
// not run meanwhile: their commits are not the checkout's. It runs alone, since a server's WAL is everybody's; the
// median of the sales leaves out what Postgres does by itself.
func TestCheckoutBudget(t *testing.T) {
	w := newHarnessAlone(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := w.replicas[0].service.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	stopped, m := w.metered()
	signals := map[string]func(s *checkoutv1.StartCheckoutResponse, key string) error{
		"webhook": func(s *checkoutv1.StartCheckoutResponse, key string) error {
			_, err := stopped.payments.RecordPayment(w.keyed(key), paid(s.GetOrder()))
			if err == nil { // the attempt goes on by itself
				w.waitFor(s.GetOrder().GetId(), "completed", fulfilmentIs(checkoutv1.FulfilmentState_FULFILMENT_STATE_COMPLETED))
			}
			return err
		},
		"ui": func(s *checkoutv1.StartCheckoutResponse, key string) error {
			ctx := rpc.WithBearerToken(w.keyed(key), s.GetOrderAccessToken())
			_, err := stopped.checkout.CompleteCheckout(ctx, &checkoutv1.CompleteCheckoutRequest{
				OrderId: s.GetOrder().GetId(), PaymentIntentId: s.GetPaymentIntentId(),
			})
			return err
		},
	}
	for name, signal := range signals {
		t.Run(name, func(t *testing.T) {
			var wals []int
			for i := range 6 { // the first sale also prepares statements and fills caches
				s := w.start(fmt.Sprintf("budget/%s/%d", name, i), 2)
				w.confirm(s.GetPaymentIntentId())
				m.reset()
				wal := w.count("select (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint")
				if err := signal(s, fmt.Sprintf("signal/%s/%d", name, i)); err != nil {
					t.Fatal(err)
				}
				wal = w.count("select (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint") - wal
				if i == 0 {
					continue
				}
				m.mu.Lock()
				t.Logf("%s: %d commits, %d round trips, %d bytes of WAL", name, m.commits, m.roundTrips, wal)
				if m.commits != commitsMax || m.roundTrips > roundTripsMax {
					t.Errorf("%d commits (want %d), %d round trips (at most %d): %v", m.commits, commitsMax, m.roundTrips, roundTripsMax, m.statements)
				}
				m.mu.Unlock()
				wals = append(wals, wal)
			}
			slices.Sort(wals)
			if median := wals[len(wals)/2]; median > walBytesMax {
				t.Errorf("%d bytes of WAL, at most %d", median, walBytesMax)
			}
		})
	}
}
