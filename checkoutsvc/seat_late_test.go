package checkoutsvc_test

import (
	"fmt"
	"sync"
	"testing"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/problem"
)

// TestLateMoneyAgainstANewBuyer has money for seats whose hold has ended arrive at the instant at which somebody of the same mail address, which
// may have so many tickets only, chooses these seats at another replica. One of them gets both seats, and nobody waits for ever.
func TestLateMoneyAgainstANewBuyer(t *testing.T) {
	w := newHarness(t)
	w.addReplica()
	h := w.hall(1, 40)
	w.exec("update events set buyer_ticket_limit = 1000 where id = $1", h.event.GetId())
	late := 0
	for round := range len(h.ids) / 2 {
		pair := h.ids[2*round : 2*round+2]
		o := w.take(fmt.Sprint("late", round), h.seated(0, pair...))
		w.exec("update holds set expire_time = now() - interval '1 second' where order_id = $1", o.GetId())
		w.waitFor(o.GetId(), "expired", holdIs(checkoutv1.HoldState_HOLD_STATE_EXPIRED))
		var wg sync.WaitGroup
		var paidErr, startErr error
		wg.Go(func() {
			_, paidErr = w.replicas[0].payments.RecordPayment(w.keyed(fmt.Sprint("money", round)), paid(o))
		})
		wg.Go(func() {
			_, startErr = w.replicas[1].checkout.StartCheckout(w.keyed(fmt.Sprint("new", round)), h.seated(0, pair[1], pair[0]))
		})
		wg.Wait()
		if paidErr != nil || startErr != nil && problem.Reason(startErr) != "SEAT_TAKEN" {
			t.Fatalf("round %d: money %v, new buyer %v", round, paidErr, startErr)
		}
		got := w.order(o.GetId())
		tickets, unfulfillable := len(got.GetTickets()), got.GetFulfilmentState() == checkoutv1.FulfilmentState_FULFILMENT_STATE_UNFULFILLABLE
		if won := startErr != nil; won != (tickets == 2) || won == unfulfillable {
			t.Errorf("round %d: the new buyer is told %v, late money bought %d tickets, unfulfillable: %t", round, startErr, tickets, unfulfillable)
		}
		if startErr != nil {
			late++
		}
	}
	t.Logf("late money won %d of %d", late, len(h.ids)/2)
	w.checkSeats()
}
