package payment

import (
	"context"
	"slices"
	"sync"
	"time"

	stripe "github.com/stripe/stripe-go/v76"

	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/stripecalls"
	"github.com/dayof/dayof/internal/chassis/stripeapi"
)

const (
	// askTimeout bounds what is asked about orders at once.
	askTimeout = 8 * time.Second
	// askAtOnce is how many calls are made at once: a third of what Stripe allows of one kind in a second.
	askAtOnce = 8
	// askFetchesMax is how many intents are fetched one by one: those that the lists did not show, or show as paid. Fewer than
	// askListsMin are not looked for in lists.
	askFetchesMax, askListsMin = 64, 8
	// Between the row of an intent and Stripe's time of it lie a call and two clocks.
	createdBefore, createdAfter = time.Second, 4 * time.Second
)

// listsMax is how many lists of a hundred are read for some intents: ten times as many as they fill by themselves, for intents that
// were made at the same time and are none of them.
func listsMax(intents int) int { return askListsMin + intents/10 }

// OpenIntent is an intent that may have been paid without our knowing.
type OpenIntent struct {
	OrderID         string
	Account, Intent string // at Stripe
	Status          order.IntentStatus
	CreateTime      time.Time
}

// news says whether Stripe knows more of an intent than we do: it has money, or will have some without another act of the buyer. A
// payment that was on its way already is none, so that asking does not prolong what it keeps.
func (i OpenIntent) news(pi *stripe.PaymentIntent) bool {
	status := order.IntentStatusOf(string(pi.Status))
	return status != i.Status && (status == order.IntentSucceeded || status == order.IntentProcessing)
}

// AskStripe has orders observe what Stripe knows of their open intents and we may not: payments that succeeded or are on their way.
// It returns the orders for whose intents Stripe did not answer, or that could not observe the answer.
//
// Thousands may be asked for at once, by lists. It takes some seconds at most, and some tens of calls for a thousand intents.
func (p *Payments) AskStripe(ctx context.Context, open []OpenIntent) (unanswered []string) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	byAccount := map[string][]OpenIntent{}
	for _, i := range open {
		byAccount[i.Account] = append(byAccount[i.Account], i)
	}
	for account, intents := range byAccount {
		unanswered = append(unanswered, p.askAccount(ctx, account, intents)...)
	}
	return unanswered
}

func (p *Payments) askAccount(ctx context.Context, account string, intents []OpenIntent) (unanswered []string) {
	wanted := search{missing: map[string]OpenIntent{}, lists: listsMax(len(intents))}
	for _, i := range intents {
		wanted.missing[i.Intent] = i
	}
	if len(intents) > askListsMin {
		wanted.err = p.readLists(ctx, account, intents, &wanted)
	}
	fetch := wanted.paid
	for _, i := range wanted.missing {
		if wanted.err != nil { // Stripe does not answer
			unanswered = append(unanswered, i.OrderID)
		} else {
			fetch = append(fetch, i)
		}
	}
	most := min(len(fetch), askFetchesMax)
	for _, i := range fetch[most:] {
		unanswered = append(unanswered, i.OrderID)
	}
	var mu sync.Mutex
	atOnce(fetch[:most], func(i OpenIntent) {
		if err := p.observeOpen(ctx, i); err != nil {
			mu.Lock()
			defer mu.Unlock()
			unanswered = append(unanswered, i.OrderID)
		}
	})
	return unanswered
}

// search is what lists are read for.
type search struct {
	mu      sync.Mutex
	missing map[string]OpenIntent // by intent
	paid    []OpenIntent          // found, and paid or about to be
	lists   int                   // that may still be read
	err     error                 // of a list
}

// see takes what a list shows and says whether to go on.
func (w *search) see(page []*stripe.PaymentIntent) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, pi := range page {
		if i, found := w.missing[pi.ID]; found {
			delete(w.missing, pi.ID)
			if i.news(pi) {
				w.paid = append(w.paid, i)
			}
		}
	}
	w.lists--
	return len(w.missing) > 0 && w.lists > 0
}

// readLists reads the lists of the time in which the intents were made, some stretches of it at once.
func (p *Payments) readLists(ctx context.Context, account string, intents []OpenIntent, wanted *search) error {
	byTime := func(a, b OpenIntent) int { return a.CreateTime.Compare(b.CreateTime) }
	from := slices.MinFunc(intents, byTime).CreateTime.Add(-createdBefore).Truncate(time.Second)
	until := slices.MaxFunc(intents, byTime).CreateTime.Add(createdAfter)
	stretch := (until.Sub(from) / askAtOnce).Truncate(time.Second) + time.Second
	var starts []time.Time
	for ; !from.After(until); from = from.Add(stretch) {
		starts = append(starts, from)
	}
	var mu sync.Mutex
	var first error
	atOnce(starts, func(start time.Time) {
		err := p.Stripe.ListIntents(ctx, account, start, start.Add(stretch-time.Second), wanted.see)
		mu.Lock()
		defer mu.Unlock()
		if first == nil {
			first = err
		}
	})
	return first
}

// atOnce calls f for all, for a few at once.
func atOnce[T any](all []T, f func(T)) {
	var calls sync.WaitGroup
	places := make(chan struct{}, askAtOnce)
	for _, one := range all {
		places <- struct{}{}
		calls.Go(func() {
			defer func() { <-places }()
			f(one)
		})
	}
	calls.Wait()
}

// observeOpen fetches an intent and has its order observe the payment, if there is one. What follows from it goes on by itself.
func (p *Payments) observeOpen(ctx context.Context, i OpenIntent) error {
	pi, err := p.Stripe.GetIntent(ctx, i.Account, i.Intent)
	if stripeapi.NotFound(err) {
		return nil
	}
	if err != nil || !i.news(pi) {
		return err
	}
	f := stripecalls.ObservedPayment(pi, i.Account, p.Orders.Clock.Now())
	o, c, err := p.Orders.Observe(ctx, keyOf(f), nil, f)
	if err == nil && c.FulfilmentStarted {
		p.Fulfilment.Start(ctx, o)
	}
	return err
}
