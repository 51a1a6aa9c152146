package catalog

import (
	"context"
	"maps"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
)

const (
	// seatMapAge is how old an answer about a seat map may be.
	seatMapAge = time.Second
	// seatMapsMax is how many answers are kept: some hundred kilobytes each at most.
	seatMapsMax = 200
	// seatMapTimeout bounds reading one, for all who wait for it.
	seatMapTimeout = 5 * time.Second
)

// seatMapCache keeps what was read of seat maps for a moment, and has one read what many ask for at once. The zero value is ready to use.
type seatMapCache struct {
	reading singleflight.Group

	mu   sync.Mutex
	kept map[string]keptSeatMap
}

type keptSeatMap struct {
	res  *checkoutv1.GetSeatMapResponse // read only
	time time.Time
}

// get returns what is kept, or reads it. Refusals are not kept.
func (c *seatMapCache) get(
	ctx context.Context, now time.Time, key string, read func(ctx context.Context) (*checkoutv1.GetSeatMapResponse, error),
) (*checkoutv1.GetSeatMapResponse, error) {
	c.mu.Lock()
	kept, found := c.kept[key]
	c.mu.Unlock()
	if found && now.Sub(kept.time) < seatMapAge {
		return kept.res, nil
	}
	shared, err, _ := c.reading.Do(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), seatMapTimeout)
		defer cancel()
		res, err := read(ctx)
		if err == nil {
			c.keep(key, keptSeatMap{res: res, time: now})
		}
		return res, err
	})
	if err != nil {
		return nil, err
	}
	res, ok := shared.(*checkoutv1.GetSeatMapResponse)
	if !ok {
		panic("something else than a seat map was read")
	}
	return res, nil
}

func (c *seatMapCache) keep(key string, s keptSeatMap) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kept == nil {
		c.kept = map[string]keptSeatMap{}
	}
	maps.DeleteFunc(c.kept, func(_ string, old keptSeatMap) bool {
		return s.time.Sub(old.time) >= seatMapAge || len(c.kept) >= seatMapsMax
	})
	c.kept[key] = s
}
