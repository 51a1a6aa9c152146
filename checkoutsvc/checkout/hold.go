package checkout

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	"github.com/dayof/dayof/checkoutsvc/order"
)

const (
	// holdPageSize is how many holds end in one transaction, and holdPagesAtOnce how many such run at once: one waits for Postgres
	// while the other is here.
	holdPageSize, holdPagesAtOnce = 200, 2
	// holdPagesMax bounds one sweep: 100,000 holds.
	holdPagesMax = 500
	// expireTimeout bounds the end of one page, whose variants somebody else may have locked.
	expireTimeout = 5 * time.Second
	// holdFailuresMax ends a sweep. One bad hold of a page costs 8 failures until it is found; more than a few say that it is not
	// the holds that are bad.
	holdFailuresMax = 32
	// failedHoldWait is the pause before a hold that could not be ended is tried again.
	failedHoldWait = time.Minute
)

// ExpireHolds ends all holds that have run out, page by page, each page in one transaction. Two replicas may do it at once: what one
// of them has locked, the other passes over. A hold that cannot be ended is left alone for a minute, so that it stops no other one;
// the error that is returned names it.
func (s *Service) ExpireHolds(ctx context.Context) error {
	now := s.Orders.Clock.Now()
	maps.DeleteFunc(s.failedHolds, func(_ string, next time.Time) bool { return !next.After(now) })
	params := checkoutdb.ListDueHoldsParams{
		ProcessingSeconds: s.ProcessingHoldMax.Seconds(), LaterOrderIds: slices.AppendSeq([]string{}, maps.Keys(s.failedHolds)), HoldCount: holdPageSize,
	}
	sweep := holdSweep{end: s.endHolds, failed: map[string]error{}}
	var pages sync.WaitGroup
	places := make(chan struct{}, holdPagesAtOnce)
	var listErr error
	for range holdPagesMax {
		due, err := s.q.ListDueHolds(ctx, s.Orders.Pool, params)
		if err != nil {
			listErr = fmt.Errorf("list due holds: %w", err)
			break
		}
		if len(due) == 0 {
			break
		}
		last := due[len(due)-1]
		params.AfterTime, params.AfterID = last.ExpireTime, last.OrderID
		ids := make([]string, len(due))
		for i, hold := range due {
			ids[i] = hold.OrderID
		}
		places <- struct{}{}
		pages.Go(func() {
			defer func() { <-places }()
			sweep.endPage(ctx, ids)
		})
		if len(due) < holdPageSize || sweep.over(ctx) {
			break
		}
	}
	pages.Wait()
	if s.failedHolds == nil {
		s.failedHolds = map[string]time.Time{}
	}
	for id := range sweep.failed {
		s.failedHolds[id] = now.Add(failedHoldWait)
	}
	return errors.Join(listErr, sweep.err())
}

// endHolds ends the holds of orders in one transaction. A panic is an error of theirs, so that it stops no others.
func (s *Service) endHolds(ctx context.Context, orderIDs []string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, expireTimeout)
	defer cancel()
	defer func() {
		if value := recover(); value != nil {
			err = fmt.Errorf("panic: %v\n%s", value, debug.Stack())
		}
	}()
	return s.Orders.ObserveAll(ctx, orderIDs, order.HoldEnd{})
}

// holdSweep is one run of ExpireHolds.
type holdSweep struct {
	end func(ctx context.Context, orderIDs []string) error

	mu       sync.Mutex
	failures int
	last     error            // of a page
	failed   map[string]error // by order
}

// endPage ends the holds of a page. When that fails, one of them may be why: each half is tried by itself, down to the one that fails.
func (w *holdSweep) endPage(ctx context.Context, orderIDs []string) {
	if w.over(ctx) {
		return
	}
	err := w.end(ctx, orderIDs)
	switch {
	case err == nil:
	case len(orderIDs) == 1:
		w.fail(orderIDs[0], fmt.Errorf("expire hold of order %s: %w", orderIDs[0], err))
	default:
		w.fail("", err)
		half := len(orderIDs) / 2
		w.endPage(ctx, orderIDs[:half])
		w.endPage(ctx, orderIDs[half:])
	}
}

// fail counts a failure: of an order, or of a page if none is named.
func (w *holdSweep) fail(orderID string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failures++
	if orderID == "" {
		w.last = err
	} else {
		w.failed[orderID] = err
	}
}

// err is what a sweep that has ended failed at: what each order did, or the last page if no order is to blame.
func (w *holdSweep) err() error {
	if len(w.failed) == 0 && w.last != nil {
		return fmt.Errorf("expire holds: %w", w.last)
	}
	return errors.Join(slices.Collect(maps.Values(w.failed))...)
}

// over says whether the sweep should end: the service stops, or too much fails.
func (w *holdSweep) over(ctx context.Context) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return ctx.Err() != nil || w.failures >= holdFailuresMax
}
