package checkoutsvc_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// TestSeatIsSoldOnce has two buyers want the same two seats at the same instant, named in opposite orders, at two replicas, again and again:
// one gets both, the other is told which are gone.
func TestSeatIsSoldOnce(t *testing.T) {
	w := newHarness(t)
	w.addReplica()
	h := w.hall(1, 120)
	for round := range len(h.ids) / 2 {
		pair := h.ids[2*round : 2*round+2]
		var errs [2]error
		var wg sync.WaitGroup
		for buyer := range errs {
			wg.Go(func() {
				ids := slices.Clone(pair)
				if buyer == 1 {
					slices.Reverse(ids)
				}
				_, errs[buyer] = w.replicas[buyer].checkout.StartCheckout(w.keyed(fmt.Sprintf("race/%d/%d", round, buyer)), h.seated(0, ids...))
			})
		}
		wg.Wait()
		lost := slices.IndexFunc(errs[:], func(err error) bool { return err != nil })
		if lost < 0 || errs[1-lost] != nil {
			t.Fatalf("round %d: %v and %v; want one buyer to get the seats", round, errs[0], errs[1])
		}
		if problem.Reason(errs[lost]) != "SEAT_TAKEN" || len(problem.Fields(errs[lost])) != 2 {
			t.Errorf("round %d: %v, %v", round, errs[lost], problem.Fields(errs[lost]))
		}
	}
	w.checkSeats()
}

// TestSeatRush has many buyers want seats of a hall at once, at two replicas: some choose seats at random, the others want the best available.
// Buyers whose seats are gone choose again, and some give their order up, until nothing is left.
func TestSeatRush(t *testing.T) {
	w := newHarness(t)
	w.addReplica()
	h := w.hall(20, 25)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	const buyers = 48
	var mu sync.Mutex
	owner := map[string]string{} // order by seat
	outcomes := map[string]int{}
	var wg sync.WaitGroup
	for buyer := range buyers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(buyer)))
			for try := 0; ; try++ {
				req := h.seated(1 + r.IntN(4))
				if r.IntN(2) == 0 {
					req.Lines[0].SeatIds = chooseAtRandom(r, h.ids, int(req.GetLines()[0].GetQuantity()))
				}
				replica := w.replicas[r.IntN(2)]
				res, err := replica.checkout.StartCheckout(w.keyed(fmt.Sprintf("rush/%d/%d", buyer, try)), req)
				reason := problem.Reason(err)
				mu.Lock()
				outcomes[reason]++
				for _, seat := range res.GetOrder().GetLines() {
					for _, s := range seat.GetSeats() {
						if other := owner[s.GetId()]; other != "" {
							t.Errorf("seat %s is of orders %s and %s", s.GetId(), other, res.GetOrder().GetId())
						}
						owner[s.GetId()] = res.GetOrder().GetId()
					}
				}
				mu.Unlock()
				switch {
				case err == nil, reason == "SEAT_TAKEN", reason == "SEATS_CONTENDED":
				case reason == "SOLD_OUT" && req.GetLines()[0].GetQuantity() == 1:
					return
				case reason != "SOLD_OUT":
					t.Errorf("buyer %d: %v", buyer, err)
					return
				}
			}
		})
	}
	wg.Wait()
	t.Logf("outcomes: %v", outcomes)
	if len(owner) != len(h.ids) {
		t.Errorf("%d of %d seats are held at the end", len(owner), len(h.ids))
	}
	if n := w.variantNow(h.seller).GetAvailableTicketCount(); n != 0 {
		t.Errorf("%d tickets are available at the end", n)
	}
	w.checkSeats()
}

func chooseAtRandom(r *rand.Rand, ids []string, n int) []string {
	var chosen []string
	for _, i := range r.Perm(len(ids))[:n] {
		chosen = append(chosen, ids[i])
	}
	return chosen
}

// TestSeatsTakenAndReturned takes and gives back seats of a small hall at once, while staff block and unblock some and set the map again.
// Nobody blocks anybody for ever, and all agree at the end.
func TestSeatsTakenAndReturned(t *testing.T) {
	w := newHarness(t)
	w.addReplica()
	h := w.hall(4, 6)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var wg sync.WaitGroup
	for buyer := range 8 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(buyer)))
			for try := range 25 {
				req := h.seated(1 + r.IntN(3))
				if r.IntN(2) == 0 {
					req.Lines[0].SeatIds = chooseAtRandom(r, h.ids, int(req.GetLines()[0].GetQuantity()))
				}
				res, err := w.replicas[buyer%2].checkout.StartCheckout(w.keyed(fmt.Sprintf("again/%d/%d", buyer, try)), req)
				if err != nil {
					if !slices.Contains([]string{"SEAT_TAKEN", "SOLD_OUT", "SEATS_CONTENDED"}, problem.Reason(err)) {
						t.Errorf("start: %v", err)
					}
					continue
				}
				ctx := rpc.WithBearerToken(w.keyed(fmt.Sprintf("back/%d/%d", buyer, try)), res.GetOrderAccessToken())
				if _, err := w.replicas[(buyer+try)%2].checkout.CancelCheckout(ctx, &checkoutv1.CancelCheckoutRequest{OrderId: res.GetOrder().GetId()}); err != nil {
					t.Errorf("cancel: %v", err)
				}
			}
		})
	}
	wg.Go(func() {
		r := rand.New(rand.NewPCG(seed, 100))
		for n := range 20 {
			ids := chooseAtRandom(r, h.ids, 2)
			_, err := w.replicas[0].catalog.BlockSeats(w.keyed(fmt.Sprint("block", n)), &checkoutv1.BlockSeatsRequest{EventId: h.event.GetId(), SeatIds: ids})
			if err != nil && problem.Reason(err) != "SEAT_IN_USE" {
				t.Errorf("block: %v", err)
			}
			if _, err := w.replicas[1].catalog.UnblockSeats(w.keyed(fmt.Sprint("unblock", n)), &checkoutv1.UnblockSeatsRequest{EventId: h.event.GetId(), SeatIds: ids}); err != nil {
				t.Errorf("unblock: %v", err)
			}
			if _, err := w.replicas[1].catalog.SetSeatMap(w.keyed(fmt.Sprint("map", n)), h.section("Parkett", 4, 6+n%2)); err != nil && problem.Reason(err) != "SEAT_IN_USE" {
				t.Errorf("set seat map: %v", err)
			}
		}
	})
	wg.Wait()
	w.checkSeats()
	if n := w.count("select count(*) from seats where order_id is not null"); n != 0 {
		t.Errorf("%d seats are held, and nobody holds any", n)
	}
}
