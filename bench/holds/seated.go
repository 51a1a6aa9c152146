package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dayof/dayof/devenv/client"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
	"github.com/dayof/dayof/internal/chassis/problem"
)

const (
	// seatsPerRow and rowsPerSection are the hall's: sections of 1,000 seats.
	seatsPerRow, rowsPerSection = 40, 25
	// choicesMax is how often a buyer chooses other seats when the chosen ones are gone, before the best available are as good.
	choicesMax = 3
)

// hall puts seats of a new event on sale, the front rows being the best, and returns their variant and their ids row by row.
func (b *bench) hall(ctx context.Context, seats int64) (*checkoutv1.Variant, []string, error) {
	event, err := b.client.Seed(ctx, b.clock.Now())
	if err != nil {
		return nil, nil, err
	}
	variant, err := b.client.CreateVariant(ctx, client.NewKey(), event.GetId(), "Seat", "Hall", 0,
		&checkoutv1.VariantVersion{Price: &moneyv1.Money{Currency: "EUR", MinorUnits: 4900}})
	if err != nil {
		return nil, nil, err
	}
	var hall []client.Seat
	for i := range int(seats) {
		row := i / seatsPerRow
		hall = append(hall, client.Seat{
			Section: "Section " + strconv.Itoa(1+row/rowsPerSection), Row: strconv.Itoa(1 + row%rowsPerSection), Label: strconv.Itoa(1 + i%seatsPerRow), QualityRank: int32(row),
		})
	}
	if err := b.client.SetSeats(ctx, event.GetId(), variant.GetId(), hall); err != nil {
		return nil, nil, err
	}
	listed, err := b.client.Seats(ctx, event.GetId(), "")
	if err != nil {
		return nil, nil, err
	}
	var ids []string
	for _, s := range listed {
		ids = append(ids, s.ID)
	}
	return variant, ids, nil
}

// seatedRush has many buyers want seats of one hall at once: one half chooses seats at random, the other takes the best available. Who is
// told that chosen seats are gone chooses others some times, and then takes the best.
func (b *bench) seatedRush(ctx context.Context, buyers int, seats int64, tickets int, out io.Writer) error {
	variant, ids, err := b.hall(ctx, seats)
	if err != nil {
		return err
	}
	seed := rand.Uint64()
	var next, held, refused, gone, contended atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, b.callers)
	took := make([][]time.Duration, b.callers)
	began := b.clock.Now()
	for i := range b.callers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(i)))
			for next.Add(1) <= int64(buyers) && errs[i] == nil {
				chooses := choicesMax * r.IntN(2)
				for done := false; !done; {
					line := &checkoutv1.CartLine{VariantId: variant.GetId(), Quantity: int32(tickets)}
					if chooses > 0 {
						at := r.IntN(len(ids) - tickets + 1)
						line.SeatIds = ids[at : at+tickets]
					}
					start := b.clock.Now()
					_, err := b.client.StartLines(ctx, variant.GetEventId(), []*checkoutv1.CartLine{line})
					took[i] = append(took[i], b.clock.Now().Sub(start))
					done = true
					switch reason := problem.Reason(err); {
					case err == nil:
						held.Add(1)
					case reason == "SOLD_OUT":
						refused.Add(1)
					case reason == "SEAT_TAKEN":
						gone.Add(1)
						chooses, done = chooses-1, false
					case reason == "SEATS_CONTENDED":
						contended.Add(1)
						done = false
					default:
						errs[i] = err
					}
				}
			}
		})
	}
	wg.Wait()
	length := b.clock.Now().Sub(began)
	if err := errors.Join(errs...); err != nil {
		return err
	}
	all := slices.Concat(took...)
	slices.Sort(all)
	fmt.Fprintf(out, "%d buyers of %d seats each, %d at once, %d seats: %d orders hold seats, %d buyers were refused; %d times chosen seats were gone, %d times others were faster at the best\n",
		buyers, tickets, b.callers, seats, held.Load(), refused.Load(), gone.Load(), contended.Load())
	fmt.Fprintf(out, "%.0f answers a second, p50 %s, p99 %s\n", float64(len(all))/length.Seconds(),
		all[len(all)/2].Round(100*time.Microsecond), all[len(all)*99/100].Round(100*time.Microsecond))
	return b.checkSeats(ctx, variant.GetId(), held.Load()*int64(tickets), min(int64(buyers*tickets), seats-seats%int64(tickets)))
}

// checkSeats wants so many seats taken, each by one order, and the stock to count them.
func (b *bench) checkSeats(ctx context.Context, variantID string, held, want int64) error {
	var taken, counted, kept, distinct int64
	err := b.pool.QueryRow(ctx, `select (select count(order_id) from seats where variant_id = $1),
		(select sum(taken)::bigint from stock where variant_id = $1), count(*), count(distinct seat->>'id')
		from order_lines l join holds h on h.order_id = l.order_id, jsonb_array_elements(l.seats) seat where h.state = 'active' and l.variant_id = $1`,
		variantID).Scan(&taken, &counted, &kept, &distinct)
	if err != nil {
		return err
	}
	if held != want || taken != want || counted != want || kept != want || distinct != want {
		return fmt.Errorf("%d seats should be held: buyers hold %d, %d seats are taken, the stock counts %d, holds keep %d, %d of them different ones",
			want, held, taken, counted, kept, distinct)
	}
	return nil
}
