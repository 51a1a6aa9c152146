package fulfilment

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	"github.com/dayof/dayof/checkoutsvc/orderstore"
)

// dueAttemptsMax is how many due orders a replica attempts at once: each is leased only when its attempt begins, so that it
// has its whole lease.
const dueAttemptsMax = 64

// AttemptDueOrders attempts the orders that are due: who held their lease died, or the backoff after a failure is over. Every
// replica does this; SKIP LOCKED and the lease keep them from doing the same work.
//
// It does not wait for the attempts. A replica that dies in the rush of a sale leaves hundreds of orders behind, whose leases
// run out one after the other; those of the next moment must not wait for the attempts of this one. Where more are due than are
// attempted at once, each attempt that ends asks for the next sweep.
func (f *Fulfilment) AttemptDueOrders(ctx context.Context) error {
	free := dueAttemptsMax - int(f.dueAttempts.Load()) // only this goroutine makes them more
	if free <= 0 {
		return nil
	}
	due, err := f.q.ClaimDueOrders(ctx, f.Orders.Pool, f.Config.Lease.Seconds(), int32(free))
	if err != nil {
		return fmt.Errorf("claim due orders: %w", err)
	}
	f.dueAttempts.Add(int64(len(due)))
	mayBeMore := len(due) == free
	for _, claimed := range due {
		f.attempts.Go(func() {
			f.attemptDue(context.WithoutCancel(ctx), claimed)
			f.dueAttempts.Add(-1)
			if mayBeMore {
				f.SweepNow()
			}
		})
	}
	return nil
}

// attemptDue attempts an order that was leased to this replica and says whether it was completed. When it cannot be read, the
// lease runs out and somebody tries again.
func (f *Fulfilment) attemptDue(ctx context.Context, claimed checkoutdb.ClaimDueOrdersRow) bool {
	ctx, cancel := context.WithTimeout(ctx, f.Config.Lease)
	defer cancel()
	o, err := f.Orders.Read(ctx, orderstore.Key{ID: claimed.ID})
	if err != nil {
		f.Logger.LogAttrs(ctx, slog.LevelWarn, "due order not read", slog.String("order_id", claimed.ID), slog.Any("error", err))
		return false
	}
	return o.Attempt == claimed.Attempt && o.BeingFulfilled() && f.Attempt(ctx, o) != nil
}
