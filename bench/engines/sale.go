package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/devenv/cluster"
	"github.com/dayof/dayof/devenv/sandbox/stripe"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/pgdb"
)

// sales measures whole sales: checkout, the payment at the sandbox Stripe, and completion beside Stripe's signed webhooks. The product is
// its four services in this process, as in bench/checkout; it signs a pass for each ticket and posts each sale to a double-entry
// ledger, whose sandbox keeps its books on the same Postgres. The Node service is what node/server.js says, in a process of
// its own: it has no ledger and no passes. Both have the same sandbox Stripe and the same Postgres. Its webhooks go to the shop
// that is measured.
type sales struct {
	settings

	cluster   *cluster.Cluster
	client    *client.Client
	clock     clock.Clock
	admin     *pgx.Conn
	node      *nodeProgram
	variants  []*checkoutv1.Variant
	pools     map[string]*pgxpool.Pool // of each shop's orders, to count them
	endpoints map[string][]stripe.Endpoint
	results   map[string][]saleResult
	sold      map[string]int
}

// The shops, in the order of each round.
const (
	shopProduct = "product"
	shopNode    = "node"
)

// saleResult is one measurement.
type saleResult struct {
	rate            float64
	start, complete []time.Duration
	written         // per sale, see written
	count           int
}

func runSales(ctx context.Context, s settings, out, errOut io.Writer) (err error) {
	b := &sales{
		settings: s, clock: clock.System{}, pools: map[string]*pgxpool.Pool{}, endpoints: map[string][]stripe.Endpoint{},
		results: map[string][]saleResult{}, sold: map[string]int{},
	}
	if b.cluster, err = cluster.Start(ctx, cluster.Config{Logger: slog.New(slog.NewTextHandler(errOut, &slog.HandlerOptions{Level: slog.LevelError}))}); err != nil {
		return fmt.Errorf("start the cluster: %w", err)
	}
	defer func() { err = errors.Join(err, b.cluster.Stop(context.WithoutCancel(ctx))) }()
	b.client = client.NewClient(b.cluster.File)
	if err := b.offer(ctx); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "dayof-bench-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := b.openNode(ctx, dir, errOut); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.closeNode(context.WithoutCancel(ctx))) }()
	for round := range s.rounds + 1 { // the first one warms caches, connections and prepared statements
		for _, name := range []string{shopProduct, shopNode} {
			for _, n := range s.callers {
				if round > 0 {
					fmt.Fprintf(errOut, "round %d of %d, %s, %d callers, load of the machine %s\n", round, s.rounds, name, n, loadAverage())
				}
				r, err := b.measure(ctx, name, n)
				if err != nil {
					return fmt.Errorf("%s, %d callers: %w", name, n, err)
				}
				if round > 0 {
					b.results[key(name, n)] = append(b.results[key(name, n)], r)
				}
			}
		}
	}
	return b.print(out)
}

// offer makes the product's variants, as bench/checkout does.
func (b *sales) offer(ctx context.Context) error {
	event, err := b.client.Seed(ctx, b.clock.Now())
	if err != nil {
		return err
	}
	for i := range variantCount {
		v, err := b.client.CreateVariant(ctx, "bench", event.GetId(), fmt.Sprintf("Block %d", i), "Seat", 1_000_000, &checkoutv1.VariantVersion{
			Price: &moneyv1.Money{Currency: "EUR", MinorUnits: minorUnits}, ApplicationFeeMinorUnits: 250, TaxMinorUnits: 320, TaxCountry: "DE", TaxKind: "vat",
		})
		if err != nil {
			return fmt.Errorf("create variant: %w", err)
		}
		b.variants = append(b.variants, v)
	}
	return nil
}

