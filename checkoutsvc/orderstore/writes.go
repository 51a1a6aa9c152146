package orderstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/internal/chassis/pgdb"
)

// Task is work of one order.
type Task struct {
	OrderID string
	order.Work
}

// writes collects what facts changed of one order or of several, for one flush. Rows that all orders write alike, the ends of
// holds, lines of timelines and jobs, are one statement for all of them, and a row that they share, a variant's stock, is
// written once.
type writes struct {
	store *Store
	now   time.Time // one instant per transaction

	pipeline pgdb.Pipeline
	holds    endedHolds
	notes    checkoutdb.InsertTimelineParams
	uses     map[string]int32 // orders that use a promotion code no more, by code
	stock    map[string]int64 // tickets that are on sale again, by variant
	seats    returnedSeats    // those of them that stand on a seat map
	tasks    []Task
}

// endedHolds are lists of equal length.
type endedHolds struct {
	orderIDs, states []string
	endTimes         []time.Time
}

// returnedSeats are lists of equal length: each seat with the order that had it.
type returnedSeats struct{ ids, orderIDs []string }

func (r *returnedSeats) add(orderID string, ids []string) {
	for _, id := range ids {
		r.ids, r.orderIDs = append(r.ids, id), append(r.orderIDs, orderID)
	}
}

func (s *Store) newWrites(now time.Time) *writes {
	return &writes{store: s, now: now, notes: checkoutdb.InsertTimelineParams{Time: now}, uses: map[string]int32{}, stock: map[string]int64{}}
}

// add takes what one fact changed of an order.
func (w *writes) add(ctx context.Context, o *order.Order, c *order.Changes) error {
	if c.Hold {
		w.holds.orderIDs = append(w.holds.orderIDs, o.ID)
		w.holds.states = append(w.holds.states, string(o.Hold.State))
		w.holds.endTimes = append(w.holds.endTimes, *o.Hold.EndTime)
	}
	if c.StockReturned && o.PromotionCodeID != "" {
		w.uses[o.PromotionCodeID]++
	}
	if c.StockReturned {
		for _, l := range o.Lines {
			w.stock[l.VariantID] += int64(l.Quantity)
		}
		w.seats.add(o.ID, o.SeatIDs())
	}
	w.seats.add(o.ID, c.SeatIDsReturned)
	for _, variantID := range c.SeatsReturned {
		w.stock[variantID]++
	}
	for _, n := range c.Notes {
		w.notes.OrderIds = append(w.notes.OrderIds, o.ID)
		w.notes.Steps = append(w.notes.Steps, n.Step)
		w.notes.Attempts = append(w.notes.Attempts, n.Attempt)
		w.notes.TookMs = append(w.notes.TookMs, n.Took.Milliseconds())
		w.notes.Errors = append(w.notes.Errors, n.Failure)
		w.notes.Details = append(w.notes.Details, n.Detail)
		w.notes.Actors = append(w.notes.Actors, n.Actor)
	}
	for _, work := range c.Work {
		w.tasks = append(w.tasks, Task{OrderID: o.ID, Work: work})
	}
	return w.store.save(ctx, &w.pipeline, o, c, w.now)
}

// flush writes all that was added, seats and then stock last and in the order in which its rows are locked: others wait for them until the
// transaction has ended.
func (w *writes) flush(ctx context.Context, tx pgx.Tx) error {
	var errs []error
	if len(w.holds.orderIDs) > 0 {
		errs = append(errs, w.store.q.EndHolds(ctx, &w.pipeline, w.holds.orderIDs, w.holds.states, w.holds.endTimes))
	}
	if len(w.notes.OrderIds) > 0 {
		errs = append(errs, w.store.q.InsertTimeline(ctx, &w.pipeline, w.notes))
	}
	if len(w.seats.ids) > 0 {
		errs = append(errs, w.store.q.ReturnSeats(ctx, &w.pipeline, w.seats.ids, w.seats.orderIDs))
	}
	for _, id := range slices.Sorted(maps.Keys(w.uses)) {
		errs = append(errs, w.store.q.ReturnPromotionUses(ctx, &w.pipeline, id, w.uses[id]))
	}
	for _, variantID := range slices.Sorted(maps.Keys(w.stock)) {
		errs = append(errs, w.store.q.ReturnStock(ctx, &w.pipeline, variantID, w.stock[variantID]))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := w.pipeline.Flush(ctx, tx); err != nil {
		return err
	}
	return w.store.Enqueue(ctx, tx, w.tasks...)
}

// ObserveAllTx is ObserveAll in the caller's transaction. Locks on stock come last, so it is the last thing that the transaction does.
func (s *Store) ObserveAllTx(ctx context.Context, tx pgx.Tx, ids []string, f order.Fact) error {
	orders, err := lockAll(ctx, tx, ids)
	if err != nil {
		return err
	}
	w := s.newWrites(s.Clock.Now())
	for _, before := range orders {
		if _, _, err := s.observe(ctx, tx, w, before, f); err != nil {
			return fmt.Errorf("order %s: %w", before.ID, err)
		}
	}
	return w.flush(ctx, tx)
}

// ObserveAll has orders observe the same fact, in one transaction. Orders that somebody else has locked, and ids that are no
// order's, are passed over. An error says that nothing changed of any of them: it may be one order that is to blame.
//
// Idempotent, as Observe is.
func (s *Store) ObserveAll(ctx context.Context, ids []string, f order.Fact) error {
	return pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) error { return s.ObserveAllTx(ctx, tx, ids, f) })
}

// observe has a loaded order observe a fact, and adds what changed to the writes.
func (s *Store) observe(ctx context.Context, tx pgx.Tx, w *writes, before order.Order, f order.Fact) (order.Order, order.Changes, error) {
	if order.WantsStock(before, f, s.Policy, w.now) {
		stock, err := s.retakeStock(ctx, tx, &before, w.now)
		if err != nil {
			return before, order.Changes{}, err
		}
		f = order.WithStock(f, stock)
	}
	o, c, err := order.Observe(before, f, s.Policy, w.now)
	if err != nil {
		return before, c, ToProblem(err)
	}
	return o, c, w.add(ctx, &o, &c)
}
