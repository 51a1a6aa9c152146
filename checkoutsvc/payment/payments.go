// Package payment has orders observe what Stripe reports of payments, and fulfils those that are paid. Service implements
// PaymentService; Payments is what the browser's way (package checkout) shares with it.
package payment

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	stripe "github.com/stripe/stripe-go/v76"

	"github.com/dayof/dayof/checkoutsvc/fulfilment"
	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/orderstore"
	"github.com/dayof/dayof/checkoutsvc/stripecalls"
	"github.com/dayof/dayof/internal/chassis/crash"
	"github.com/dayof/dayof/internal/chassis/stripeapi"
)

// Payments has orders observe payments. All exported fields are required.
type Payments struct {
	Orders     *orderstore.Store
	Stripe     stripecalls.Client
	Fulfilment *fulfilment.Fulfilment

	finishing sync.WaitGroup // links whose callers may be gone
}

// finishTimeout bounds a link that nobody waits for: one call to Stripe with its usual timeout, and two statements.
const finishTimeout = 20 * time.Second

// FinishIntents is LinkIntents, of an order that was loaded, for a caller that may hang up: the intents are made and written down anyway, so that the
// stock of a cut-off checkout is not held for nothing and its retry finds them. Wait waits for those under way.
func (p *Payments) FinishIntents(ctx context.Context, o order.Order) (order.Order, error) {
	type answer struct {
		order order.Order
		err   error
	}
	answered := make(chan answer, 1)
	finishCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTimeout)
	p.finishing.Go(func() {
		defer cancel()
		o, err := p.link(finishCtx, o)
		answered <- answer{order: o, err: err}
	})
	select {
	case a := <-answered:
		return a.order, a.err
	case <-ctx.Done():
		return order.Order{}, ctx.Err()
	}
}

// Wait waits for the intents whose callers are gone.
func (p *Payments) Wait() { p.finishing.Wait() }

// observing is a way in which an order observes a fact: Observe or ObserveReport of its store.
type observing func(ctx context.Context, key orderstore.Key, fingerprint []byte, f order.Fact) (order.Order, order.Changes, error)

// observe has the order of an intent observe a payment or a charge, with the key of the call. Whoever calls it begins the attempt
// that it says has started.
//
// It is tx 1 of a fulfilment: under the order's lock the fact is merged and what follows is written with it.
// Idempotent: the second time the facts are merged and the intent is set, and nothing changes.
//
// Problems: ORDER_NOT_FOUND, IDEMPOTENCY_KEY_REUSED, PAYMENT_PROVIDER_UNAVAILABLE.
func (p *Payments) observe(ctx context.Context, observing observing, key orderstore.Key, fingerprint []byte, fact func(adopt bool) order.Fact) (order.Order, order.Changes, error) {
	o, c, err := observing(ctx, key, fingerprint, fact(false))
	if errors.Is(err, order.ErrUnknownIntent) {
		// Our create call's answer may have been lost: ask for it again, then observe once more.
		if _, err = p.LinkIntents(ctx, o.ID); err == nil {
			o, c, err = observing(ctx, key, fingerprint, fact(true))
		}
	}
	return o, c, err
}

// Record has an order observe a report that nobody waits for and that others may have made: the attempt that starts goes on by itself. The
// order is returned as it is before that.
//
// Problems: those of observe.
func (p *Payments) Record(ctx context.Context, key orderstore.Key, fingerprint []byte, fact func(adopt bool) order.Fact) (order.Order, order.Changes, error) {
	o, c, err := p.observe(ctx, p.Orders.ObserveReport, key, fingerprint, fact)
	if err == nil && c.FulfilmentStarted {
		p.Fulfilment.Start(ctx, o)
	}
	return o, c, err
}

// Await has an order observe a payment for a buyer who waits: the attempt is made or joined when the order is being fulfilled then. The
// order is returned as it stands after that.
//
// Problems: those of observe.
func (p *Payments) Await(ctx context.Context, f order.Payment, fingerprint []byte) (order.Order, error) {
	o, c, err := p.observe(ctx, p.Orders.Observe, keyOf(f), fingerprint, adopting(f))
	if err == nil && o.BeingFulfilled() {
		o = p.Fulfilment.AttemptOrJoin(ctx, o, c.FulfilmentStarted)
	}
	return o, err
}

// keyOf finds the order of a payment.
func keyOf(f order.Payment) orderstore.Key {
	return orderstore.Key{ID: f.OrderID, StripeAccount: f.Account, StripeID: f.IntentID}
}

// adopting is a payment that may be of an intent that is not ours.
func adopting(f order.Payment) func(adopt bool) order.Fact {
	return func(adopt bool) order.Fact {
		f.Adopt = adopt
		return f
	}
}