func (b *sales) openNode(ctx context.Context, dir string, errOut io.Writer) (err error) {
	const database, secret = "node_shop", "whsec_bench"
	if err := b.cluster.Postgres.CreateDatabase(ctx, database); err != nil {
		return err
	}
	if b.admin, err = pgx.Connect(ctx, b.cluster.Postgres.URL("")); err != nil {
		return err
	}
	address := b.cluster.Postgres.URL(database)
	for name, url := range map[string]string{shopProduct: b.cluster.File.DatabaseURLs["checkout"], shopNode: address} {
		if b.pools[name], err = pgdb.Open(ctx, url, pgdb.Options{MaxConns: 2}); err != nil {
			return err
		}
	}
	if _, err := b.pools[shopNode].Exec(ctx, schema); err != nil {
		return err
	}
	if err := installNode(ctx, dir, errOut); err != nil {
		return err
	}
	if b.node, err = startNode(ctx, dir, "server.js", errOut, "DATABASE_URL="+address, "STRIPE_URL="+b.client.Stripe.BaseURL, "WEBHOOK_SECRET="+secret); err != nil {
		return err
	}
	text, err := b.client.Stripe.Control(ctx, http.MethodGet, "/_sandbox/webhook_endpoints", nil)
	if err != nil {
		return err
	}
	var own []stripe.Endpoint
	if err := json.Unmarshal(text, &own); err != nil {
		return fmt.Errorf("read the webhook endpoints: %w", err)
	}
	b.endpoints[shopProduct] = own
	b.endpoints[shopNode] = []stripe.Endpoint{{URL: b.node.url + "/webhooks/stripe", Secret: secret, EnabledEvents: []string{"payment_intent.succeeded"}}}
	return nil
}

func (b *sales) closeNode(ctx context.Context) error {
	for _, pool := range b.pools {
		pool.Close()
	}
	return errors.Join(b.node.stop(ctx), b.admin.Close(ctx))
}

// measure lets n buyers buy one ticket after the other, then waits for the webhooks and counts what was sold.
func (b *sales) measure(ctx context.Context, name string, n int) (r saleResult, err error) {
	if _, err := b.client.Stripe.Control(ctx, http.MethodPut, "/_sandbox/webhook_endpoints", b.endpoints[name]); err != nil {
		return r, err
	}
	before, err := readWritten(ctx, b.admin)
	if err != nil {
		return r, err
	}
	sell := map[string]func(context.Context, int) (start, complete time.Duration, err error){shopProduct: b.sellProduct, shopNode: b.sellNode}[name]
	completed := make([][]time.Duration, n)
	var next atomic.Int64
	from := b.clock.Now()
	r.start, err = load(n, func() bool { return ctx.Err() == nil && b.clock.Now().Before(from.Add(b.length)) }, func(i int) (time.Duration, error) {
		start, complete, err := sell(ctx, int(next.Add(1))%variantCount)
		if err == nil {
			completed[i%n] = append(completed[i%n], complete)
		}
		return start, err
	})
	if err != nil {
		return r, err
	}
	took := b.clock.Now().Sub(from)
	r.complete, r.count = slices.Concat(completed...), len(r.start)
	r.rate = float64(r.count) / took.Seconds()
	if err := b.awaitIdle(ctx); err != nil {
		return r, err
	}
	after, err := readWritten(ctx, b.admin)
	r.written = after.since(before)
	b.sold[name] += r.count
	return r, errors.Join(err, b.verify(ctx, name))
}

// sellProduct is one sale of the product; it ends when the ticket is valid.
func (b *sales) sellProduct(ctx context.Context, variant int) (start, complete time.Duration, err error) {
	begin := b.clock.Now()
	cart, err := b.client.Start(ctx, b.variants[variant], 1)
	if err != nil {
		return 0, 0, err
	}
	start = b.clock.Now().Sub(begin)
	if err := b.client.Stripe.Confirm(ctx, cart.IntentID, cart.ClientSecret, client.CardThatPays); err != nil {
		return 0, 0, err
	}
	begin = b.clock.Now()
	o, err := b.client.Complete(ctx, cart)
	if err != nil {
		return 0, 0, err
	}
	if o.GetFulfilmentState() != checkoutv1.FulfilmentState_FULFILMENT_STATE_COMPLETED {
		return 0, 0, fmt.Errorf("order %s is %v", o.GetId(), o.GetFulfilmentState())
	}
	return start, b.clock.Now().Sub(begin), nil
}

