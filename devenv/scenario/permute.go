package scenario

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/devenv/idle"
)

// Run is one replay of a scenario in a certain order of delivery.
type Run struct {
	Scenario Scenario
	Way      string
	// Order are the places of the scenario's events in the order of delivery. A negative place, -1-i, is the twin of event i: the
	// same change reported by a second event of another id, as Stripe does now and then.
	Order  []int
	AtOnce bool // all at the same time
}

// Runs are the ways to deliver a scenario of which each must end the same: in every order, or in most different ones made
// from seed where there are more; the same with every event delivered twice, once as its twin; and all at once, doubled.
func Runs(s Scenario, most int, seed uint64) []Run {
	random := rand.New(rand.NewPCG(seed, uint64(len(s.Files))))
	var runs []Run
	orders := permutations(len(s.Files), most, random)
	for i, order := range orders {
		runs = append(runs, Run{Scenario: s, Way: fmt.Sprintf("order %v", order), Order: order})
		doubled := slices.Clone(order)
		for _, event := range order {
			twin := event
			if (event+i)%2 == 0 {
				twin = -1 - event
			}
			doubled = append(doubled, twin)
		}
		random.Shuffle(len(doubled), func(i, j int) { doubled[i], doubled[j] = doubled[j], doubled[i] })
		runs = append(runs, Run{Scenario: s, Way: fmt.Sprintf("doubled %v", doubled), Order: doubled})
		if i%10 == 0 {
			runs = append(runs, Run{Scenario: s, Way: fmt.Sprintf("at once %v", doubled), Order: doubled, AtOnce: true})
		}
	}
	return runs
}

// permutations returns all orders of n things, or most different ones where there are more.
func permutations(n, most int, random *rand.Rand) [][]int {
	all := 1
	for i := 2; i <= n && all <= most; i++ {
		all *= i
	}
	if all <= most {
		return everyPermutation(n)
	}
	var out [][]int
	seen := map[string]bool{}
	for len(out) < most {
		order := random.Perm(n)
		if key := fmt.Sprint(order); !seen[key] {
			seen[key] = true
			out = append(out, order)
		}
	}
	return out
}

func everyPermutation(n int) [][]int {
	if n == 0 {
		return [][]int{{}}
	}
	var out [][]int
	for _, shorter := range everyPermutation(n - 1) {
		for at := n - 1; at >= 0; at-- {
			out = append(out, slices.Insert(slices.Clone(shorter), at, n-1))
		}
	}
	return out
}

// arranged are the events in the order of a run.
func (r Run) arranged(events []event) []event {
	out := make([]event, 0, len(r.Order))
	for _, place := range r.Order {
		if place >= 0 {
			out = append(out, events[place])
			continue
		}
		twin := events[-1-place]
		twin.body = bytes.ReplaceAll(twin.body, []byte(`"`+twin.id+`"`), []byte(`"`+twin.id+`Twin"`))
		twin.id += "Twin"
		out = append(out, twin)
	}
	return out
}

// ReplayAll plays many runs side by side and returns their results in the same order. Their events go out in step: the
// next one of all runs when the last one of all was tried, so that each order of delivery is the order of processing
// too. Deliveries take turns with the clients, one for each replica.
func ReplayAll(ctx context.Context, clients []*client.Client, watch *idle.Watch, runs []Run, o Options, parallel int) ([]Result, error) {
	results := make([]Result, len(runs))
	events := make([][]event, len(runs))
	mapped := make([]names, len(runs))
	errs := make([]error, len(runs))
	system := clients[0]
	sideBySide(parallel, len(runs), func(i int) {
		results[i] = Result{Key: runs[i].Scenario.Key, Differences: []Difference{}, NotCompared: []string{}, Answers: map[string]int{}}
		events[i], mapped[i], errs[i] = results[i].begin(ctx, system, runs[i].Scenario, o)
	})
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	for step := 0; ; step++ {
		var delivered atomic.Bool
		sideBySide(parallel, len(runs), func(i int) {
			due := runs[i].due(events[i], step)
			if len(due) == 0 {
				return
			}
			delivered.Store(true)
			errs[i] = results[i].deliver(ctx, clients[(i+step)%len(clients)], due, Options{Clock: o.Clock, AtOnce: true})
		})
		if err := errors.Join(errs...); err != nil {
			return nil, err
		}
		if !delivered.Load() {
			break
		}
		if err := watch.AwaitTried(ctx); err != nil {
			return nil, err
		}
	}
	if err := watch.Await(ctx, idle.Scope{}); err != nil {
		return nil, err
	}
	sideBySide(parallel, len(runs), func(i int) {
		r := &results[i]
		if err := r.end(ctx, system, runs[i].Scenario, events[i], mapped[i]); err != nil {
			r.Error = err.Error()
		}
		r.Passed = r.Error == "" && len(r.Differences) == 0
	})
	return results, nil
}

// due are the events that a run delivers in a step.
func (r Run) due(events []event, step int) []event {
	arranged := r.arranged(events)
	switch {
	case r.AtOnce && step == 0:
		return arranged
	case r.AtOnce || step >= len(arranged):
		return nil
	}
	return arranged[step : step+1]
}

// sideBySide runs f for 0 to count-1, so many at a time, and waits for all.
func sideBySide(parallel, count int, f func(i int)) {
	next := make(chan int)
	var group sync.WaitGroup
	for range parallel {
		group.Go(func() {
			for i := range next {
				f(i)
			}
		})
	}
	for i := range count {
		next <- i
	}
	close(next)
	group.Wait()
}
