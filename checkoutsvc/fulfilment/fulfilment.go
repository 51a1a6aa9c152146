// Package fulfilment takes orders from captured money to valid tickets, in attempts. An order is its own scheduler: its row
// says when the next attempt is due, and every replica searches for due ones (sweep.go).
package fulfilment

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/orderstore"
	"github.com/dayof/dayof/checkoutsvc/ticketcode"
	"github.com/dayof/dayof/gen/dayof/ledger/v1/ledgerv1connect"
	"github.com/dayof/dayof/gen/dayof/pass/v1/passv1connect"
)

// Config is how attempts are paced.
type Config struct {
	// Deadline ends one attempt; it is shorter than Lease, so that an attempt that lives has stopped before another starts.
	Deadline time.Duration
	// Lease is for how long an order belongs to its attempt.
	Lease time.Duration
	// CallerWait is the longest that a browser waits for an attempt.
	CallerWait time.Duration
	// BackoffMin and BackoffMax bound the wait between attempts.
	BackoffMin, BackoffMax time.Duration
}

// Fulfilment makes attempts. All exported fields are required.
type Fulfilment struct {
	Config Config
	Orders *orderstore.Store
	Passes passv1connect.PassServiceClient     // issues passes
	Ledger ledgerv1connect.LedgerServiceClient // posts sales
	Codes  ticketcode.Keys
	Logger *slog.Logger
	// Metrics counts attempts.
	Metrics *Metrics
	// SweepNow asks for AttemptDueOrders, and does not block.
	SweepNow func()

	q           checkoutdb.Queries
	attempts    sync.WaitGroup // that outlive their callers
	dueAttempts atomic.Int64   // of due orders, under way
	underWay    sync.Map       // *attempt by order id
	makePlaces  sync.Once
	places      chan struct{} // taken by attempts that Start began
	recovering  atomic.Bool   // a round of AttemptWaitingOrders is under way
}

// Wait waits for attempts whose callers are gone; each has a deadline of its own.
func (f *Fulfilment) Wait() { f.attempts.Wait() }

// attempt is one attempt of this process that callers wait for. Others than who makes it only read the order.
type attempt struct {
	done  chan struct{} // closed when the attempt has ended
	order *order.Order  // set then; nil when the attempt did not get there
}

// startedMax is how many attempts that nobody waits for a replica makes at once: as many as of due orders. In a rush further ones wait
// for a place; where the ledger is stuck, they would take memory and nothing else would come of it.
const startedMax = dueAttemptsMax

// Start makes the attempt whose lease the caller has and does not wait for it; those who join it do. Who gets no place in time
// leaves the order to the sweep, which takes it up when the lease has run out.
func (f *Fulfilment) Start(ctx context.Context, o order.Order) {
	f.makePlaces.Do(func() { f.places = make(chan struct{}, startedMax) })
	f.begin(o, func() *order.Order {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), f.Config.Lease-f.Config.Deadline)
		defer cancel()
		select {
		case f.places <- struct{}{}:
			defer func() { <-f.places }()
			return f.Attempt(context.WithoutCancel(ctx), o)
		case <-ctx.Done():
			return nil
		}
	})
}

// begin makes an attempt in the background, where callers of this process find it.
func (f *Fulfilment) begin(o order.Order, run func() *order.Order) *attempt {
	a := &attempt{done: make(chan struct{})}
	f.underWay.Store(o.ID, a)
	f.attempts.Go(func() {
		defer close(a.done)
		defer f.underWay.Delete(o.ID)
		a.order = run()
	})
	return a
}

// AttemptOrJoin makes the attempt whose lease this call has, if started, or waits for whoever has the lease. The attempt
// goes on when the caller hangs up; the caller is answered after CallerWait at the latest, with the order as it stands.
func (f *Fulfilment) AttemptOrJoin(ctx context.Context, o order.Order, started bool) order.Order {
	ctx, cancel := context.WithTimeout(ctx, f.Config.CallerWait)
	defer cancel()
	if !started {
		return f.join(ctx, o)
	}
	a := f.begin(o, func() *order.Order { return f.Attempt(context.WithoutCancel(ctx), o) })
	select {
	case <-a.done:
		if a.order != nil {
			return *a.order
		}
		return f.reread(ctx, o)
	case <-ctx.Done():
		return o
	}
}

// attemptHere returns the attempt for an order that callers of this process wait for; nil if there is none.
func (f *Fulfilment) attemptHere(orderID string) *attempt {
	value, _ := f.underWay.Load(orderID)
	a, _ := value.(*attempt)
	return a
}

// reread returns the order as it is now; when even that fails, as it was when it was last loaded, which is true as well:
// the facts are durable and the attempt goes on.
func (f *Fulfilment) reread(ctx context.Context, o order.Order) order.Order {
	now, err := f.Orders.Read(ctx, orderstore.Key{ID: o.ID})
	if err != nil {
		return o
	}
	return now
}

// The pace of a joiner that polls the order: nearly all attempts end within a few tens of milliseconds.
const (
	joinPollMin = 10 * time.Millisecond
	joinPollMax = 250 * time.Millisecond
)

// join waits until the attempt of somebody else has ended, or the caller's patience: at its end when it is under way in
// this process, else by polling. It holds no connection while it waits.
func (f *Fulfilment) join(ctx context.Context, o order.Order) order.Order {
	wait := joinPollMin
	for {
		if a := f.attemptHere(o.ID); a != nil {
			select {
			case <-ctx.Done():
				return o
			case <-a.done:
				if a.order != nil {
					return *a.order
				}
			}
		}
		select {
		case <-ctx.Done():
			return o
		case <-time.After(wait):
		}
		states, err := f.q.GetOrderStates(ctx, f.Orders.Pool, o.ID)
		if err == nil && order.FulfilmentState(states.Fulfilment) != order.FulfilmentInProgress {
			return f.reread(ctx, o)
		}
		wait = min(wait*3/2, joinPollMax)
	}
}
