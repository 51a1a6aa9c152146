package refund

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/devenv/cluster"
	"github.com/dayof/dayof/devenv/idle"
	"github.com/dayof/dayof/devenv/sandbox/fault"
	"github.com/dayof/dayof/e2e/e2etest"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// racers is how many refunds are asked for at once.
const racers = 32

// TestRefundRaces asks for more refunds at once than there is money, over two replicas: never is more refunded than was
// captured, in Stripe, books and order alike, and nothing is refused while it would fit.
func TestRefundRaces(t *testing.T) {
	t.Parallel()
	m := e2etest.NewCluster(t, 2, nil)
	clients := []*client.Client{client.NewClient(m.ReplicaFile(0)), client.NewClient(m.ReplicaFile(1))}
	watch, err := idle.NewWatch(t.Context(), clients[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(watch.Close)
	variant := e2etest.NewVariant(t, clients[0], 4450, 1000)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for round := range e2etest.Scale(t, "DAYOF_TEST_REFUND_RACES", 2) {
		for name, race := range map[string]refundRace{
			"amounts":                  {},
			"every key twice":          {doubled: true},
			"beside the dashboard":     {dashboard: true},
			"replies of Stripe lost":   {lost: true},
			"doubled, dashboard, lost": {doubled: true, dashboard: true, lost: true},
		} {
			t.Run(fmt.Sprintf("%s/%d", name, round), func(t *testing.T) {
				race.run(t, m, clients, watch, variant, random)
			})
		}
	}
	e2etest.AssertClean(t, m)
}

// refundRace is one way to ask for refunds.
type refundRace struct {
	doubled   bool // each call is made twice with its key, at both replicas
	dashboard bool // every fourth refund is made in Stripe's dashboard
	lost      bool // Stripe's answers get lost now and then
}

func (race refundRace) run(t *testing.T, m *cluster.Cluster, clients []*client.Client, watch *idle.Watch, variant *checkoutv1.Variant, random *rand.Rand) {
	t.Helper()
	ctx := e2etest.Within(t, 5*time.Minute)
	sale, err := clients[0].Sell(ctx, client.Purchase{VariantID: variant.GetId(), Tickets: 3, Via: client.ViaBoth})
	if err != nil {
		t.Fatal(err)
	}
	const captured = 3 * 4450
	intent := e2etest.Order(t, clients[0], sale.OrderID).Payment.PayingIntentID
	if race.lost {
		if err := m.Sandbox.Faults.Set(fault.Stripe, fault.Fault{Mode: fault.LostReply, Rate: 0.3, Match: "POST"}); err != nil {
			t.Fatal(err)
		}
		defer m.Sandbox.Faults.Clear(fault.Stripe)
	}
	var mu sync.Mutex
	var granted, refusedLeast int64 = 0, captured + 1
	var calls []func() error
	for i := range racers {
		amount := 400 + random.Int64N(1200) // 32 of these are 2 to 4 times what was captured
		if race.dashboard && i%4 == 3 {
			calls = append(calls, func() error { return refundAtStripe(ctx, clients[0], intent, amount) })
			continue
		}
		key := "race/" + client.NewKey()
		ask := func(system *client.Client, counts bool) func() error {
			return func() error {
				ok, err := askForRefund(ctx, system, key, sale.OrderID, amount)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err != nil || !counts:
				case ok:
					granted += amount
				default:
					refusedLeast = min(refusedLeast, amount)
				}
				return err
			}
		}
		calls = append(calls, ask(clients[i%2], true))
		if race.doubled {
			calls = append(calls, ask(clients[(i+1)%2], false))
		}
	}
	random.Shuffle(len(calls), func(i, j int) { calls[i], calls[j] = calls[j], calls[i] })
	if err := e2etest.AtOnce(calls); err != nil {
		t.Fatal(err)
	}
	m.Sandbox.Faults.Clear(fault.Stripe)
	if err := watch.Await(ctx, idle.Scope{}); err != nil {
		t.Fatal(err)
	}
	sums := refundSums(t, clients[0], sale.OrderID, intent)
	if sums.atStripe > captured || sums.atStripe != sums.inOrder || sums.atStripe != sums.inBooks {
		t.Errorf("captured %d; refunded %+v", captured, sums)
	}
	if !race.dashboard && (granted != sums.inOrder || captured-granted >= refusedLeast) {
		t.Errorf("granted %d of %d, refunded %+v; %d was refused", granted, captured, sums, refusedLeast)
	}
}

// askForRefund asks dayof; false means that there was not enough left.
func askForRefund(ctx context.Context, system *client.Client, key, orderID string, amount int64) (bool, error) {
	for {
		_, err := system.Orders.RefundOrder(rpc.WithIdempotencyKey(ctx, key), &checkoutv1.RefundOrderRequest{
			OrderId: orderID, Amount: &moneyv1.Money{Currency: "EUR", MinorUnits: amount},
		})
		switch {
		case err == nil:
			return true, nil
		case problem.Reason(err) == "REFUND_EXCEEDS_CAPTURED":
			return false, nil
		case problem.Code(err).String() != "aborted" || ctx.Err() != nil:
			return false, err
		}
		e2etest.Pause(ctx) // the same key is in flight elsewhere
	}
}

// refundAtStripe makes a refund as a person does at Stripe's dashboard. That Stripe refuses one is fine.
func refundAtStripe(ctx context.Context, system *client.Client, intent string, amount int64) error {
	form := url.Values{"payment_intent": {intent}}
	if amount > 0 {
		form.Set("amount", strconv.FormatInt(amount, 10))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, system.Stripe.BaseURL+"/v1/refunds", strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer sk_test_dashboard")
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := system.HTTP.Do(req)
	if err != nil {
		return nil // the answer may be lost; what counts is what Stripe has in the end
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	if err == nil && res.StatusCode >= http.StatusInternalServerError {
		return fmt.Errorf("stripe answers %s", res.Status)
	}
	return nil
}

// sums are what was refunded of a payment, as three parties have it.
type sums struct{ atStripe, inOrder, inBooks int64 }

func refundSums(t *testing.T, system *client.Client, orderID, intent string) sums {
	t.Helper()
	var out sums
	var page struct {
		Data []struct {
			Amount int64  `json:"amount"`
			Status string `json:"status"`
		} `json:"data"`
	}
	if err := system.Stripe.Get(e2etest.Within(t, 10*time.Second), "/v1/refunds?limit=100&payment_intent="+intent, &page); err != nil {
		t.Fatal(err)
	}
	for _, r := range page.Data {
		if r.Status == "succeeded" || r.Status == "pending" {
			out.atStripe += r.Amount
		}
	}
	o := e2etest.Order(t, system, orderID)
	out.inOrder = o.Payment.RefundedMinorUnits
	for _, p := range o.Postings {
		amount, err := p.Amount.Int64()
		if err != nil {
			t.Fatal(err)
		}
		switch kind, _, _ := strings.Cut(p.Reference, ":"); {
		case kind == "refund" && strings.HasPrefix(p.Destination, "stripe:"):
			out.inBooks += amount
		case kind == "refund-fail" && strings.HasPrefix(p.Source, "stripe:"):
			out.inBooks -= amount
		}
	}
	return out
}

// TestRefundBeforeCompletion freezes the ledger in the middle of a sale and lets the money go back meanwhile. The tickets end
// void or suspended and were never valid.
func TestRefundBeforeCompletion(t *testing.T) {
	t.Parallel()
	m := e2etest.NewCluster(t, 2, nil)
	system := client.NewClient(m.File)
	watch, err := idle.NewWatch(t.Context(), system)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(watch.Close)
	variant := e2etest.NewVariant(t, system, 4450, 100)
	for name, c := range map[string]struct {
		meanwhile func(ctx context.Context, t *testing.T, cart client.Cart)
		payment   string
		ticket    string
	}{
		"refunded by us": {func(ctx context.Context, t *testing.T, cart client.Cart) {
			t.Helper()
			if _, err := system.Orders.RefundOrder(e2etest.Keyed(ctx), &checkoutv1.RefundOrderRequest{OrderId: cart.OrderID}); err != nil {
				t.Fatal(err)
			}
		}, "refunded", "void"},
		"refunded in the dashboard": {func(ctx context.Context, t *testing.T, cart client.Cart) {
			t.Helper()
			if err := refundAtStripe(ctx, system, cart.IntentID, 0); err != nil {
				t.Fatal(err)
			}
		}, "refunded", "void"},
		"disputed": {func(ctx context.Context, t *testing.T, cart client.Cart) {
			t.Helper()
			openDispute(ctx, t, system, cart)
		}, "disputed", "suspended"},
		"disputed and lost": {func(ctx context.Context, t *testing.T, cart client.Cart) {
			t.Helper()
			id := openDispute(ctx, t, system, cart)
			if _, err := system.Stripe.Control(ctx, http.MethodPost, "/_sandbox/disputes/"+id+"/close", map[string]any{"status": "lost"}); err != nil {
				t.Fatal(err)
			}
		}, "charged_back", "void"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := e2etest.Within(t, 3*time.Minute)
			cart := e2etest.Start(t, system, variant, 2)
			if err := m.Sandbox.Faults.Set(fault.Ledger, fault.Fault{Mode: fault.Refuse, Rate: 1, Match: "POST"}); err != nil {
				t.Fatal(err)
			}
			defer m.Sandbox.Faults.Clear(fault.Ledger)
			if err := system.Stripe.Confirm(ctx, cart.IntentID, cart.ClientSecret, client.CardThatPays); err != nil {
				t.Fatal(err)
			}
			e2etest.Await(t, system, cart.OrderID, "being fulfilled", func(o *checkoutv1.Order) bool { return len(o.GetTickets()) == 2 })
			c.meanwhile(ctx, t, cart)
			e2etest.Await(t, system, cart.OrderID, "known to be without its money", func(o *checkoutv1.Order) bool { return client.Word(o.GetPaymentState()) == c.payment })
			if o := e2etest.Order(t, system, cart.OrderID); o.FulfilmentState == "completed" {
				t.Fatal("the order was completed without the ledger")
			}
			m.Sandbox.Faults.Clear(fault.Ledger)
			e2etest.Await(t, system, cart.OrderID, "completed", e2etest.Completed)
			if err := watch.Await(ctx, idle.Scope{}); err != nil {
				t.Fatal(err)
			}
			o := e2etest.Order(t, system, cart.OrderID)
			if o.PaymentState != c.payment || slices.ContainsFunc(o.Tickets, func(ticket client.Ticket) bool { return ticket.State != c.ticket }) {
				t.Errorf("the order is %s, its tickets %+v", o.PaymentState, o.Tickets)
			}
			if n := everValid(t, m, cart.OrderID); n != 0 {
				t.Errorf("%d tickets were valid for a while", n)
			}
		})
	}
	e2etest.AssertClean(t, m)
}

// TestRefundWhileDisputed is refused until the dispute is won.
func TestRefundWhileDisputed(t *testing.T) {
	t.Parallel()
	system := client.NewClient(e2etest.NewCluster(t, 1, nil).File)
	ctx := e2etest.Within(t, 3*time.Minute)
	cart := e2etest.Start(t, system, e2etest.NewVariant(t, system, 4450, 10), 1)
	if err := system.Pay(ctx, cart, client.ViaBoth); err != nil {
		t.Fatal(err)
	}
	id := openDispute(ctx, t, system, cart)
	e2etest.Await(t, system, cart.OrderID, "disputed", func(o *checkoutv1.Order) bool { return client.Word(o.GetPaymentState()) == "disputed" })
	request := &checkoutv1.RefundOrderRequest{OrderId: cart.OrderID}
	if _, err := system.Orders.RefundOrder(e2etest.Keyed(ctx), request); problem.Reason(err) != "ORDER_DISPUTED" {
		t.Errorf("a refund while the payment is disputed is answered by %v", err)
	}
	if got := refundSums(t, system, cart.OrderID, cart.IntentID); got != (sums{}) {
		t.Errorf("refunded while disputed: %+v", got)
	}
	if _, err := system.Stripe.Control(ctx, http.MethodPost, "/_sandbox/disputes/"+id+"/close", map[string]any{"status": "won"}); err != nil {
		t.Fatal(err)
	}
	e2etest.Await(t, system, cart.OrderID, "paid again", func(o *checkoutv1.Order) bool { return client.Word(o.GetPaymentState()) == "paid" })
	if _, err := system.Orders.RefundOrder(e2etest.Keyed(ctx), request); err != nil {
		t.Fatal(err)
	}
	e2etest.AwaitEntries(t, system, cart.OrderID, "refund:")
	if want, got := (sums{4450, 4450, 4450}), refundSums(t, system, cart.OrderID, cart.IntentID); got != want {
		t.Errorf("refunded %+v, want %+v", got, want)
	}
}

// openDispute lets the buyer's bank dispute the whole payment.
func openDispute(ctx context.Context, t *testing.T, system *client.Client, cart client.Cart) string {
	t.Helper()
	if _, err := system.Stripe.Control(ctx, http.MethodPost, "/_sandbox/disputes", map[string]any{"payment_intent": cart.IntentID}); err != nil {
		t.Fatal(err)
	}
	var page struct {
		Data []e2etest.Resource `json:"data"`
	}
	if err := system.Stripe.Get(ctx, "/v1/disputes?payment_intent="+cart.IntentID, &page); err != nil || len(page.Data) != 1 {
		t.Fatalf("%d disputes: %v", len(page.Data), err)
	}
	return page.Data[0].ID()
}

// everValid counts the tickets of an order that were valid at any time.
func everValid(t *testing.T, m *cluster.Cluster, orderID string) int {
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
	var n int
	if err := conn.QueryRow(ctx, `select count(*) from tickets where order_id = $1 and valid_time is not null`, orderID).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
