package refund

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/devenv/cluster"
	"github.com/dayof/dayof/devenv/idle"
	"github.com/dayof/dayof/devenv/invariant"
	"github.com/dayof/dayof/e2e/e2etest"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// ticketRacers is how many refunds of one order are asked for at once.
const ticketRacers = 200

// TestTicketRefundRaces asks for the tickets of one order, for parts of what they cost, and for money of the order, all at once over two
// replicas with a key each: no ticket goes back twice or for more than it cost, and no more than was captured, in order, books and at Stripe
// alike. Then both are broken behind dayof's back, and check finds them.
func TestTicketRefundRaces(t *testing.T) {
	t.Parallel()
	m := e2etest.NewCluster(t, 2, nil)
	clients := []*client.Client{client.NewClient(m.ReplicaFile(0)), client.NewClient(m.ReplicaFile(1))}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	ctx := e2etest.Within(t, 5*time.Minute)
	const price, tickets, captured = 4450, 10, 10 * 4450
	sale, err := clients[0].Sell(ctx, client.Purchase{VariantID: e2etest.NewVariant(t, clients[0], price, 100).GetId(), Tickets: tickets, Via: client.ViaBoth})
	if err != nil {
		t.Fatal(err)
	}
	order := e2etest.Order(t, clients[0], sale.OrderID)
	var mu sync.Mutex
	granted, times := int64(0), map[string]int{} // times each ticket was granted
	var calls []func() error
	for i := range ticketRacers {
		request := &checkoutv1.RefundOrderRequest{OrderId: sale.OrderID}
		most := int64(price)
		if i%4 != 0 { // else money of the order
			for _, at := range random.Perm(tickets)[:1+random.IntN(2)] {
				request.TicketIds = append(request.TicketIds, order.Tickets[at].ID)
			}
			most *= int64(len(request.GetTicketIds()))
		}
		amount := most
		if i%2 == 0 { // beyond the price now and then
			amount = 1 + random.Int64N(most*5/4)
			request.Amount = &moneyv1.Money{Currency: "EUR", MinorUnits: amount}
		}
		calls = append(calls, func() error {
			reason, err := tryRefund(ctx, clients[i%2], request)
			mu.Lock()
			defer mu.Unlock()
			if err != nil || reason != "" {
				return err
			}
			granted += amount
			for _, id := range request.GetTicketIds() {
				times[id]++
			}
			if len(request.GetTicketIds()) > 0 && amount > most {
				t.Errorf("%d was granted for tickets that cost %d", amount, most)
			}
			return nil
		})
	}
	if err := e2etest.AtOnce(calls); err != nil {
		t.Fatal(err)
	}
	e2etest.AwaitIdle(t, clients[0], idle.Scope{})
	if got := refundSums(t, clients[0], sale.OrderID, order.Payment.PayingIntentID); granted == 0 || granted > captured || got != (sums{granted, granted, granted}) {
		t.Errorf("captured %d, granted %d; refunded %+v", captured, granted, got)
	}
	for id, n := range times {
		if n > 1 {
			t.Errorf("ticket %s was refunded %d times", id, n)
		}
	}
	for _, ticket := range e2etest.Order(t, clients[0], sale.OrderID).Tickets {
		if void := ticket.State == "void"; void != (times[ticket.ID] > 0 || granted == captured) {
			t.Errorf("ticket %s is %s and was refunded %d times", ticket.ID, ticket.State, times[ticket.ID])
		}
	}
	e2etest.AssertClean(t, m)
	plantRefunds(t, m, sale.OrderID)
	results, err := invariant.Run(ctx, m.File)
	if err != nil {
		t.Fatal(err)
	}
	for name, sentences := range map[string][]string{
		"refunds_fit_captured":    {"is refunded"},
		"ticket_is_refunded_once": {"is named by", "for tickets that cost"},
	} {
		i := slices.IndexFunc(results, func(r invariant.Result) bool { return r.Name == name })
		for _, sentence := range sentences {
			if found := strings.Join(results[i].Violations, "\n"); !strings.Contains(found, sentence) {
				t.Errorf("check found of %s %q, want %q", name, found, sentence)
			}
		}
	}
}

// tryRefund asks for a refund with a key of its own, and returns the reason of a refusal that fits.
func tryRefund(ctx context.Context, system *client.Client, request *checkoutv1.RefundOrderRequest) (reason string, err error) {
	ctx = rpc.WithIdempotencyKey(ctx, "race/"+client.NewKey())
	for {
		_, err := system.Orders.RefundOrder(ctx, request)
		switch reason := problem.Reason(err); {
		case err == nil:
			return "", nil
		case reason == "REFUND_EXCEEDS_CAPTURED", reason == "REFUND_EXCEEDS_PRICE", reason == "TICKET_VOID":
			return reason, nil
		case problem.Code(err).String() != "aborted" || ctx.Err() != nil:
			return "", err
		}
		e2etest.Pause(ctx) // the same key is in flight elsewhere
	}
}

// plantRefunds writes a refund beyond what was captured, and two that name one ticket, each of more than it cost.
func plantRefunds(t *testing.T, m *cluster.Cluster, orderID string) {
	t.Helper()
	ctx := e2etest.Within(t, 10*time.Second)
	conn, err := pgx.Connect(ctx, m.File.DatabaseURLs["checkout"])
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := conn.Close(ctx); err != nil {
			t.Error(err)
		}
	}()
	for _, statement := range []string{
		`insert into refunds (id, order_id, payment_intent, amount_minor_units, currency, state, reason, create_time, stripe_refund_id, refund_time)
			select 'tooMuch', id, paying_intent, total_minor_units, currency, 'succeeded', 'requested', now(), 're_toomuch', now() from orders where id = $1`,
		`insert into refunds (id, order_id, payment_intent, amount_minor_units, currency, state, reason, create_time, stripe_refund_id, refund_time, ticket_ids)
			select 'twice' || n, id, paying_intent, total_minor_units, currency, 'succeeded', 'requested', now(), 're_twice' || n, now(),
				array(select t.id from tickets t where t.order_id = orders.id limit 1)
			from orders, generate_series(1, 2) n where id = $1`,
	} {
		if _, err := conn.Exec(ctx, statement, orderID); err != nil {
			t.Fatal(err)
		}
	}
}
