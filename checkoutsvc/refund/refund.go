// Package refund has Stripe make refunds, and orders observe the refunds that Stripe has.
package refund

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/orderstore"
	"github.com/dayof/dayof/checkoutsvc/stripecalls"
)

// Refunds makes and observes refunds. All exported fields are required.
type Refunds struct {
	Orders *orderstore.Store
	Stripe stripecalls.Client

	q checkoutdb.Queries
}

// Observe has an order observe a refund: it is merged under the order's lock, payment, tickets and passes are brought to what
// follows, and the books follow.
//
// Problems: ORDER_NOT_FOUND, IDEMPOTENCY_KEY_REUSED.
func (r *Refunds) Observe(ctx context.Context, f order.RefundObserved, fingerprint []byte) (order.Order, error) {
	key, err := r.orderOf(ctx, f)
	if err != nil {
		return order.Order{}, err
	}
	o, _, err := r.Orders.Observe(ctx, key, fingerprint, f)
	return o, err
}

// orderOf finds the order: by the intent, else by the refund's row, else by the metadata's order id. What the metadata name is
// of any order: the order itself refuses what does not come from its account.
func (r *Refunds) orderOf(ctx context.Context, f order.RefundObserved) (orderstore.Key, error) {
	id, err := r.q.FindOrderOfRefund(ctx, r.Orders.Pool, f.StripeID, f.RefundID)
	if errors.Is(err, pgx.ErrNoRows) {
		id, err = f.OrderID, nil
	}
	if err != nil {
		return orderstore.Key{}, fmt.Errorf("find order of refund: %w", err)
	}
	return orderstore.Key{ID: id, StripeAccount: f.Account, StripeID: f.IntentID}, nil
}

// Fetch asks Stripe for all refunds of an intent and has their order observe them. What of a reported sum they do not explain
// is counted then.
//
// Problems: PAYMENT_PROVIDER_UNAVAILABLE.
func (r *Refunds) Fetch(ctx context.Context, intent order.IntentRef) error {
	return r.fetch(ctx, intent, false)
}

// fetch is Fetch; overdue says that Stripe was asked for long enough.
func (r *Refunds) fetch(ctx context.Context, intent order.IntentRef, overdue bool) error {
	refunds, err := r.Stripe.ListRefunds(ctx, intent.Account, intent.IntentID)
	if err != nil {
		return stripecalls.Problem(fmt.Errorf("list refunds: %w", err))
	}
	for _, made := range refunds {
		if _, err := r.Observe(ctx, stripecalls.ObservedRefund(made, intent.Account), nil); err != nil {
			return err
		}
	}
	_, _, err = r.Orders.Observe(ctx, orderstore.Key{StripeAccount: intent.Account, StripeID: intent.IntentID}, nil,
		order.RefundsListed{IntentID: intent.IntentID, Overdue: overdue})
	return err
}
