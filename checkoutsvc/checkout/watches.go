package checkout

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	// watchInterval is how often the database is asked for changes of the orders that are watched.
	watchInterval = 300 * time.Millisecond
	// watchTimeout bounds one such question.
	watchTimeout = 5 * time.Second
	// watchesOfOrderMax is how often one order is watched at once in this process: a buyer's tabs and devices. watchesMax is for all
	// calls of GetOrder that wait, which take places of other calls; streams have places of their own.
	watchesOfOrderMax = 8
	watchesMax        = 256
)

// watches are the orders of which somebody waits to learn that they have changed. While there are any, one loop asks the database for all of
// them, so that a thousand waiting pages cost one statement for each interval, and no connection.
type watches struct {
	read func(ctx context.Context, orderIDs []string) (markers map[string]string, err error)

	mu     sync.Mutex
	orders map[string]*watchedOrder
	stop   context.CancelFunc // of the loop; nil while nobody watches
}

type watchedOrder struct {
	marker string // as the loop read it last
	told   []chan<- struct{}
}

// watch is one that waits.
type watch struct {
	// Changed receives once the order may have changed, and once at the beginning.
	Changed <-chan struct{}
	// End must be called.
	End func()
}

// begin begins to watch an order; false if too many do already.
func (w *watches) begin(orderID string) (watch, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.orders == nil {
		w.orders = map[string]*watchedOrder{}
	}
	o := w.orders[orderID]
	if o == nil {
		o = &watchedOrder{}
	}
	if len(o.told) >= watchesOfOrderMax {
		return watch{}, false
	}
	w.orders[orderID] = o
	changed := make(chan struct{}, 1)
	o.told = append(o.told, changed)
	o.marker = "" // the next answer counts as a change, so that none before is missed
	if w.stop == nil {
		ctx, cancel := context.WithCancel(context.Background())
		w.stop = cancel
		go w.run(ctx)
	}
	return watch{Changed: changed, End: func() { w.end(orderID, changed) }}, true
}

func (w *watches) end(orderID string, changed chan<- struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	o := w.orders[orderID]
	o.told = slices.DeleteFunc(o.told, func(c chan<- struct{}) bool { return c == changed })
	if len(o.told) == 0 {
		delete(w.orders, orderID)
	}
	if len(w.orders) == 0 {
		w.stop()
		w.stop = nil
	}
}

// run asks until nobody watches any more. What fails is asked again: a watch that hears nothing still answers in time.
func (w *watches) run(ctx context.Context) {
	ticks := time.NewTicker(watchInterval)
	defer ticks.Stop()
	for {
		w.ask(ctx)
		select {
		case <-ticks.C:
		case <-ctx.Done():
			return
		}
	}
}

func (w *watches) ask(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, watchTimeout)
	defer cancel()
	w.mu.Lock()
	ids := slices.Collect(maps.Keys(w.orders))
	w.mu.Unlock()
	markers, err := w.read(ctx, ids)
	if err != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, marker := range markers {
		o := w.orders[id]
		if o == nil || o.marker == marker {
			continue
		}
		o.marker = marker
		for _, changed := range o.told {
			select {
			case changed <- struct{}{}:
			default: // it has not looked at the change before
			}
		}
	}
}
