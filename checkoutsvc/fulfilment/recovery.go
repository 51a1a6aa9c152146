package fulfilment

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
)

// recoveryAttemptsMax is how many waiting orders a replica attempts at once when a dependency is back: few beside the sales that
// go on meanwhile.
const recoveryAttemptsMax = 8

// AttemptWaitingOrders attempts orders before they are due, as soon as what they failed at is back: in a long outage they come to
// wait for up to BackoffMax. One of them tries; when it succeeds, the others follow, twice as many each time, until none is left or all of
// a group fail. An order is attempted once in such a round, so that one that fails for a reason of its own does not stop it.
//
// It costs an outage one attempt per sweep of a replica. It does not wait for the attempts; a second round at once does nothing.
func (f *Fulfilment) AttemptWaitingOrders(ctx context.Context) error {
	if !f.recovering.CompareAndSwap(false, true) {
		return nil
	}
	first, err := f.claimWaiting(ctx, 1, []string{})
	if err != nil || len(first) == 0 {
		f.recovering.Store(false)
		return err
	}
	f.attempts.Go(func() {
		defer f.recovering.Store(false)
		f.recover(context.WithoutCancel(ctx), first)
	})
	return nil
}

// recover attempts the claimed orders and then further ones.
func (f *Fulfilment) recover(ctx context.Context, claimed []checkoutdb.ClaimDueOrdersRow) {
	var tried []string
	for size := 1; len(claimed) > 0; {
		var succeeded atomic.Int64
		var group sync.WaitGroup
		for _, c := range claimed {
			tried = append(tried, c.ID)
			group.Go(func() {
				if f.attemptDue(ctx, c) {
					succeeded.Add(1)
				}
			})
		}
		group.Wait()
		if succeeded.Load() == 0 {
			return
		}
		size = min(2*size, recoveryAttemptsMax)
		var err error
		if claimed, err = f.claimWaiting(ctx, size, tried); err != nil {
			f.Logger.LogAttrs(ctx, slog.LevelWarn, "waiting orders not claimed", slog.Any("error", err))
			return
		}
	}
}

func (f *Fulfilment) claimWaiting(ctx context.Context, count int, but []string) ([]checkoutdb.ClaimDueOrdersRow, error) {
	rows, err := f.q.ClaimWaitingOrders(ctx, f.Orders.Pool, f.Config.Lease.Seconds(), but, int32(count))
	if err != nil {
		return nil, fmt.Errorf("claim waiting orders: %w", err)
	}
	claimed := make([]checkoutdb.ClaimDueOrdersRow, len(rows))
	for i, row := range rows {
		claimed[i] = checkoutdb.ClaimDueOrdersRow(row)
	}
	return claimed, nil
}
