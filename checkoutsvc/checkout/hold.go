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
	"github.com/dayof/dayof/checkoutsvc/payment"
)

const (
	// holdChunkSize is how many holds are asked for at Stripe together; holdChunksMax bounds one sweep: 100,000 holds.
	holdChunkSize, holdChunksMax = 5000, 20
	// holdPageSize is how many holds end in one transaction, and holdPagesAtOnce how many such run at once: one waits for Postgres
	// while the other is here.
	holdPageSize, holdPagesAtOnce = 200, 2
	// expireTimeout bounds the end of one page, whose variants somebody else may have locked.
	expireTimeout = 5 * time.Second
	// holdFailuresMax ends a sweep. One bad hold of a page costs 8 failures until it is found; more than a few say that it is not
	// the holds that are bad.
	holdFailuresMax = 32
	// failedHoldWait is the pause before a hold that could not be ended is tried again.
	failedHoldWait = time.Minute
)

// ExpireHolds ends all holds that have run out. Stripe is asked whether their buyers have paid, for thousands at once; then they end
// page by page, each page in one transaction. Two replicas may do it at once: what one of them has locked, the other passes over. A
// hold that cannot be ended is left alone for a minute, so that it stops no other one; the error that is returned names it.
func (s *Service) ExpireHolds(ctx context.Context) error {
	now := s.Orders.Clock.Now()
	maps.DeleteFunc(s.failedHolds, func(_ string, next time.Time) bool { return !next.After(now) })
	params := checkoutdb.ListDueHoldsParams{
		ProcessingSeconds: s.ProcessingHoldMax.Seconds(), LaterOrderIds: slices.AppendSeq([]string{}, maps.Keys(s.failedHolds)), HoldCount: holdChunkSize,
	}
	sweep := holdSweep{end: s.endHolds, failed: map[string]error{}}
	var listErr error
	for range holdChunksMax {
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
		asked, unanswered := s.askStripe(ctx, ids)
		sweep.endAll(ctx, asked, order.HoldEnd{})
		sweep.endAll(ctx, unanswered, order.HoldEnd{Unanswered: true})
		if len(due) < holdChunkSize || sweep.over(ctx) {
			break
		}
	}
	if s.failedHolds == nil {
		s.failedHolds = map[string]time.Time{}
	}
	for id := range sweep.failed {
		s.failedHolds[id] = now.Add(failedHoldWait)
	}
	return errors.Join(listErr, sweep.err())
}

// askStripe has orders observe payments that Stripe knows and we do not yet: who paid in time keeps the seat, however late the webhook
// is. It returns the orders that Stripe answered for, and those that it did not.
//
// An intent whose id we do not know was shown to no buyer, so that nobody can have paid it.
func (s *Service) askStripe(ctx context.Context, orderIDs []string) (asked, unanswered []string) {
	rows, err := s.q.ListOpenIntents(ctx, s.Orders.Pool, orderIDs)
	if err != nil {
		return nil, orderIDs
	}
	open := make([]payment.OpenIntent, len(rows))
	for i, row := range rows {
		open[i] = payment.OpenIntent{OrderID: row.OrderID, Account: row.StripeAccount, Intent: row.StripeID, Status: order.IntentStatus(row.Status), CreateTime: row.CreateTime}
	}
	unanswered = s.Payments.AskStripe(ctx, open)
	without := make(map[string]bool, len(unanswered))
	for _, id := range unanswered {
		without[id] = true
	}
	for _, id := range orderIDs {
		if !without[id] {
			asked = append(asked, id)
		}
	}
	return asked, unanswered
}

// endHolds ends the holds of orders in one transaction. A panic is an error of theirs, so that it stops no others.
func (s *Service) endHolds(ctx context.Context, orderIDs []string, end order.HoldEnd) (err error) {
	ctx, cancel := context.WithTimeout(ctx, expireTimeout)
	defer cancel()
	defer func() {
		if value := recover(); value != nil {
			err = fmt.Errorf("panic: %v\n%s", value, debug.Stack())
		}
	}()
	return s.Orders.ObserveAll(ctx, orderIDs, end)
}

// holdSweep is one run of ExpireHolds.
type holdSweep struct {
	end func(ctx context.Context, orderIDs []string, end order.HoldEnd) error

	mu       sync.Mutex
	failures int
	last     error            // of a page
	failed   map[string]error // by order
}

// endAll ends holds by pages, a few at once.
func (w *holdSweep) endAll(ctx context.Context, orderIDs []string, end order.HoldEnd) {
	var pages sync.WaitGroup
	places := make(chan struct{}, holdPagesAtOnce)
	for page := range slices.Chunk(orderIDs, holdPageSize) {
		places <- struct{}{}
		pages.Go(func() {
			defer func() { <-places }()
			w.endPage(ctx, page, end)
		})
	}
	pages.Wait()
}

// endPage ends the holds of a page. When that fails, one of them may be why: each half is tried by itself, down to the one that fails.
func (w *holdSweep) endPage(ctx context.Context, orderIDs []string, end order.HoldEnd) {
	if w.over(ctx) {
		return
	}
	err := w.end(ctx, orderIDs, end)
	switch {
	case err == nil:
	case len(orderIDs) == 1:
		w.fail(orderIDs[0], fmt.Errorf("expire hold of order %s: %w", orderIDs[0], err))
	default:
		w.fail("", err)
		half := len(orderIDs) / 2
		w.endPage(ctx, orderIDs[:half], end)
		w.endPage(ctx, orderIDs[half:], end)
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
