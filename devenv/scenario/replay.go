package scenario

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/devenv/idle"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/pgdb"
)

const (
	// idleTimeout is for how long there may be something left to do after a scenario's last event.
	idleTimeout = 5 * time.Minute
	holdPoll    = 100 * time.Millisecond
	// variantCapacity is the stock of the variants that scenarios buy from; they are used again by later runs.
	variantCapacity = 1_000_000
	// suffixLength keeps ids of one run apart from those of all others: 32^12.
	suffixLength = 12
)

// Options say how events are delivered.
type Options struct {
	Events  string // folder of the event files
	Shuffle bool   // in an order made from Seed, instead of the scenario's
	Seed    uint64
	Double  bool // every event twice
	AtOnce  bool // all at the same time
	Clock   clock.Clock
}

// Result is one scenario's replay.
type Result struct {
	Key         string         `json:"key"`
	Passed      bool           `json:"passed"`
	OrderID     string         `json:"order_id"`
	EndState    EndState       `json:"end_state"`
	Differences []Difference   `json:"differences"`
	NotCompared []string       `json:"not_compared"`
	Answers     map[string]int `json:"answers"`         // of the webhook endpoint, by status
	Left        string         `json:"left,omitempty"`  // what was still to do when the time was up
	Error       string         `json:"error,omitempty"` // why there is no end state
}

// Replay plays one scenario against a running dayof and compares its end with what the scenario expects. It never fails as a
// whole: what went wrong is in the result.
func Replay(ctx context.Context, system *client.Client, s Scenario, o Options) Result {
	r := Result{Key: s.Key, Differences: []Difference{}, NotCompared: []string{}, Answers: map[string]int{}}
	if err := r.replay(ctx, system, s, o); err != nil {
		r.Error = err.Error()
		return r
	}
	r.Passed = len(r.Differences) == 0 && r.Left == ""
	return r
}

func (r *Result) replay(ctx context.Context, system *client.Client, s Scenario, o Options) error {
	events, mapped, err := r.begin(ctx, system, s, o)
	if err != nil {
		return err
	}
	if err := r.deliver(ctx, system, arrange(events, o), o); err != nil {
		return err
	}
	if r.Left, err = awaitIdle(ctx, system, r.scope(s, events)); err != nil {
		return err
	}
	return r.end(ctx, system, s, events, mapped)
}

// begin starts the scenario's order, if it has one, and makes Stripe what it is in the end.
func (r *Result) begin(ctx context.Context, system *client.Client, s Scenario, o Options) ([]event, names, error) {
	bodies, err := s.bodies(o.Events)
	if err != nil {
		return nil, nil, err
	}
	objects, err := s.read(o.Events, s.Objects)
	if err != nil {
		return nil, nil, err
	}
	var cart client.Cart
	if s.hasSale() {
		if cart, err = startOrder(ctx, system, s, o.Clock.Now()); err != nil {
			return nil, nil, err
		}
	}
	r.OrderID = cart.OrderID
	suffix := client.NewKey()[:suffixLength]
	mapped, err := newNames(append(slices.Clone(bodies), objects...), s, cart.OrderID, cart.IntentID, suffix)
	if err != nil {
		return nil, nil, err
	}
	events, err := prepare(ctx, system, bodies, mapped)
	if err != nil {
		return nil, nil, err
	}
	return events, mapped, loadObjects(ctx, system, objects, mapped)
}

// end compares where the scenario ended with what it expects.
func (r *Result) end(ctx context.Context, system *client.Client, s Scenario, events []event, mapped names) (err error) {
	if r.EndState, err = endState(ctx, system, r.OrderID, int(s.quantity()), events); err != nil {
		return err
	}
	expect, _ := mapped.value(s.Expect).(map[string]any)
	r.Differences, r.NotCompared, err = compare(r.EndState, expect)
	return err
}

// startOrder starts a checkout of the scenario's amount: its quantity of tickets at an equal price, and where the amount does
// not divide, one ticket that costs the rest more.
func startOrder(ctx context.Context, system *client.Client, s Scenario, now time.Time) (client.Cart, error) {
	event, err := system.Seed(ctx, now)
	if err != nil {
		return client.Cart{}, err
	}
	quantity := s.quantity()
	price, rest := s.Amount/quantity, s.Amount%quantity
	if price == 0 {
		return client.Cart{}, fmt.Errorf("an amount of %d cannot buy %d tickets", s.Amount, quantity)
	}
	counts := map[int64]int64{price: quantity}
	if rest > 0 {
		counts = map[int64]int64{price: quantity - 1, price + rest: 1}
	}
	var lines []*checkoutv1.CartLine
	for each, count := range counts {
		if count == 0 {
			continue
		}
		key, capacity := "scenarios", int64(variantCapacity)
		if s.SoldOut {
			key, capacity = "scenarios/"+client.NewKey(), count // its own, so that they can be gone
		}
		variant, err := newVariant(ctx, system, key, event.GetId(), strings.ToUpper(s.Currency), each, capacity)
		if err != nil {
			return client.Cart{}, err
		}
		lines = append(lines, &checkoutv1.CartLine{VariantId: variant, Quantity: int32(count)})
	}
	cart, err := system.StartLines(ctx, event.GetId(), lines)
	if err != nil || !s.HoldEnds {
		return cart, err
	}
	if err := endHold(ctx, system, cart); err != nil {
		return cart, err
	}
	if s.SoldOut {
		_, err = system.StartLines(ctx, event.GetId(), lines)
	}
	return cart, err
}

