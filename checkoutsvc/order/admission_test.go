package order_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/dayof/dayof/checkoutsvc/order"
)

// TestStaysFollowFromScans draws what several devices scanned of one ticket, and has them reported in several orders.
//
// All orders of arrival give the same stays. At most one holder is inside at any time, a second entry is one that the event allowed, and
// every scan comes to something.
func TestStaysFollowFromScans(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(seed(t), 0))
	for range 5000 {
		scans := make([]order.Scan, 1+r.IntN(8))
		reentry := r.IntN(2) == 0
		for i := range scans {
			scans[i] = order.Scan{ID: fmt.Sprint("s", i), Out: r.IntN(2) == 0, Time: t0.Add(time.Duration(r.IntN(5)) * time.Second), Reentry: reentry}
		}
		want, passages := order.Stays(scans)
		r.Shuffle(len(scans), func(i, j int) { scans[i], scans[j] = scans[j], scans[i] })
		got, again := order.Stays(scans)
		if fmt.Sprint(ids(got)) != fmt.Sprint(ids(want)) || fmt.Sprint(again) != fmt.Sprint(passages) || len(passages) != len(scans) {
			t.Fatalf("%v gives %v and %v, and %v and %v in another order", scans, ids(want), passages, ids(got), again)
		}
		entries := 0
		for i, stay := range want {
			if int(stay.Number) != i+1 || i > 0 && (!reentry || want[i-1].Exit == nil || order.CompareScans(*want[i-1].Exit, stay.Entry) >= 0) {
				t.Fatalf("%v: stay %d is %v after %v", scans, i, stay, want[:i])
			}
		}
		for _, p := range passages {
			if p == order.PassageEntered {
				entries++
			}
		}
		in := slices.DeleteFunc(slices.Clone(scans), func(s order.Scan) bool { return s.Out })
		if entries != len(want) || len(in) > 0 && want[0].Entry.ID != slices.MinFunc(in, order.CompareScans).ID {
			t.Fatalf("%v: %d entries, stays %v", scans, entries, ids(want))
		}
	}
}

// ids names the scans of stays.
func ids(stays []order.Stay) []string {
	var all []string
	for _, s := range stays {
		id := s.Entry.ID
		if s.Exit != nil {
			id += "-" + s.Exit.ID
		}
		all = append(all, id)
	}
	return all
}

// TestPassage asks what a scan comes to for a ticket in each state, with and without somebody inside.
func TestPassage(t *testing.T) {
	t.Parallel()
	entry := order.Scan{ID: "in", TicketID: "t1", Time: t0}
	exit := order.Scan{ID: "out", TicketID: "t1", Out: true, Time: t0.Add(time.Second)}
	inside, outside := []order.Stay{{Number: 1, Entry: entry}}, []order.Stay{{Number: 1, Entry: entry, Exit: &exit}}
	for _, c := range []struct {
		state   order.TicketState
		stays   []order.Stay
		out     bool
		reentry bool
		held    bool
		want    order.Passage
	}{
		{state: order.TicketValid, want: order.PassageEntered},
		{state: order.TicketValid, out: true, want: order.PassageNotInside},
		{state: order.TicketReserved, want: order.PassageNotValidYet},
		{state: order.TicketSuspended, want: order.PassageSuspended},
		{state: order.TicketVoid, want: order.PassageVoid},
		{state: order.TicketVoid, stays: inside, want: order.PassageVoid},
		{state: order.TicketVoid, stays: inside, out: true, want: order.PassageLeft},
		{state: order.TicketUsed, want: order.PassageAlreadyUsed}, // of before stays were kept
		{state: order.TicketUsed, reentry: true, want: order.PassageAlreadyUsed},
		{state: order.TicketUsed, stays: inside, want: order.PassageAlreadyUsed},
		{state: order.TicketUsed, stays: inside, reentry: true, want: order.PassageAlreadyUsed},
		{state: order.TicketUsed, stays: outside, want: order.PassageAlreadyUsed},
		{state: order.TicketUsed, stays: outside, reentry: true, want: order.PassageEntered},
		{state: order.TicketUsed, stays: outside, reentry: true, held: true, want: order.PassageSuspended},
		{state: order.TicketUsed, stays: inside, held: true, want: order.PassageAlreadyUsed},
		{state: order.TicketUsed, stays: inside, held: true, out: true, want: order.PassageLeft},
	} {
		o := order.Order{Tickets: []order.Ticket{{ID: "t1", State: c.state}}}
		if c.held {
			o.Review = order.ReviewHoldOpen
		}
		got := o.Passage(order.Scan{ID: "now", TicketID: "t1", Out: c.out, Reentry: c.reentry, Time: t0.Add(time.Minute)}, c.stays)
		if got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

// The doors of a canceled event are closed from the cancellation on, also for tickets whose state has not followed yet.
func TestCanceledEventBars(t *testing.T) {
	t.Parallel()
	canceled := t0
	o := order.Order{Schedule: order.Schedule{CancelTime: &canceled}, Tickets: []order.Ticket{
		{ID: "valid", State: order.TicketValid}, {ID: "used", State: order.TicketUsed}, {ID: "void", State: order.TicketVoid},
	}}
	for id, want := range map[string]order.Passage{
		"valid": order.PassageSuspended, "used": order.PassageSuspended, "void": order.PassageVoid,
	} {
		if got := o.Bars(id); got != want {
			t.Errorf("a ticket that is %s: %q, want %q", id, got, want)
		}
	}
}