// sellNode is the same sale of the Node service.
func (b *sales) sellNode(ctx context.Context, variant int) (start, complete time.Duration, err error) {
	var cart struct {
		Order         string `json:"order"`
		PaymentIntent string `json:"payment_intent"`
		ClientSecret  string `json:"client_secret"`
	}
	var sold struct {
		Tickets []string `json:"tickets"`
	}
	begin := b.clock.Now()
	if err := b.node.post(ctx, "/checkout", map[string]any{"variant": fmt.Sprintf("variant_%d", variant), "quantity": 1, "email": "ada@example.test"}, &cart); err != nil {
		return 0, 0, err
	}
	start = b.clock.Now().Sub(begin)
	if err := b.client.Stripe.Confirm(ctx, cart.PaymentIntent, cart.ClientSecret, client.CardThatPays); err != nil {
		return 0, 0, err
	}
	begin = b.clock.Now()
	if err := b.node.post(ctx, "/complete", map[string]any{"order": cart.Order}, &sold); err != nil {
		return 0, 0, err
	}
	if len(sold.Tickets) != 1 {
		return 0, 0, fmt.Errorf("order %s has %d tickets", cart.Order, len(sold.Tickets))
	}
	return start, b.clock.Now().Sub(begin), nil
}

// settleTime is how long work behind the webhooks may still go on before the next measurement, such as the product's jobs.
const settleTime = 2 * time.Second

// awaitIdle waits until the sandbox has delivered all webhooks.
func (b *sales) awaitIdle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	for {
		idle, err := b.client.Stripe.Idle(ctx)
		if err != nil {
			return err
		}
		wait := 20 * time.Millisecond
		if idle {
			wait = settleTime
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("webhooks are on their way: %w", ctx.Err())
		case <-time.After(wait):
		}
		if idle {
			return nil
		}
	}
}

// verify fails unless all that a shop sold is completed exactly once.
func (b *sales) verify(ctx context.Context, name string) error {
	query := map[string]string{
		shopProduct: `SELECT (SELECT count(*) FROM orders), (SELECT count(*) FROM orders WHERE fulfilment = 'completed'),
			(SELECT count(*) FROM payment_intents WHERE captured_minor_units > 0), (SELECT count(*) FROM tickets WHERE state = 'valid'), (SELECT sum(taken)::bigint FROM stock)`,
		shopNode: `SELECT (SELECT count(*) FROM orders), (SELECT count(*) FROM orders WHERE state = 'completed'),
			(SELECT count(*) FROM payments), (SELECT count(*) FROM tickets), (SELECT sum(taken)::bigint FROM stock)`,
	}[name]
	want := slices.Repeat([]int{b.sold[name]}, 5)
	got := make([]int, len(want))
	if err := b.pools[name].QueryRow(ctx, query).Scan(&got[0], &got[1], &got[2], &got[3], &got[4]); err != nil {
		return err
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("sold %d; orders, completed orders, payments, tickets and stock taken are %v", b.sold[name], got)
	}
	return nil
}

func (b *sales) print(out io.Writer) error {
	fmt.Fprintf(out, "%d cores shared by shop, sandbox, Postgres and load; load of the machine %s; %d rounds of %v\n", runtime.NumCPU(), loadAverage(), b.rounds, b.length)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "callers\tshop\tsales/s\tto node\tby round\tstart p50\tp99\tcomplete p50\tp99\tcommits/sale\tWAL kB/sale\t")
	perSecond := func(r saleResult) float64 { return r.rate }
	for _, n := range b.callers {
		node := b.results[key(shopNode, n)]
		for _, name := range []string{shopProduct, shopNode} {
			rounds := b.results[key(name, n)]
			var byRound []string
			for i, r := range rounds {
				byRound = append(byRound, fmt.Sprintf("%.2f", r.rate/node[i].rate))
			}
			start, complete := func(r saleResult) []time.Duration { return r.start }, func(r saleResult) []time.Duration { return r.complete }
			fmt.Fprintf(w, "%d\t%s\t%.0f\t%.2f\t%s\t%s\t%s\t%s\t%s\t%.1f\t%.1f\t\n", n, name, median(rounds, perSecond),
				median(rounds, perSecond)/median(node, perSecond), strings.Join(byRound, " "),
				quantile(rounds, 0.5, start), quantile(rounds, 0.99, start), quantile(rounds, 0.5, complete), quantile(rounds, 0.99, complete),
				median(rounds, func(r saleResult) float64 { return float64(r.commits) / float64(r.count) }),
				median(rounds, func(r saleResult) float64 { return float64(r.wal) / 1000 / float64(r.count) }))
		}
	}
	return w.Flush()
}