// endHold lets the time of an order's hold pass, and waits until it has ended and its intent is canceled.
func endHold(ctx context.Context, system *client.Client, cart client.Cart) error {
	pool, err := pgdb.Open(ctx, system.File.DatabaseURLs["checkout"], pgdb.Options{MaxConns: 1, ApplicationName: "dayof"})
	if err != nil {
		return fmt.Errorf("let the hold end: %w", err)
	}
	defer pool.Close()
	if _, err := pool.Exec(ctx, `update holds set expire_time = now() - interval '1 second' where order_id = $1`, cart.OrderID); err != nil {
		return fmt.Errorf("let the hold end: %w", err)
	}
	for {
		var intent struct {
			Status string `json:"status"`
		}
		err := system.Stripe.Get(ctx, "/v1/payment_intents/"+cart.IntentID, &intent)
		if err == nil && intent.Status == "canceled" {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("let the hold end: %w", context.Cause(ctx)), err)
		case <-time.After(holdPoll):
		}
	}
}

func newVariant(ctx context.Context, system *client.Client, key, eventID, currency string, price, capacity int64) (string, error) {
	variant, err := system.CreateVariant(ctx, key, eventID, "Scenario "+currency, strconv.FormatInt(price, 10), capacity,
		&checkoutv1.VariantVersion{Price: &moneyv1.Money{Currency: currency, MinorUnits: price}})
	if err != nil {
		return "", fmt.Errorf("create a variant of %d %s: %w", price, currency, err)
	}
	return variant.GetId(), nil
}

// prepare writes this run's ids into the bodies and loads the last state of every object into the sandbox, so that
// whatever a handler fetches is there.
func prepare(ctx context.Context, system *client.Client, bodies [][]byte, mapped names) ([]event, error) {
	replacer := mapped.replacer()
	var events []event
	var texts [][]byte
	for _, body := range bodies {
		text := []byte(replacer.Replace(string(body)))
		e, _, err := newEvent(text)
		if err != nil {
			return nil, err
		}
		events, texts = append(events, e), append(texts, text)
	}
	objects, err := finalObjects(texts)
	if err != nil {
		return nil, err
	}
	for _, object := range objects {
		if err := system.Stripe.Load(ctx, object.id, object.account, object.body); err != nil {
			return nil, fmt.Errorf("load %s %s: %w", object.kind, object.id, err)
		}
	}
	return events, nil
}

// loadObjects loads the resources that a scenario has besides those in its events.
func loadObjects(ctx context.Context, system *client.Client, bodies [][]byte, mapped names) error {
	replacer := mapped.replacer()
	for _, body := range bodies {
		text := []byte(replacer.Replace(string(body)))
		var resource struct {
			ID string `json:"id"`
		}
		if err := json.Unmarshal(text, &resource); err != nil {
			return fmt.Errorf("read resource: %w", err)
		}
		if err := system.Stripe.Load(ctx, resource.ID, "", text); err != nil {
			return fmt.Errorf("load %s: %w", resource.ID, err)
		}
	}
	return nil
}

// arrange puts the events into the order of delivery.
func arrange(events []event, o Options) []event {
	out := slices.Clone(events)
	if o.Double {
		out = nil
		for _, e := range events {
			out = append(out, e, e)
		}
	}
	if o.Shuffle {
		random := rand.New(rand.NewPCG(o.Seed, 0))
		random.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	}
	return out
}

// deliver posts the events, one after the other or all at once.
func (r *Result) deliver(ctx context.Context, system *client.Client, events []event, o Options) error {
	var mu sync.Mutex
	post := func(e event) error {
		status, err := system.PostWebhook(ctx, e.body, e.account != "", o.Clock.Now)
		if err != nil {
			return fmt.Errorf("event %s: %w", e.id, err)
		}
		mu.Lock()
		defer mu.Unlock()
		r.Answers[strconv.Itoa(status)]++
		if status >= http.StatusInternalServerError {
			return fmt.Errorf("event %s: the endpoint answers %d", e.id, status)
		}
		return nil
	}
	if !o.AtOnce {
		for _, e := range events {
			if err := post(e); err != nil {
				return err
			}
		}
		return nil
	}
	errs := make([]error, len(events))
	var group sync.WaitGroup
	for i, e := range events {
		group.Go(func() { errs[i] = post(e) })
	}
	group.Wait()
	return errors.Join(errs...)
}

func eventIDs(events []event) []string {
	var ids []string
	for _, e := range events {
		ids = append(ids, e.id)
	}
	return ids
}

// scope is what is waited for: the scenario's order and events, and nobody else's.
func (r *Result) scope(s Scenario, events []event) idle.Scope {
	scope := idle.Scope{Events: eventIDs(events), Deferred: s.deferred()}
	if r.OrderID != "" {
		scope.Orders = []string{r.OrderID}
	}
	return scope
}

// awaitIdle waits until nothing is left to do, and says what is left when that takes too long.
func awaitIdle(ctx context.Context, system *client.Client, scope idle.Scope) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, idleTimeout)
	defer cancel()
	watch, err := idle.NewWatch(ctx, system)
	if err != nil {
		return "", err
	}
	defer watch.Close()
	err = watch.Await(ctx, scope)
	if left, ok := errors.AsType[idle.LeftError](err); ok {
		return left.Left, nil
	}
	return "", err
}