// LinkIntents asks Stripe for the intents of an order whose id is not known yet and writes the answers down. It returns the
// order with all its intents known, or refused for good, which ends its hold. Idempotent: the key is of the row, so the same
// intent is returned.
//
// Problems: ORDER_NOT_FOUND, PAYMENT_PROVIDER_UNAVAILABLE.
func (p *Payments) LinkIntents(ctx context.Context, orderID string) (order.Order, error) {
	o, err := p.Orders.Read(ctx, orderstore.Key{ID: orderID})
	if err != nil {
		return o, err
	}
	return p.link(ctx, o)
}

// link is LinkIntents of an order that was loaded.
func (p *Payments) link(ctx context.Context, o order.Order) (order.Order, error) {
	for i := range o.Intents {
		intent := &o.Intents[i]
		if intent.StripeID != "" || intent.Refused() {
			continue
		}
		pi, err := p.createIntent(ctx, &o, intent)
		if code, final := stripecalls.RefusedForGood(err); final {
			return p.refused(ctx, o.ID, intent.ID, code)
		}
		if err != nil {
			return o, stripecalls.Problem(fmt.Errorf("create payment intent: %w", err))
		}
		crash.At(crash.CheckoutStartAsked)
		if err := p.Orders.LinkIntent(ctx, intent.ID, pi.ID, pi.ClientSecret); err != nil {
			return o, err
		}
		intent.StripeID, intent.ClientSecret = pi.ID, pi.ClientSecret
	}
	return o, nil
}

// createIntent has Stripe make an intent of an order. Where Stripe keeps a failure of its own under the key, the intent is looked for
// among those that Stripe has, and when it is not there, it is asked for under the next key. One that a list does not show yet is
// harmless: nobody but us is told the secret that it is paid with.
func (p *Payments) createIntent(ctx context.Context, o *order.Order, intent *order.PaymentIntent) (*stripe.PaymentIntent, error) {
	request := stripecalls.IntentRequest{
		OrderID: o.ID, Number: intent.Number, StripeAccount: intent.StripeAccount,
		Currency: intent.Currency, AmountMinorUnits: intent.AmountMinorUnits,
	}
	for range createAttemptsMax {
		request.Attempt = intent.Attempt
		pi, err := p.Stripe.CreateIntent(ctx, request)
		if !stripeapi.Stored(err) {
			return pi, err
		}
		if pi, err := p.findIntent(ctx, o, intent); err != nil || pi != nil {
			return pi, err
		}
		after, _, err := p.Orders.Observe(ctx, orderstore.Key{ID: o.ID}, nil, order.IntentAttemptLost{PaymentIntentRow: intent.ID, Attempt: intent.Attempt})
		if err != nil {
			return nil, err
		}
		intent.Attempt = after.IntentByID(intent.ID).Attempt
	}
	return nil, errStoredFailures
}

// createAttemptsMax is how many keys one call uses up, and findListsMax how many lists it reads for each.
const createAttemptsMax, findListsMax = 3, 10

var errStoredFailures = errors.New("stripe keeps a failure of its own under the key")

// findIntent looks for an intent of the order that is not known yet; nil if Stripe shows none.
func (p *Payments) findIntent(ctx context.Context, o *order.Order, intent *order.PaymentIntent) (found *stripe.PaymentIntent, err error) {
	lists := 0
	began := intent.Began()
	err = p.Stripe.ListIntents(ctx, intent.StripeAccount, began.Add(-createdBefore), began.Add(finishTimeout+createdAfter), func(page []*stripe.PaymentIntent) bool {
		for _, pi := range page {
			if pi.Metadata["order_id"] == o.ID && pi.Amount == intent.AmountMinorUnits && o.IntentByStripeID(pi.ID) == nil {
				found = pi
			}
		}
		lists++
		return found == nil && lists < findListsMax
	})
	if err != nil {
		// What Stripe says of the list says nothing of the intent: a refusal of it must not be taken for one.
		return nil, fmt.Errorf("%w, and no list of intents: %s", errStoredFailures, err.Error())
	}
	return found, nil
}

// refused has an order observe that Stripe will not make one of its intents, and goes on with the others.
func (p *Payments) refused(ctx context.Context, orderID, intentRow, code string) (order.Order, error) {
	_, _, err := p.Orders.Observe(ctx, orderstore.Key{ID: orderID}, nil, order.IntentRefused{PaymentIntentRow: intentRow, Code: code})
	if err != nil {
		return order.Order{}, err
	}
	return p.LinkIntents(ctx, orderID)
}
