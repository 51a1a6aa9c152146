package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/devenv/cluster"
	"github.com/dayof/dayof/devenv/invariant"
	"github.com/dayof/dayof/devenv/pgtest"
	"github.com/dayof/dayof/devenv/sandbox/fault"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/problem"
)

const (
	// holdDuration is short, so that holds run out while their buyers pay.
	holdDuration = "400ms"
	// roundLength is how long buyers try to get the seat; each waits up to pauseMax before it tries again, and up to payMax before it
	// pays, which is three times the hold.
	roundLength = 2500 * time.Millisecond
	pauseMax    = 300 * time.Millisecond
	payMax      = 1200 * time.Millisecond
	// settleMax bounds the time after which all money of a round must be at rest.
	settleMax = 2 * time.Minute
	price     = 4900
)

// plan is what is to be run.
type plan struct {
	rounds, buyers int
	seed           uint64
	out            io.Writer
}

// tally counts what came of rounds.
type tally struct{ held, paid, sold, refunded int }

func (p plan) run(ctx context.Context) (err error) {
	c, err := cluster.Start(ctx, cluster.Config{
		Replicas: 2, PostgresSettings: pgtest.Settings(), Seed: p.seed, Logger: slog.New(slog.DiscardHandler),
		Settings: map[string]string{"DAYOF_CHECKOUT_HOLD_DURATION": holdDuration, "DAYOF_CHECKOUT_SWEEP_INTERVAL": "100ms"},
	})
	if err != nil {
		return fmt.Errorf("start the cluster: %w", err)
	}
	defer func() { err = errors.Join(err, c.Stop(context.WithoutCancel(ctx))) }()
	pool, err := pgxpool.New(ctx, c.File.DatabaseURLs["checkout"])
	if err != nil {
		return err
	}
	defer pool.Close()
	fmt.Fprintf(p.out, "seed %d: %d rounds of %d buyers\n", p.seed, p.rounds, p.buyers)
	var sum tally
	for number := range p.rounds {
		r := round{plan: p, number: number, cluster: c, client: client.NewClient(c.File), pool: pool}
		found, err := r.play(ctx)
		if err != nil {
			return fmt.Errorf("round %d of seed %d: %w", number, p.seed, err)
		}
		sum.held, sum.paid, sum.sold, sum.refunded = sum.held+found.held, sum.paid+found.paid, sum.sold+found.sold, sum.refunded+found.refunded
	}
	results, err := invariant.Run(ctx, c.File)
	if err != nil {
		return err
	}
	for _, r := range results {
		for _, v := range r.Violations {
			err = errors.Join(err, fmt.Errorf("%s: %s", r.Name, v))
		}
	}
	fmt.Fprintf(p.out, "%d rounds: %d holds, %d payments, %d seats sold, %d payments refunded\n", p.rounds, sum.held, sum.paid, sum.sold, sum.refunded)
	return err
}

// round is one seat and those who want it.
type round struct {
	plan
	number  int
	cluster *cluster.Cluster
	client  *client.Client
	pool    *pgxpool.Pool

	mu    sync.Mutex
	carts []client.Cart
	paid  int
}

// silence are the calls that Stripe does not take while buyers try, by round: who has paid when a hold runs out, and the cancellation of an
// intent whose hold has ended, so that it can still be paid.
var silence = []string{"", "GET ", "/cancel"}

// play has buyers try for the seat. Then all webhooks come at once.
func (r *round) play(ctx context.Context) (tally, error) {
	now := clock.System{}.Now()
	event, err := r.client.Seed(ctx, now)
	if err != nil {
		return tally{}, err
	}
	variant, err := r.client.CreateVariant(ctx, client.NewKey(), event.GetId(), "Seat", "Last", 1,
		&checkoutv1.VariantVersion{Price: &moneyv1.Money{Currency: "EUR", MinorUnits: price}})
	if err != nil {
		return tally{}, err
	}
	if match := silence[r.number%len(silence)]; match != "" {
		if err := r.cluster.Sandbox.Faults.Set(fault.Stripe, fault.Fault{Mode: fault.Refuse, Rate: 1, Match: match}); err != nil {
			return tally{}, err
		}
	}
	trying, stop := context.WithTimeout(ctx, roundLength)
	defer stop()
	var wg sync.WaitGroup
	errs := make([]error, r.buyers)
	for i := range r.buyers {
		random := rand.New(rand.NewPCG(r.seed, uint64(r.number*r.buyers+i)))
		wg.Go(func() { errs[i] = r.buy(ctx, trying, variant, random) })
	}
	wg.Wait()
	r.cluster.Sandbox.Faults.Clear(fault.Stripe)
	if err := errors.Join(errs...); err != nil {
		return tally{}, err
	}
	for _, cart := range r.carts {
		if err := r.client.Stripe.Release(ctx, cart.IntentID); err != nil {
			return tally{}, err
		}
	}
	return r.settle(ctx, variant.GetId())
}

// buy tries for the seat until the round is over, and pays for it once it is held. Some browsers report the payment, others are gone.
func (r *round) buy(ctx, trying context.Context, variant *checkoutv1.Variant, random *rand.Rand) error {
	for pause(trying, time.Duration(random.Int64N(int64(pauseMax)))) {
		cart, err := r.client.Start(ctx, variant, 1)
		switch {
		case problem.Reason(err) == "SOLD_OUT":
			continue
		case problem.Reason(err) == "PAYMENT_PROVIDER_UNAVAILABLE":
			return nil // Stripe takes no calls for a moment, and the buyer goes away
		case err != nil:
			return err
		}
		if err := r.client.Stripe.Withhold(ctx, cart.IntentID); err != nil {
			return err
		}
		r.mu.Lock()
		r.carts = append(r.carts, cart)
		r.mu.Unlock()
		pause(ctx, time.Duration(random.Int64N(int64(payMax))))
		if err := r.client.Stripe.Confirm(ctx, cart.IntentID, cart.ClientSecret, client.CardThatPays); err != nil {
			return ctx.Err() // the intent was canceled, since the hold has ended
		}
		r.mu.Lock()
		r.paid++
		r.mu.Unlock()
		if random.IntN(3) == 0 {
			_, _ = r.client.Complete(ctx, cart) // whatever it answers, the order is judged by its end
		}
		return nil
	}
	return nil
}

// pause waits; false if it was cut short.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// settledSQL says how many orders of a variant are still under way, how many tickets admit, what is taken of the stock, and what was
// captured and given back.
const settledSQL = `select
	count(*) filter (where h.state = 'active' or o.fulfilment in ('in_progress', 'ledger_blocked')
		or exists (select from refunds r where r.order_id = o.id and r.state in ('requested', 'pending'))),
	(select count(*) from tickets where variant_id = $1 and state = 'valid'),
	(select sum(taken) from stock where variant_id = $1),
	count(*) filter (where p.captured_minor_units > 0),
	coalesce(sum(p.captured_minor_units), 0)::bigint,
	coalesce(sum((select sum(amount_minor_units) from refunds r where r.order_id = o.id and r.state = 'succeeded')), 0)::bigint
from order_lines l join orders o on o.id = l.order_id join holds h on h.order_id = o.id join payment_intents p on p.order_id = o.id
where l.variant_id = $1`

// settle waits until all is at rest: at most one ticket, whose money is ours, and nothing else is.
func (r *round) settle(ctx context.Context, variantID string) (tally, error) {
	ctx, cancel := context.WithTimeout(ctx, settleMax)
	defer cancel()
	for {
		var underWay, valid, taken, known int
		var captured, refunded int64
		if err := r.pool.QueryRow(ctx, settledSQL, variantID).Scan(&underWay, &valid, &taken, &known, &captured, &refunded); err != nil {
			return tally{}, fmt.Errorf("read the round: %w", err)
		}
		state := fmt.Sprintf("%d orders under way, %d valid tickets, %d taken, %d of %d payments known, %d captured, %d refunded",
			underWay, valid, taken, known, r.paid, captured, refunded)
		if valid > 1 || taken > 1 {
			return tally{}, errors.New(state)
		}
		if underWay == 0 && known == r.paid {
			if taken != valid || captured-refunded != int64(valid)*price {
				return tally{}, errors.New("at rest, but " + state)
			}
			return tally{held: len(r.carts), paid: r.paid, sold: valid, refunded: known - valid}, nil
		}
		if !pause(ctx, 50*time.Millisecond) {
			return tally{}, errors.New("not at rest: " + strings.TrimSpace(state))
		}
	}
}
